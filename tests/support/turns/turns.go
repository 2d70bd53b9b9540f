// Package turns shows whether code lets other goroutines run.
package turns

import (
	"io"
	"runtime"
	"sync"
	"sync/atomic"
)

// During runs f on one processor, and returns how often another goroutine ran meanwhile.
func During(f func()) int {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var turns atomic.Int64
	var done atomic.Bool
	var other sync.WaitGroup
	other.Go(func() {
		for !done.Load() {
			turns.Add(1)
			runtime.Gosched()
		}
	})
	runtime.Gosched()
	before := turns.Load()
	f()
	got := turns.Load() - before
	done.Store(true)
	other.Wait()
	return int(got)
}

// Reader has bytes for this many reads, however large, and never waits.
type Reader int

func (r *Reader) Read(b []byte) (int, error) {
	if *r == 0 {
		return 0, io.EOF
	}
	*r--
	return len(b), nil
}
