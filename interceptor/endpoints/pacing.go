package endpoints

import "time"

// Held requests are released in order of arrival, each endpoint at its own pace. A fresh pod can
// take a few connections at once but not ten thousand.
//
// An endpoint has a window of released but unanswered requests. It starts at startWindow and
// grows by one with each answer, so it doubles with each round of answers. That ends when a round
// takes half as long again as the fastest one. The endpoint has as much as it can work on then,
// and the window grows by one with each round.
//
// A refused connection halves the window. The endpoint gets no more until it answers or the
// interval is over.
//
// While requests wait, each interval with neither a refusal nor a whole round of answers doubles
// the window too. A backend that answers only when its batch is full, or after minutes, must not
// block the line.
const (
	startWindow = 32
	interval    = 500 * time.Millisecond
)

// pacing limits how many held requests an endpoint may get. The port's lock guards all of it.
type pacing struct {
	gone       bool // no longer ready
	refused    bool // in this interval
	silent     bool // refused in this interval, and answered nothing since
	window     int
	unanswered int // released, neither answered nor over; may exceed a halved window
	limited    int // given out under a limit and not over
	lately     int // answers in this interval

	// Of the current round: how many answers it is, how many there were, and how long
	// they took together.
	round, answers int
	took           time.Duration
	fastest        time.Duration // of a round, on average per answer; 0: there was none
	full           bool          // the last round took half as long again
}

// newPacing is that of a fresh endpoint.
func newPacing() pacing { return pacing{window: startWindow, round: startWindow} }

// restart is for an endpoint that was away: it is a fresh one that has requests.
func (e *pacing) restart() {
	unanswered, limited := e.unanswered, e.limited
	*e = newPacing()
	e.unanswered, e.limited = unanswered, limited
}

// room says whether the endpoint takes one more that has a limit, 0 being none.
func (e *pacing) room(limit int) bool {
	return !e.gone && !e.silent && e.unanswered < e.window && (limit == 0 || e.limited < limit)
}

// widen opens the window after an answer.
func (e *pacing) widen(took time.Duration) {
	e.silent = false
	e.lately++
	e.answers++
	e.took += took
	if !e.full {
		e.window++
	}
	if e.answers < e.round {
		return
	}
	average := e.took / time.Duration(e.answers)
	if e.fastest == 0 || average < e.fastest {
		e.fastest = average
	}
	e.full = 2*average > 3*e.fastest
	if e.full {
		e.window++
	}
	e.round, e.answers, e.took = e.window, 0, 0
}

// narrow closes it after a refusal.
func (e *pacing) narrow() {
	e.window = max(e.window/2, 1)
	e.round = min(e.round, e.window)
	e.refused, e.silent = true, true
}

// pass ends an interval in which somebody waited.
func (e *pacing) pass() {
	// With room it is a limit that they wait for.
	if !e.refused && e.lately < e.window && e.unanswered >= e.window {
		e.window *= 2
	}
	e.refused, e.silent, e.lately = false, false, 0
}
