package queue

// Urgency is how soon readers receive a change.
type Urgency int

// The urgencies. Every change is Gathered, and some are sent earlier as well; ADR
// 11 has what fewer urgencies cost.
const (
	// Gathered changes are sent within 250 ms.
	Gathered Urgency = iota
	// Soon is for a route that turned active or inactive: it is sent at once, unless
	// very many routes do.
	Soon
	// AtOnce is for a cold hit, which waits for nothing else.
	AtOnce
)

// Feed is what one reader has not received yet. A feed knows which routes changed,
// so that sending one of them costs the same among ten routes and among 100,000.
// All methods but Changed's signals belong to that reader's goroutine.
type Feed interface {
	// Changed returns the signal of a change of that urgency, or nil.
	Changed(u Urgency) <-chan struct{}
	// Take calls visit with the counts of routes that changed, at most so many, and
	// forgets them. It reports whether it left any; their signal is then given
	// again. visit must not block.
	Take(u Urgency, most int, visit func(route string, count Count)) (more bool)
	// Round begins a round of gathered changes: counts that change by themselves,
	// as time passes, are due again. It reports whether a route disappeared since
	// the last round, which only All can tell.
	Round() (removed bool)
	// All calls visit for every route. visit must not block.
	All(visit func(route string, count Count))
	// Close ends the feed.
	Close()
}
