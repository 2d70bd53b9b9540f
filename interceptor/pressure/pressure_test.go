package pressure

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/testr"
)

// process is a fake one: each of those that wait takes 1 MB, and a collection happens
// every second.
type process struct {
	mu                    sync.Mutex
	waiting, base, cycles int
	measured              int
}

func (p *process) collect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cycles++
	p.measured = p.base + p.waiting
}

func (p *process) watch(t *testing.T) Watch {
	return Watch{
		Limit: 100_000_000,
		Read: func() Usage {
			p.mu.Lock()
			defer p.mu.Unlock()
			return Usage{Bytes: int64(p.measured) * 1_000_000, Cycles: uint64(p.cycles)}
		},
		Waiting: func() int {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.waiting
		},
		Shed: func(n int) int {
			p.mu.Lock()
			defer p.mu.Unlock()
			n = min(n, p.waiting)
			p.waiting -= n
			return n
		},
		Log: testr.New(t),
	}
}

func TestShedding(t *testing.T) {
	for _, test := range []struct {
		reason        string
		waiting, base int
		left          int
	}{
		{"there is room", 60, 24, 60},
		{"just over the high mark", 62, 24, 49},
		{"far over it", 90, 5, 70},
		{"nothing that waits can help", 3, 90, 0},
	} {
		t.Run(test.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &process{waiting: test.waiting, base: test.base}
				p.collect()
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { defer close(done); p.watch(t).Run(ctx) }()
				for range 40 {
					<-time.After(time.Second - time.Millisecond)
					synctest.Wait()
					p.collect()
				}
				cancel()
				<-done
				if p.waiting != test.left {
					t.Errorf("%d still wait, want %d", p.waiting, test.left)
				}
			})
		})
	}
}

// Read does not count what a collection would free.
func TestGarbageIsNotCounted(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.GC()
	before := Read()
	var sink []byte
	for range 64 {
		sink = make([]byte, 1<<20)
	}
	runtime.KeepAlive(sink)
	if now := Read(); now.Bytes-before.Bytes > 16<<20 {
		t.Errorf("64 MiB of garbage count as %d bytes", now.Bytes-before.Bytes)
	}
	kept := make([]byte, 64<<20)
	runtime.GC()
	if now := Read(); now.Bytes-before.Bytes < 48<<20 || now.Cycles == before.Cycles {
		t.Errorf("64 MiB that are kept count as %d bytes", now.Bytes-before.Bytes)
	}
	runtime.KeepAlive(kept)
}
