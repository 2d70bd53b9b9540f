package forward

import (
	"io"
	"testing"

	"github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/tests/support/turns"
)

// TestTheLargestBuffersLeaveRoom: half of the room is for the smaller ones.
func TestTheLargestBuffersLeaveRoom(t *testing.T) {
	largest := buffers[len(buffers)-1].size
	large := body.NewBudget(int64(2 * largest))
	grown := func() (l loan) {
		l.large = large
		for range buffers {
			l.larger()
		}
		return l
	}
	first, second := grown(), grown()
	if first.reserved != largest || second.reserved != buffers[1].size {
		t.Errorf("buffers of %d and %d bytes", first.reserved, second.reserved)
	}
	large.Release(first.reserved + second.reserved)
	if !large.Reserve(2 * largest) {
		t.Error("room is lost")
	}
}

// A backend whose bytes are always there already would keep the processor.
func TestALargeResponseLetsOthersRun(t *testing.T) {
	const reads = 1000 // of 256 KiB
	source := turns.Reader(reads)
	got := turns.During(func() {
		if err := copyBody(io.Discard, &source, 1<<40, body.NewBudget(0)); err != nil {
			t.Error(err)
		}
	})
	if got < reads/8 {
		t.Errorf("another goroutine ran %d times during %d reads", got, reads)
	}
}
