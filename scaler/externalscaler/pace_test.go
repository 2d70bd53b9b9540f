package externalscaler

import (
	"fmt"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/pkg/demand"
	"github.com/kedacore/http-add-on/pkg/queue"
)

// Measures what a hit costs while many other routes wait for their turn.
func BenchmarkHit(b *testing.B) {
	for _, waiting := range []int{10, 10000} {
		b.Run(fmt.Sprint(waiting, " waiting"), func(b *testing.B) {
			demand := demand.New()
			p := newPacer(demand, time.Second)
			i := demand.Interceptor()
			i.Apply(queue.Event{Type: queue.Snapshot})
			for n := range waiting {
				key := fmt.Sprintf("apps/%d", n)
				_, cancel := p.subscribe(key)
				defer cancel()
				i.Apply(queue.Event{Type: queue.Update, Counts: queue.Counts{key: {RequestCount: 1}}})
			}
			p.turn(time.Now())
			now := time.Now()
			b.ReportAllocs()
			for n := int64(2); b.Loop(); n++ {
				i.Apply(queue.Event{Type: queue.Update, Counts: queue.Counts{"apps/0": {RequestCount: n}}})
				p.turn(now)
			}
		})
	}
}
