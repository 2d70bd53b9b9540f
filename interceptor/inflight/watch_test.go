package inflight

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedacore/http-add-on/pkg/queue"
)

// costly is a Tracker each of whose counts takes fake time to look at, as it
// takes real time to find, compare and encode it.
type costly struct {
	*Tracker
	perCount time.Duration
	visited  int // counts looked at
	walks    int // times that all were
}

// charge takes the time of so many counts, outside of all locks.
func (c *costly) charge(n int) {
	c.visited += n
	if n > 0 {
		<-time.After(time.Duration(n) * c.perCount)
	}
}

func (c *costly) Counts() queue.Counts {
	counts := c.Tracker.Counts()
	c.walks++
	c.charge(len(counts))
	return counts
}

func (c *costly) Feed() queue.Feed { return &costlyFeed{c.Tracker.Feed(), c} }

type costlyFeed struct {
	queue.Feed
	costs *costly
}

func (f *costlyFeed) Take(u queue.Urgency, most int, visit func(string, queue.Count)) bool {
	n := 0
	more := f.Feed.Take(u, most, func(route string, c queue.Count) { n++; visit(route, c) })
	f.costs.charge(n)
	return more
}

func (f *costlyFeed) All(visit func(string, queue.Count)) {
	n := 0
	f.Feed.All(func(route string, c queue.Count) { n++; visit(route, c) })
	f.costs.walks++
	f.costs.charge(n)
}

// wire is a reader that records when it learns that a route is cold.
type wire struct {
	header http.Header
	cold   map[string]time.Time
	t      *testing.T
}

func (w *wire) Header() http.Header              { return w.header }
func (w *wire) WriteHeader(int)                  {}
func (w *wire) Flush()                           {}
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

func (w *wire) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(`"Cold":true`)) {
		var e queue.Event
		if err := json.Unmarshal(line, &e); err != nil {
			w.t.Errorf("decoding a line: %v", err)
		}
		for route, count := range e.Counts {
			if _, known := w.cold[route]; count.Cold && !known {
				w.cold[route] = time.Now()
			}
		}
	}
	return len(line), nil
}

func TestAColdHitWaitsForNothing(t *testing.T) {
	const (
		n        = 100000
		ms       = time.Millisecond
		coldHits = 40
		spacing  = 13700 * time.Microsecond // meets the 250 ms rounds at ever other moments
	)
	tests := map[string]struct {
		reason  string
		every   time.Duration
		change  func(i int, routes []*Route)
		visited int // at most, after the first snapshot
	}{
		"nothing else": {
			"a cold hit is told, and looked at each 250 ms while it lasts",
			time.Second, func(int, []*Route) {}, coldHits*2 + coldHits*5,
		},
		"a route flaps": {
			"it is told each 5 ms, and nobody waits for it",
			50 * time.Microsecond, func(_ int, routes []*Route) { routes[0].Acquire()() }, coldHits*2 + coldHits*5 + 150,
		},
		"all routes flap": {
			"many lines, and cold hits go between them",
			250 * ms, func(_ int, routes []*Route) {
				for _, r := range routes {
					r.Acquire()()
				}
			}, 8 * n,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := &costly{Tracker: NewTracker(nil), perCount: time.Microsecond}
				var routes []*Route
				for i := range n {
					routes = append(routes, source.Route(fmt.Sprint("ns/route-", i)))
				}
				for prep := source.Tracker.Feed(); prep.Take(queue.Gathered, n, func(string, queue.Count) {}); {
				}
				w := &wire{header: http.Header{}, cold: map[string]time.Time{}, t: t}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				over := make(chan struct{})
				go func() {
					defer close(over)
					queue.NewHandler(source, nil).ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, queue.Path+"?watch=true", nil))
				}()
				<-time.After(time.Second) // the first snapshot is through
				synctest.Wait()
				source.visited, source.walks = 0, 0

				change, hit := time.NewTicker(test.every), time.NewTicker(spacing)
				defer change.Stop()
				defer hit.Stop()
				hits := map[string]time.Time{}
				for i := 0; len(hits) < coldHits; i++ {
					select {
					case <-change.C:
						test.change(i, routes[:n-coldHits])
					case <-hit.C:
						r := routes[n-1-len(hits)]
						hits[r.key] = time.Now()
						r.Acquire()
						r.Cold(time.Hour, nil)
					}
				}
				<-time.After(20 * ms)
				cancel()
				<-over
				for route, at := range hits {
					told, ok := w.cold[route]
					if took := told.Sub(at); !ok || took > 5*ms {
						t.Errorf("%s: %s received %v after the hit (%v)", test.reason, route, took, ok)
					}
				}
				if source.visited > test.visited || source.walks > 0 {
					t.Errorf("%d counts were looked at, want at most %d; %d walks over all", source.visited, test.visited, source.walks)
				}
			})
		})
	}
}
