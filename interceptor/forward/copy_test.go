package forward

import (
	"bytes"
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
	const reads = 1000
	most := reads * buffers[len(buffers)-1].size >> 20 // turns: each is 1 MiB
	source := turns.Reader(reads)
	got := turns.During(func() {
		if err := copyBody(io.Discard, &source, 1<<40, body.NewBudget(0)); err != nil {
			t.Error(err)
		}
	})
	if got < most/2 {
		t.Errorf("another goroutine ran %d times during %d turns", got, most)
	}
}

// pieces keeps what is written, and how long its longest piece is.
type pieces struct {
	bytes.Buffer
	longest int
}

func (p *pieces) Write(b []byte) (int, error) {
	p.longest = max(p.longest, len(b))
	return p.Buffer.Write(b)
}

// A body arrives as it is, in pieces that the kernel takes well.
func TestALargeBodyIsWrittenInPieces(t *testing.T) {
	sent := make([]byte, 1<<20+1)
	for i := range sent {
		sent[i] = byte(i % 251)
	}
	var got pieces
	if err := copyBody(&got, bytes.NewReader(sent), int64(len(sent)), body.NewBudget(0)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), sent) {
		t.Errorf("%d bytes arrived, not the %d that were sent", got.Len(), len(sent))
	}
	if got.longest != mostWritten {
		t.Errorf("the longest piece has %d bytes", got.longest)
	}
}
