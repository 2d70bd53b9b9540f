package coldstart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// ReadAheadLimit is how much of a silently held request is read ahead, and how
	// much of any request is buffered once it is forwarded.
	ReadAheadLimit = 64 << 10

	// maxWhole is what no body is buffered beyond, whatever the settings say.
	maxWhole = 1 << 30

	// stallTimeout is how long an upload may make no progress.
	stallTimeout = 30 * time.Second
	// firstBuffer is how much is set aside for a body at first. A length that a
	// client only claims is not believed.
	firstBuffer = 4 << 10
	// maxEmptyReads is how often in a row a body may give nothing.
	maxEmptyReads = 100
)

// ErrStalled is an upload that made no progress for 30 seconds; its client is
// owed a 408.
var ErrStalled = errors.New("request body made no progress")

// Budget bounds the memory of all bodies that are held back at a time: requests
// that are read ahead, and answers that must be had whole. It is safe for
// concurrent use.
type Budget struct {
	max  int64
	used atomic.Int64
}

// NewBudget returns a budget of that many bytes; 0 or less is no bound.
func NewBudget(bytes int64) *Budget { return &Budget{max: bytes} }

// Reserve takes n bytes, if there are as many.
func (b *Budget) Reserve(n int) bool {
	if used := b.used.Add(int64(n)); b.max > 0 && used > b.max {
		b.used.Add(-int64(n))
		return false
	}
	return true
}

// Release gives n bytes back.
func (b *Budget) Release(n int) { b.used.Add(-int64(n)) }

// Upload is the body of a cold request. A goroutine reads it into memory while
// the request waits, since net/http does not notice that an HTTP/1.1 client has
// left while its body is unread; nobody waits for its end, since the client may
// wait for an answer before it goes on (gRPC streams do). It is the body of the
// request that is forwarded: its reader gets what has come so far, and then what
// comes. The goroutine is over when the body is.
//
// A nil Upload is that of a request without a body: whole, and never failing.
type Upload struct {
	source  *http.Request // as the server made it
	chain   *http.Request // what the handlers get
	control *http.ResponseController
	budget  *Budget
	object  bool // only a JSON object is of interest as a whole

	settled chan struct{} // closed when it is known whether the body can be had whole
	failed  chan struct{} // closed when it is not worth to wait for
	done    chan struct{} // closed when the goroutine is over; nil before it began

	mu       sync.Mutex
	changed  sync.Cond   // of all that follows
	buf      []byte      // its free end is the goroutine's while that reads
	taken    int         // bytes of buf that the reader has got
	most     int         // what buf may grow to
	reserved int         // bytes of the budget
	known    bool        // settled is closed
	whole    bool        // buf is the whole body
	looked   bool        // at the first byte that is no space
	flowing  bool        // the request is forwarded
	closed   bool        // Close was called
	progress time.Time   // when the last bytes came
	stall    *time.Timer // nil while the rule on stalls does not hold
	err      error       // why nothing more comes, io.EOF for one
	failure  error       // why failed is closed
}

// Receive begins to read the body of a request, up to limit bytes before it is
// forwarded, and returns it together with the request to go on with. That one is
// a copy, as net/http writes the trailers of a request when its body ends, which
// may be at any time: the copy gets them when its reader does. object says that
// the body is of interest as a whole only if it is a JSON object.
//
// A body that is longer than limit, or for which the budget has no room, arrives
// all the same: it is read as it is taken. One that says that it is longer is not
// touched before, so that a client that waits for 100 Continue does not send what
// nobody would keep.
//
// Close must be called before the handler returns or answers by itself.
func (b *Budget) Receive(w http.ResponseWriter, r *http.Request, limit int64, object bool) (*Upload, *http.Request) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, r
	}
	u := &Upload{
		source: r, chain: r.WithContext(r.Context()), control: http.NewResponseController(w), budget: b, object: object,
		settled: make(chan struct{}), failed: make(chan struct{}),
		// One byte more than may come shows the end, or that there is none.
		most: int(min(limit, maxWhole)) + 1, progress: time.Now(),
	}
	u.changed.L = &u.mu
	u.chain.Body, u.chain.Trailer = u, maps.Clone(r.Trailer)
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case r.ContentLength > limit:
		u.settle(false)
		return u, u.chain
	case r.ContentLength >= 0:
		u.most = int(r.ContentLength) + 1
		u.watch()
	}
	u.begin()
	return u, u.chain
}

// Settled is closed when it is known whether the body can be had whole.
func (u *Upload) Settled() <-chan struct{} { return u.settled }

// Whole returns the body, if it is there from its first byte to its end. The
// bytes must not be changed, nor used once the request is forwarded.
func (u *Upload) Whole() ([]byte, bool) {
	if u == nil {
		return nil, true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.buf, u.whole
}

// Replay is Whole for whoever forwards the request in place of Read: the bytes may
// be sent any number of times, until Close. The trailers are there from then on.
func (u *Upload) Replay() ([]byte, bool) {
	if u == nil {
		return nil, true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.whole || u.flowing || u.closed {
		return nil, false
	}
	if u.chain.Trailer != nil {
		maps.Copy(u.chain.Trailer, u.source.Trailer)
	}
	return u.buf, true
}

// Failed is closed when the request is not worth to be held any more; Err then
// says why. The rule on stalls holds for a body that says its length and for a
// JSON object that must be had whole.
func (u *Upload) Failed() <-chan struct{} {
	if u == nil {
		return nil
	}
	return u.failed
}

// Err is ErrStalled, or wraps context.Canceled if the client has left, or sends
// what is no body.
func (u *Upload) Err() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.failure
}

// Read gives what has come, and waits only while there is nothing.
func (u *Upload) Read(b []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.flowing {
		u.flowing, u.most = true, ReadAheadLimit
		u.unwatch()
		u.begin()
		u.changed.Broadcast()
	}
	for u.taken == len(u.buf) && u.err == nil && !u.closed {
		u.changed.Wait()
	}
	switch {
	case u.closed:
		return 0, http.ErrBodyReadAfterClose
	case u.taken < len(u.buf):
		n := copy(b, u.buf[u.taken:])
		u.taken += n
		u.changed.Broadcast()
		return n, nil
	case errors.Is(u.err, io.EOF) && u.chain.Trailer != nil:
		// Whoever reads to the end owns the map now: a transport writes it next.
		maps.Copy(u.chain.Trailer, u.source.Trailer)
	}
	u.free()
	return 0, u.err
}

// Close ends the upload, waits for its goroutine, and gives the memory back. What
// has not arrived by then is of no use to anybody: the server must not wait for it
// either. It never fails, and may be called again.
func (u *Upload) Close() error {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	u.closed = true
	u.unwatch()
	u.changed.Broadcast()
	unread, done := u.err == nil, u.done
	u.mu.Unlock()
	if unread {
		// Without a connection behind it there are no deadlines, but then a body
		// does not block either.
		_ = u.control.SetReadDeadline(time.Unix(1, 0))
	}
	if done != nil {
		<-done
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.free()
	return nil
}

// The methods below are called with the lock held, unless they say otherwise.

// begin starts the goroutine, once.
func (u *Upload) begin() {
	if u.done == nil && !u.closed {
		u.done = make(chan struct{})
		go u.pump()
	}
}

// pump reads until the end, an error, or Close. It takes the lock itself.
func (u *Upload) pump() {
	defer close(u.done)
	for empty := 0; ; empty++ {
		room := u.next()
		if room == nil {
			return
		}
		n, err := u.source.Body.Read(room)
		if n > 0 {
			empty = -1
		} else if err == nil && empty == maxEmptyReads {
			err = io.ErrNoProgress
		}
		u.mu.Lock()
		u.received(n, err)
		u.mu.Unlock()
	}
}

// next waits until there is room to read into. It is nil when no more is to be
// read. It takes the lock itself.
func (u *Upload) next() []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	for u.err == nil && !u.closed {
		if room := u.room(); len(room) > 0 {
			return room
		}
		// It is not the client who makes it wait.
		u.unwatch()
		u.settle(false)
		u.changed.Wait()
	}
	return nil
}

// received takes note of what was read.
func (u *Upload) received(n int, err error) {
	u.buf = u.buf[:len(u.buf)+n]
	u.err = err
	if n > 0 {
		u.progress = time.Now()
	}
	if u.object && !u.looked && !u.flowing {
		u.look()
	}
	if err != nil {
		u.unwatch()
	}
	switch {
	case errors.Is(err, io.EOF):
		u.settle(!u.flowing && len(u.buf) < u.most)
	case err != nil:
		// A reset, a half-sent body, a broken encoding.
		u.fail(fmt.Errorf("reading request body: %w: %w", context.Canceled, err))
	}
	u.changed.Broadcast()
}

// look decides by the first byte that is no space whether the body may be a JSON
// object.
func (u *Upload) look() {
	text := bytes.TrimLeft(u.buf, " \t\r\n")
	switch {
	case len(text) == 0:
		return
	case text[0] == '{':
		u.watch()
	default:
		u.most = min(u.most, ReadAheadLimit+1)
		u.settle(false)
	}
	u.looked = true
}

// room is where the next bytes go, empty if there is none for now.
func (u *Upload) room() []byte {
	unread := len(u.buf) - u.taken
	switch {
	case !u.flowing:
	case unread > ReadAheadLimit-firstBuffer:
		return nil
	case cap(u.buf) > ReadAheadLimit:
		// What was kept to be looked at is not needed any more.
		u.resize(ReadAheadLimit)
	case unread == 0 || u.taken >= firstBuffer && len(u.buf) == cap(u.buf):
		u.buf, u.taken = u.buf[:copy(u.buf, u.buf[u.taken:])], 0
	}
	if len(u.buf) == cap(u.buf) {
		u.grow()
	}
	return u.buf[len(u.buf):cap(u.buf)]
}

// grow makes the buffer larger, if that is allowed. A request that is forwarded
// needs some buffer, whatever the budget says.
func (u *Upload) grow() {
	size := cap(u.buf)
	next := min(u.most, max(2*size, firstBuffer))
	if next <= size {
		return
	}
	if u.budget.Reserve(next - u.reserved) {
		u.reserved = next
	} else if !u.flowing || size > 0 {
		return
	}
	u.resize(next)
}

// resize moves what is unread to a buffer of another size. What it is smaller
// than what was reserved goes back.
func (u *Upload) resize(size int) {
	if spare := u.reserved - size; spare > 0 {
		u.budget.Release(spare)
		u.reserved = size
	}
	moved := make([]byte, len(u.buf)-u.taken, size)
	copy(moved, u.buf[u.taken:])
	u.buf, u.taken = moved, 0
}

// free gives the buffer back.
func (u *Upload) free() {
	u.budget.Release(u.reserved)
	u.buf, u.taken, u.reserved = nil, 0, 0
}

// settle makes known whether the body is there as a whole; the first word counts.
func (u *Upload) settle(whole bool) {
	if u.known {
		return
	}
	u.known, u.whole = true, whole
	close(u.settled)
}

// fail makes known that the request is not worth to be held; the first reason
// counts.
func (u *Upload) fail(err error) {
	if u.failure == nil {
		u.failure = err
		close(u.failed)
	}
}

// watch begins to hold the upload to the rule on stalls.
func (u *Upload) watch() {
	if u.stall == nil {
		u.stall = time.AfterFunc(stallTimeout, u.check)
	}
}

// unwatch ends that.
func (u *Upload) unwatch() {
	if u.stall != nil {
		u.stall.Stop()
		u.stall = nil
	}
}

// check fails an upload that has stalled. It runs when the timer fires, and takes
// the lock itself.
func (u *Upload) check() {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch rest := stallTimeout - time.Since(u.progress); {
	case u.stall == nil: // in the meantime
	case rest > 0:
		u.stall.Reset(rest)
	default:
		u.fail(fmt.Errorf("reading request body: %w", ErrStalled))
	}
}
