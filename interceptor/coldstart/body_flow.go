package coldstart

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// flow is a body of unknown length that is read ahead while its request is
// held. The client may wait for an answer before it sends more (gRPC streams
// do), so nobody can wait for the end: a goroutine reads as far as there is room,
// and the backend's reader gets what has come so far.
type flow struct {
	source  io.ReadCloser
	control *http.ResponseController
	hold    *hold
	// gone is closed when the client can send no more, without having ended.
	gone chan struct{}
	// done is closed when the goroutine is over.
	done chan struct{}

	mu      sync.Mutex
	changed sync.Cond // of all that follows
	buf     []byte    // read ahead, not yet taken
	err     error     // why nothing more comes, after buf
	ended   bool      // err is set
	closed  bool
}

// newFlow takes over the body of r. Close must be called before the handler of r
// returns.
func newFlow(w http.ResponseWriter, r *http.Request, hold *hold) *flow {
	f := &flow{
		source: r.Body, control: http.NewResponseController(w), hold: hold,
		gone: make(chan struct{}), done: make(chan struct{}),
	}
	f.changed.L = &f.mu
	go f.pump()
	return f
}

// pump reads until the end, an error, or Close.
func (f *flow) pump() {
	defer close(f.done)
	piece := make([]byte, firstBuffer)
	for f.wantsMore() {
		n, err := f.source.Read(piece)
		f.mu.Lock()
		f.buf = append(f.buf, piece[:n]...)
		f.err, f.ended = err, err != nil
		f.changed.Broadcast()
		f.mu.Unlock()
		if err != nil && err != io.EOF {
			close(f.gone)
		}
	}
}

// wantsMore waits until there is room for a piece. It is false when no more is
// to be read.
func (f *flow) wantsMore() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.closed || f.err != nil:
			return false
		case len(f.buf) == 0:
			return true
		case len(f.buf)+firstBuffer <= ReadAheadLimit && f.room():
			return true
		}
		f.changed.Wait()
	}
}

// room says whether one more piece fits into what was reserved, reserving more
// if the budget allows.
func (f *flow) room() bool {
	needed := int64(len(f.buf) + firstBuffer)
	reserved := f.hold.bytes.Load()
	return needed <= reserved || f.hold.grow(needed-reserved)
}

// Read gives what has come, and waits only while there is nothing.
func (f *flow) Read(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.buf) == 0 && f.err == nil && !f.closed {
		f.changed.Wait()
	}
	switch {
	case f.closed:
		return 0, http.ErrBodyReadAfterClose
	case len(f.buf) == 0:
		return 0, f.err
	}
	n := copy(b, f.buf)
	if f.buf = f.buf[n:]; len(f.buf) == 0 {
		f.buf = nil
	}
	f.changed.Broadcast()
	return n, nil
}

// Close ends the flow and waits for its goroutine. A read that is under way is
// cut: the rest of such a body is of no use to anybody.
func (f *flow) Close() error {
	f.mu.Lock()
	f.closed = true
	reading := !f.ended
	f.changed.Broadcast()
	f.mu.Unlock()
	if reading {
		// Without a connection behind it there are no deadlines, but then a body
		// does not block either.
		_ = f.control.SetReadDeadline(time.Unix(1, 0))
	}
	<-f.done
	f.hold.release()
	return nil
}
