package conformance

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// wakes lets the target wake once, by a request that is held so long.
func (w *world) wakes(took time.Duration) {
	w.t.Helper()
	pending := w.later(w.request(http.MethodGet, "app.test", "/", ""))
	w.held("default/app", 1)
	w.pass(took)
	w.ready("app", w.backend(say("awake")))
	(<-pending).expect(w.t, "the held request", http.StatusOK, "awake")
	w.ready("app")
	w.pass(time.Hour)
}

// retryAfter expects a number of seconds.
func (a answer) retryAfter(t *testing.T, want int) {
	t.Helper()
	a.expectHeader(t, "Retry-After", strconv.Itoa(want))
}

func TestClientsAreToldWhenTheTargetIsReady(t *testing.T) {
	w := newWorld(t, route("coldStart: {waitingPage: {}, activationLease: 10m}\ntimeouts: {request: 50ms}"))
	browse := func() answer { return w.do(w.request(http.MethodGet, "app.test", "/", "", "Accept", "text/html")) }
	fetch := func() answer { return w.do(w.request(http.MethodGet, "app.test", "/", "")) }

	unknown := fetch()
	unknown.expect(t, "nothing is known yet", http.StatusGatewayTimeout, "")
	unknown.expectHeader(t, "Retry-After", "")

	w.pass(37 * time.Second)
	w.ready("app", w.backend(say("awake")))
	w.counts()
	w.ready("app")
	w.pass(time.Hour)

	page := browse()
	page.expect(t, "the page tells the estimate", http.StatusServiceUnavailable, "Usually ready in about 40 s.")
	page.retryAfter(t, 37)
	w.pass(10 * time.Second)
	page = browse()
	page.expect(t, "a reload goes on with the wake", http.StatusServiceUnavailable, ">0:1")
	page.retryAfter(t, 27)
	timeout := fetch()
	timeout.expect(t, "a timeout", http.StatusGatewayTimeout, "")
	timeout.retryAfter(t, 27)
	w.pass(40 * time.Second)
	browse().expect(t, "it takes longer", http.StatusServiceUnavailable, "Taking longer than the usual 40 s.")
}

func TestTheOverflowIsToldWhenTheTargetIsReady(t *testing.T) {
	w := newWorld(t, route("coldStart: {maxPendingRequests: 1}"))
	w.wakes(37 * time.Second)
	held := w.later(w.request(http.MethodGet, "app.test", "/", ""))
	w.held("default/app", 1)
	w.pass(7 * time.Second)
	over := w.do(w.request(http.MethodGet, "app.test", "/", ""))
	over.expect(t, "over the cap", http.StatusServiceUnavailable, "")
	over.retryAfter(t, 30)
	w.ready("app", w.backend(say("awake")))
	(<-held).expect(t, "the held request", http.StatusOK, "awake")
}

// An answered request wakes the target, and a poll of /queue sees when it is ready. The
// measurement needs no held request.
func TestPagesAloneAreMeasured(t *testing.T) {
	w := newWorld(t, route("coldStart: {waitingPage: {}}"))
	browse := func() answer { return w.do(w.request(http.MethodGet, "app.test", "/", "", "Accept", "text/html")) }
	browse().expect(t, "the page", http.StatusServiceUnavailable, "0:00</p>")
	w.pass(20 * time.Second)
	w.ready("app", w.backend(say("awake")))
	if c := w.counts()["default/app"]; c.Cold {
		t.Errorf("the lease is over: %+v", c)
	}
	w.pass(time.Hour)
	w.ready("app")
	browse().expect(t, "the estimate", http.StatusServiceUnavailable, "about 20 s.")
}

// An edit of the route does not forget its wakes.
func TestStreamsSayHowFarTheWakeIs(t *testing.T) {
	const callback = `message: "Waking up, {elapsed}[ of about {estimate}] \"ok\"", keepaliveMessage: " {elapsed}", interval: 100ms`
	w := newWorld(t, streamRoute(`message: Waking`))
	w.wakes(37 * time.Second)
	w.change(streamRoute(callback))
	var first string
	w.eventually("the new text is in force", func() bool {
		_, events := w.chat(`{"stream":true,"messages":[]}`)
		first = line(t, events)
		return strings.Contains(first, "Waking up")
	})
	if !strings.Contains(first, `"content":"Waking up, 0 s of about 40 s \"ok\""`) {
		t.Errorf("first event: %s", first)
	}
	w.pass(12 * time.Second)
	_, events := w.chat(`{"stream":true,"messages":[]}`)
	if first = line(t, events); !strings.Contains(first, "Waking up, 12 s of about 40 s") {
		t.Errorf("a later stream goes on with the wake: %s", first)
	}
	w.pass(10 * time.Second)
	for !strings.Contains(line(t, events), `"content":" 22 s"`) {
	}
	w.ready("app", w.backend(answerWith(200, "text/event-stream", answerStream)))
	if rest, err := io.ReadAll(events); err != nil || !strings.HasSuffix(string(rest), "data: [DONE]\n\n") {
		t.Errorf("the answer: %q, %v", rest, err)
	}
}

// A stream whose keepalives show the wake shows each report at once, whatever its interval.
func TestAStreamShowsReportsAtOnce(t *testing.T) {
	w := newWorld(t, streamRoute(`message: Waking, keepaliveMessage: " {phase}[, {reason}]", interval: 1h`))
	_, events := w.chat(`{"stream":true,"messages":[]}`)
	if first := line(t, events); !strings.Contains(first, `"content":"Waking"`) {
		t.Errorf("first event: %s", first)
	}
	w.reports("app", map[string]any{"phase": "Scheduling"})
	for !strings.Contains(line(t, events), `"content":" scheduling"`) {
	}
	w.reports("app", map[string]any{"phase": "Pulling", "reason": "ImagePullFailed"})
	for !strings.Contains(line(t, events), `"content":" pulling, Its image cannot be downloaded."`) {
	}
	w.ready("app", w.backend(answerWith(200, "text/event-stream", answerStream)))
	if rest, err := io.ReadAll(events); err != nil || !strings.HasSuffix(string(rest), "data: [DONE]\n\n") {
		t.Errorf("the answer: %q, %v", rest, err)
	}
}

func TestTextsOfHTTPScaledObjectsMayMove(t *testing.T) {
	w := newWorld(t, strings.Replace(proposalPage, "Waking up the <application>, please wait...", "Waking, {elapsed}[ of {estimate}]", 1)+
		"  coldStartStreamingCallback: {message: \"Loading, {elapsed}\"}\n")
	w.do(w.request(http.MethodGet, "app.test", "/", "", "Accept", "text/html")).
		expect(t, "the page", http.StatusServiceUnavailable, "Waking, 0 s</p>")
	_, events := w.chat(`{"stream":true,"messages":[]}`)
	if first := line(t, events); !strings.Contains(first, `"content":"Loading, 0 s"`) {
		t.Errorf("first event: %s", first)
	}
}

// A client that waits for a turn at a warm target learns nothing of the last wake.
func TestWhoWaitsForATurnIsToldOfThatWait(t *testing.T) {
	w := newWorld(t, route(`coldStart: {releaseConcurrency: 1, streamingCallback: {message: "Wait: {elapsed}[ of about {estimate}]", interval: 1h}}`))
	p := &pod{gate: make(chan struct{})}
	long := w.numbered(0, 1, 0)
	w.pass(37 * time.Second)
	w.ready("app", w.backend(p.ServeHTTP))
	p.has(w, 1)
	w.pass(20 * time.Minute)
	_, events := w.chat(`{"stream":true,"messages":[]}`)
	if first := line(t, events); !regexp.MustCompile(`"content":"Wait: \d s"`).MatchString(first) {
		t.Errorf("first event: %s", first)
	}
	close(p.gate)
	all(t, long)
	if _, err := io.Copy(io.Discard, events); err != nil {
		t.Error(err)
	}
}

// A route that is edited while its awake target works on what was held has not
// woken again.
func TestAnEditIsNoWake(t *testing.T) {
	limited := func(limit int) string {
		return route("coldStart: {waitingPage: {}, releaseConcurrency: " + strconv.Itoa(limit) + "}")
	}
	w := newWorld(t, limited(1))
	p := &pod{gate: make(chan struct{})}
	held := w.numbered(0, 8, 0)
	w.pass(37 * time.Second)
	w.ready("app", w.backend(p.ServeHTTP))
	p.has(w, 1)
	for limit := 2; limit < 5; limit++ {
		w.change(limited(limit))
		p.has(w, limit)
	}
	close(p.gate)
	all(t, held)
	w.ready("app")
	w.pass(time.Hour)
	w.do(w.request(http.MethodGet, "app.test", "/", "", "Accept", "text/html")).
		expect(t, "the page", http.StatusServiceUnavailable, "Usually ready in about 40 s.")
}
