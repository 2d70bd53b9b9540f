package coldstart

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

const (
	// ReadAheadLimit is how much of a silently held request is read ahead.
	ReadAheadLimit = 64 << 10

	// stallTimeout is how long an upload may make no progress.
	stallTimeout = 30 * time.Second
	// firstBuffer is how much is set aside for a body of unknown length at first.
	firstBuffer = 4 << 10
	// maxEmptyReads is how often in a row a body may give nothing.
	maxEmptyReads = 100
)

// ErrStalled is an upload that made no progress for 30 seconds; its client is
// owed a 408.
var ErrStalled = errors.New("request body made no progress")

// Budget bounds the memory of all bodies that are read ahead at a time. It is
// safe for concurrent use.
type Budget struct {
	max  int64
	used atomic.Int64
}

// NewBudget returns a budget of that many bytes; 0 or less is no bound.
func NewBudget(bytes int64) *Budget { return &Budget{max: bytes} }

// reserve takes n bytes, if there are as many.
func (b *Budget) reserve(n int64) bool {
	if used := b.used.Add(n); b.max > 0 && used > b.max {
		b.used.Add(-n)
		return false
	}
	return true
}

// Body is what was read of a request's body before it is forwarded.
type Body struct {
	// Bytes is the part that was read. It is replayed to whoever reads the
	// request's body, and must not be changed.
	Bytes []byte
	// Complete says that Bytes is the whole body.
	Complete bool
	// Gone is closed when the client has left while its body was read in the
	// background; nil never is.
	Gone <-chan struct{}

	hold *hold
	flow *flow
}

// Close gives the memory back to the budget. It is called when the exchange has
// ended, before its handler returns, and may be called again.
func (b Body) Close() {
	if b.flow != nil {
		_ = b.flow.Close() // never fails
	}
	if b.hold != nil {
		b.hold.release()
	}
}

// hold is what one body has taken of a budget.
type hold struct {
	budget *Budget
	bytes  atomic.Int64
}

func (h *hold) grow(n int64) bool {
	if !h.budget.reserve(n) {
		return false
	}
	h.bytes.Add(n)
	return true
}

func (h *hold) release() { h.budget.used.Add(-h.bytes.Swap(0)) }

// ReadAhead reads the body of a request that is held silently: net/http does not
// notice that an HTTP/1.1 client has left while its body is unread. A body that
// says its length is read whole if it is short enough, like by ReadWhole. One of
// unknown length is read in the background, up to ReadAheadLimit at a time, as
// its client may wait for an answer before it goes on.
func (b *Budget) ReadAhead(w http.ResponseWriter, r *http.Request) (Body, error) {
	if r.ContentLength >= 0 || r.Body == nil || r.Body == http.NoBody {
		return b.ReadWhole(w, r, ReadAheadLimit)
	}
	reserved := &hold{budget: b}
	if !reserved.grow(firstBuffer) {
		return Body{}, nil
	}
	f := newFlow(w, r, reserved)
	r.Body = f
	return Body{Gone: f.gone, flow: f}, nil
}

// ReadWhole reads up to limit bytes of the body of r, and replaces the body with
// one that gives the same bytes and then what was left unread, so that the
// backend gets all of it. A body that says it is longer than limit is not
// touched, nor is one for which the budget has no room; one of unknown length is
// read as far as both allow.
//
// It fails with ErrStalled if nothing arrives for 30 seconds, and with an error
// that wraps io.ErrUnexpectedEOF or the context's when the client has left. The
// budget is then given back already. Reading tells a client that waits for 100
// Continue to go on. Writers without read deadlines are read without one.
func (b *Budget) ReadWhole(w http.ResponseWriter, r *http.Request, limit int64) (Body, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return Body{Complete: true}, nil
	}
	if r.ContentLength > limit {
		return Body{}, nil
	}
	ahead := reader{
		source:  r.Body,
		control: http.NewResponseController(w),
		hold:    &hold{budget: b},
		// One byte more than may come shows the end, or that there is none.
		most: limit + 1,
	}
	if r.ContentLength > 0 {
		ahead.most, ahead.known = r.ContentLength+1, true
	}
	if err := ahead.read(); err != nil {
		ahead.hold.release()
		return Body{}, readError(r, err)
	}
	body := Body{Bytes: ahead.buf, Complete: ahead.ended && int64(len(ahead.buf)) <= limit, hold: ahead.hold}
	replayed := &replay{ahead: ahead.buf}
	if !ahead.ended {
		replayed.rest = r.Body
	}
	r.Body = replayed
	if ahead.ended {
		// The transport may send it again on another connection.
		r.GetBody = func() (io.ReadCloser, error) { return &replay{ahead: body.Bytes}, nil }
	}
	return body, nil
}

// readError is why a body could not be read, in terms that the edge knows.
func readError(r *http.Request, err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("reading request body: %w", ErrStalled)
	case r.Context().Err() != nil:
		return fmt.Errorf("reading request body: %w: %w", r.Context().Err(), err)
	}
	// A reset, a half-sent body, a broken encoding: the client cannot be waited
	// for any more.
	return fmt.Errorf("reading request body: %w: %w", io.ErrUnexpectedEOF, err)
}

// reader reads one body into memory that it has reserved before.
type reader struct {
	source  io.Reader
	control *http.ResponseController
	hold    *hold
	most    int64 // bytes to read at most
	known   bool  // most follows from the length of the body
	buf     []byte
	ended   bool // source has no more
}

// read reads until the source ends, most bytes are there, or the budget has no
// room. After a stall the deadline stays: the server must not wait for the rest
// of such a body either.
func (a *reader) read() error {
	for empty := 0; empty < maxEmptyReads; empty++ {
		if len(a.buf) == cap(a.buf) && !a.makeRoom() {
			return a.clearDeadline()
		}
		if err := a.control.SetReadDeadline(time.Now().Add(stallTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		n, err := a.source.Read(a.buf[len(a.buf):cap(a.buf)])
		if a.buf = a.buf[:len(a.buf)+n]; n > 0 {
			empty = -1
		}
		if err == io.EOF {
			a.ended = true
			// At once: the server now reads on the connection to notice when
			// the client leaves, and a deadline would look like that.
			return a.clearDeadline()
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// makeRoom makes the buffer larger; it is false when there is no more room. A
// length that a client only claims is not believed before its first 64 KiB are
// there.
func (a *reader) makeRoom() bool {
	size := int64(cap(a.buf))
	next := min(a.most, max(2*size, firstBuffer))
	if a.known && (a.most <= ReadAheadLimit+1 || size >= ReadAheadLimit) {
		next = a.most
	}
	if next <= size || !a.hold.grow(next-size) {
		return false
	}
	grown := make([]byte, len(a.buf), next)
	copy(grown, a.buf)
	a.buf = grown
	return true
}

func (a *reader) clearDeadline() error {
	if err := a.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// replay is a body that was read ahead, and what follows it.
type replay struct {
	ahead []byte
	rest  io.ReadCloser // nil: nothing follows
}

// Read gives what was read ahead first.
func (p *replay) Read(b []byte) (int, error) {
	if len(p.ahead) > 0 {
		n := copy(b, p.ahead)
		p.ahead = p.ahead[n:]
		return n, nil
	}
	if p.rest == nil {
		return 0, io.EOF
	}
	return p.rest.Read(b)
}

// Close closes what is unread.
func (p *replay) Close() error {
	if p.rest == nil {
		return nil
	}
	return p.rest.Close()
}
