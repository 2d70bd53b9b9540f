package inflight

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/pkg/queue"
)

// line is a reader that tells when a line holds a text.
type line struct {
	*httptest.ResponseRecorder
	text string
	seen chan struct{}
}

func (l *line) Flush() {}

func (l *line) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(l.text)) {
		select {
		case l.seen <- struct{}{}:
		default:
		}
	}
	return len(b), nil
}

// BenchmarkColdHit is the time from a cold hit to its line on the stream, while
// another route flaps. Most of it may be the 2 ms that cold hits are apart.
func BenchmarkColdHit(b *testing.B) {
	for _, n := range []int{10, 10000, 100000} {
		b.Run(fmt.Sprint(n, " routes"), func(b *testing.B) {
			tracker := NewTracker(nil)
			for i := range n {
				tracker.Route(fmt.Sprint("some-namespace/route-", i))
			}
			ctx, cancel := context.WithCancel(b.Context())
			var running sync.WaitGroup
			defer running.Wait()
			defer cancel()
			w := &line{httptest.NewRecorder(), `some-namespace/cold"`, make(chan struct{}, 1)}
			running.Go(func() {
				r := httptest.NewRequestWithContext(ctx, http.MethodGet, queue.Path+"?watch=true", nil)
				queue.NewHandler(tracker, nil).ServeHTTP(w, r)
			})
			running.Go(func() {
				flaps := time.NewTicker(time.Millisecond)
				defer flaps.Stop()
				for r := tracker.Route("some-namespace/flaps"); ; r.Acquire()() {
					select {
					case <-flaps.C:
					case <-ctx.Done():
						return
					}
				}
			})
			r := tracker.Route("some-namespace/cold")
			<-w.seen // the first snapshot
			var longest time.Duration
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				r.Acquire()() // so that its counts differ
				r.Cold(time.Hour, nil)
				<-w.seen
				longest = max(longest, time.Since(start))
			}
			b.ReportMetric(float64(longest.Microseconds()), "µs-longest")
		})
	}
}
