package conformance

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/kedacore/http-add-on/interceptor/endpoints"
)

// pod is a backend that knows how many requests it has at a time, and the order in which they
// came. While its gate is set it answers none.
type pod struct {
	gate chan struct{}

	mu        sync.Mutex
	now, most int
	came      []int // the numbers of the requests
}

func (p *pod) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	number, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	p.mu.Lock()
	p.now++
	p.most = max(p.most, p.now)
	p.came = append(p.came, number)
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.now--
	}()
	if p.gate != nil {
		select {
		case <-p.gate:
		case <-r.Context().Done():
		}
	}
	if r.Method == http.MethodPost {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, answerStream)
		return
	}
	fmt.Fprint(w, "pod")
}

// seen is how many requests there are, how many there were at most, and the order
// in which they came.
func (p *pod) seen() (now, most int, came []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now, p.most, append([]int(nil), p.came...)
}

// has waits until the pod has n requests.
func (p *pod) has(w *world, n int) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("a pod has %d requests", n), func() bool { now, _, _ := p.seen(); return now == n })
}

// numbered holds requests that have a number, in that order. A request is held before it is in
// the line, so that the next one could overtake it if it were sent at once.
func (w *world) numbered(from, to int, held int64) []<-chan answer {
	w.t.Helper()
	port := w.store.Port(endpoints.Key{Namespace: "default", Service: "app", Port: "http"})
	var answers []<-chan answer
	for i := from; i < to; i++ {
		answers = append(answers, w.later(w.request(http.MethodGet, "app.test", "/"+strconv.Itoa(i), "")))
		held++
		w.held("default/app", held)
		w.eventually("the held requests are in the line", func() bool { return port.Waiting() == int(held) })
	}
	return answers
}

func all(t *testing.T, answers []<-chan answer) {
	t.Helper()
	for i, a := range answers {
		(<-a).expect(t, "request "+strconv.Itoa(i), http.StatusOK, "pod")
	}
}

func TestReleaseConcurrencyIsNeverExceeded(t *testing.T) {
	const requests, limit = 500, 4
	for _, pods := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d pods", pods), func(t *testing.T) {
			w := newWorld(t, route(`coldStart: {releaseConcurrency: 4}`))
			answers := w.numbered(0, requests, 0)
			var backends []*pod
			var addresses []string
			for range pods {
				p := &pod{}
				backends, addresses = append(backends, p), append(addresses, w.backend(p.ServeHTTP))
			}
			w.ready("app", addresses...)
			all(t, answers)
			for _, p := range backends {
				_, most, came := p.seen()
				if most > limit {
					t.Errorf("a pod had %d requests at a time", most)
				}
				if len(came) < requests/pods/4 {
					t.Errorf("a pod had %d of %d requests: all must share them", len(came), requests)
				}
			}
			if pods > 1 {
				return
			}
			_, _, came := backends[0].seen()
			inOrder(t, came, limit)
		})
	}
}

// inOrder fails if more requests than are in flight at a time came later than one
// that arrived after them.
func inOrder(t *testing.T, came []int, limit int) {
	t.Helper()
	arrived := make(map[int]bool, len(came))
	first := 0 // that did not come yet
	for _, number := range came {
		missing := 0
		for i := first; i < number; i++ {
			if !arrived[i] {
				missing++
			}
		}
		if missing >= limit {
			t.Errorf("request %d came before %d that had arrived earlier", number, missing)
		}
		arrived[number] = true
		for arrived[first] {
			first++
		}
	}
	if first != len(came) {
		t.Errorf("%d of %d requests came", first, len(came))
	}
}

func TestNewRequestsJoinTheLineOfARelease(t *testing.T) {
	w := newWorld(t, route(`
coldStart:
  releaseConcurrency: 2
  waitingPage: {}
  placeholder: {response: {body: soon}}
  maxPendingRequests: 100
  overflow: Placeholder`))
	p := &pod{gate: make(chan struct{})}
	answers := w.numbered(0, 4, 0)
	w.ready("app", w.backend(p.ServeHTTP))
	p.has(w, 2)
	w.held("default/app", 2)
	answers = append(answers, w.numbered(4, 6, 2)...)
	// A page would learn at once that the target is ready.
	navigation := w.later(w.request(http.MethodGet, "app.test", "/6", "", "Accept", "text/html"))
	w.held("default/app", 5)
	for range 5 { // one goes, one comes
		p.gate <- struct{}{}
		p.has(w, 2)
	}
	// No request waits now, but those that did are not over: the limit holds.
	w.held("default/app", 0)
	answers = append(answers, w.numbered(7, 8, 0)...)
	close(p.gate)
	all(t, answers)
	got := <-navigation
	got.expect(t, "a navigation in the line", http.StatusOK, "pod")
	got.expectHeader(t, "X-KEDA-HTTP-Cold-Start", "false") // it came to a target that was awake
	_, most, came := p.seen()
	if most != 2 {
		t.Errorf("the pod had %d requests at a time", most)
	}
	inOrder(t, came, 2)
}

func TestTheLimitEndsWithTheRelease(t *testing.T) {
	w := newWorld(t, route(`coldStart: {releaseConcurrency: 1}`))
	p := &pod{gate: make(chan struct{})}
	answers := w.numbered(0, 2, 0)
	w.ready("app", w.backend(p.ServeHTTP))
	for range answers {
		p.gate <- struct{}{}
	}
	all(t, answers)
	w.eventually("the release is over", func() bool { return w.tracker.Route("default/app").InFlight() == 0 })
	var warm []<-chan answer
	for i := range 3 {
		warm = append(warm, w.later(w.request(http.MethodGet, "app.test", "/"+strconv.Itoa(2+i), "")))
	}
	p.has(w, 3)
	close(p.gate)
	all(t, warm)
}

func TestTheLimitOfARouteIsChangedWhileRequestsWait(t *testing.T) {
	w := newWorld(t, route(`coldStart: {releaseConcurrency: 1}`))
	p := &pod{gate: make(chan struct{})}
	answers := w.numbered(0, 8, 0)
	w.ready("app", w.backend(p.ServeHTTP))
	p.has(w, 1)
	w.change(route(`coldStart: {releaseConcurrency: 3}`))
	p.has(w, 3)
	w.held("default/app", 5)
	w.change(route(`coldStart: {releaseConcurrency: 2}`))
	w.change(plainRoute)
	p.has(w, 8)
	close(p.gate)
	all(t, answers)
	_, _, came := p.seen()
	inOrder(t, came, 8)
}

func TestNewEndpointsAddTheirLimitAtOnce(t *testing.T) {
	w := newWorld(t, route(`coldStart: {releaseConcurrency: 2}`))
	first, second := &pod{gate: make(chan struct{})}, &pod{gate: make(chan struct{})}
	answers := w.numbered(0, 5, 0)
	one, two := w.backend(first.ServeHTTP), w.backend(second.ServeHTTP)
	w.ready("app", one)
	first.has(w, 2)
	w.ready("app", one, two)
	second.has(w, 2)
	w.held("default/app", 1)
	close(second.gate)
	w.held("default/app", 0)
	close(first.gate)
	all(t, answers)
}

func TestStreamsAreReleasedTheSameWay(t *testing.T) {
	w := newWorld(t, route(`coldStart: {releaseConcurrency: 1, streamingCallback: {message: Waking, interval: 1h}}`))
	p := &pod{gate: make(chan struct{})}
	backend := w.backend(p.ServeHTTP)
	var streams []io.Reader
	open := func() {
		_, events := w.chat(`{"stream":true,"messages":[]}`)
		if first := line(t, events); !strings.Contains(first, "Waking") {
			t.Fatalf("the stream begins with %q", first)
		}
		streams = append(streams, events)
	}
	open()
	open()
	w.ready("app", backend)
	p.has(w, 1)
	w.held("default/app", 1)
	open() // while the release goes on
	w.held("default/app", 2)
	close(p.gate)
	for i, s := range streams {
		if rest, err := io.ReadAll(s); err != nil || !strings.HasSuffix(string(rest), "data: [DONE]\n\n") {
			t.Errorf("stream %d ends with %q, %v", i, rest, err)
		}
	}
	if _, most, _ := p.seen(); most != 1 {
		t.Errorf("the pod had %d requests at a time", most)
	}
}
