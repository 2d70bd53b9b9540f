// Package turns shows whether code lets other goroutines run.
package turns

import (
	"io"
	"runtime"
)

// During runs f on one processor, and returns how often another goroutine ran meanwhile.
func During(f func()) int {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	turns, done := 0, make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			default:
				turns++
				runtime.Gosched()
			}
		}
	}()
	runtime.Gosched()
	before := turns
	f()
	close(done)
	return turns - before
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
