package forward

import (
	"testing"

	"github.com/kedacore/http-add-on/interceptor/body"
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
