package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/pkg/queue"
)

// cheap serves a snapshot and bookmarks as an idle interceptor does, but without
// its cost: what the process spends is the scaler's.
type cheap struct {
	snapshot []byte
	done     <-chan struct{}
}

func (c cheap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", queue.ContentTypeWatch)
	control, bookmark := http.NewResponseController(w), time.NewTicker(5*time.Second)
	defer bookmark.Stop()
	for line := c.snapshot; ; line = []byte(`{"type":"BOOKMARK"}` + "\n") {
		if _, err := w.Write(line); err != nil || control.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-c.done:
			return
		case <-bookmark.C:
		}
	}
}

// processor is the time that the process has spent on a processor.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// The goal is 5 % of a core when idle; the numbers include the gRPC client's half
// of KEDA's polls, of each route every 15 s.
func BenchmarkIdle200InterceptorsOf1000Routes(b *testing.B) {
	for name, polled := range map[string]bool{"silent": false, "polled": true} {
		b.Run(name, func(b *testing.B) { idle(b, 200, 1000, polled) })
	}
}

func idle(b *testing.B, interceptors, routes int, polled bool) {
	counts := make(queue.Counts)
	for n := range routes {
		counts[fmt.Sprintf("apps/route-%04d", n)] = queue.Count{RequestCount: int64(n)}
	}
	snapshot, err := json.Marshal(queue.Event{Type: queue.Snapshot, Counts: counts})
	if err != nil {
		b.Fatal(err)
	}
	snapshot = append(snapshot, '\n')
	start := processor(b)
	w := newWorldOf(b, interceptors, 0, func(_ *counted, done <-chan struct{}) http.Handler { return cheap{snapshot, done} })
	sink := <-w.sink
	for n := range routes {
		sink.SetRoute(interceptorRoute(n))
	}
	close(w.synced)
	w.awaitReady(b)
	starting := processor(b) - start
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)

	poll := time.NewTicker(15 * time.Second / time.Duration(routes))
	defer poll.Stop()
	begun, spent := time.Now(), processor(b)
	for n := 0; b.Loop(); n++ {
		<-poll.C
		if !polled {
			continue
		}
		if _, err := w.keda.IsActive(b.Context(), ref(n%routes)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(starting.Seconds(), "cpu-s-to-start")
	b.ReportMetric(float64(memory.HeapAlloc)/(1<<20), "heap-MiB")
	b.ReportMetric(100*float64(processor(b)-spent)/float64(time.Since(begun)), "%-of-a-core")
}
