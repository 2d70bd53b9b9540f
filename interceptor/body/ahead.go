package body

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/pkg/httpserver"
)

const (
	// ReadAheadLimit is how much of a silently held request is read ahead if the budget has any
	// room. More is read ahead while half of the budget is free. It is also how much of any request
	// is buffered once it is forwarded.
	ReadAheadLimit = 64 << 10

	// maxWhole caps how much of one body is buffered, regardless of configuration.
	maxWhole = 1 << 30

	// stallTimeout is how long an upload may make no progress.
	stallTimeout = 30 * time.Second
	// blindTimeout is how long the rest of a body may stay in the connection when the budget has
	// no room. Behind it the kernel cannot see that the client has left.
	blindTimeout = 30 * time.Second
	// roomInterval is the time between two looks for room.
	roomInterval = time.Second
	// waitInterval is the time between two looks whether a client that waits for 100 Continue
	// waits no more.
	waitInterval = time.Second
	// closePatience is how long the end of an unneeded upload may take before it is interrupted.
	closePatience = 50 * time.Millisecond
	// firstBuffer is the size of the first buffer: a client may claim any length.
	firstBuffer = 4 << 10
	// coarse is the size from which a buffer for a body of unknown length grows by less than twice: it is charged whole.
	// Smaller steps leave more garbage.
	coarse = 1 << 20
	// maxEmptyReads is how often in a row a body may give nothing.
	maxEmptyReads = 100
)

var (
	errStalled = errors.New("no progress")
	errNoRoom  = errors.New("no room for the rest of the body")
)

// ahead is a body that is read ahead. A goroutine reads it into memory while the request waits.
// Otherwise net/http would not notice that an HTTP/1.1 client has left while its body is unread.
// Nothing waits for its end: the client may wait for an answer before it goes on (gRPC streams
// do). The goroutine ends with the body.
type ahead struct {
	body   *Body
	chain  *http.Request // what the handlers get
	budget *Budget
	limit  int  // most bytes of a whole body
	object bool // only a JSON object is of interest as a whole

	settled chan struct{} // closed when the body is whole or cannot be
	done    chan struct{} // closed when the goroutine ends; nil before

	mu      sync.Mutex
	changed sync.Cond // of everything below

	failed chan struct{} // closed once waiting is pointless; nil once the body has ended

	buf   []byte // the goroutine owns its free end while it reads
	taken int    // bytes of buf that the reader has got
	most  int    // what buf may grow to

	reserved int // bytes of the budget
	window   int // bytes of the budget for what arrives before it is read

	blind bool // unread bytes hide that the client has left

	known   bool // settled is closed
	whole   bool // buf is the whole body
	looked  bool // at the first byte that is not a space
	flowing bool // the request is forwarded
	closed  bool // Close was called

	progress time.Time   // when the last bytes came
	stall    *time.Timer // nil while the rule on stalls does not hold

	full   *time.Timer // looks for room; nil while there is some
	fullAt time.Time   // when the room ran out
	waits  *time.Timer // looks whether the client sends uninvited; nil if that does not matter

	err     error // why nothing more comes, io.EOF for one
	failure error // why failed is closed
}

// readAhead begins to read the body of a request.
func readAhead(b *Body, budget *Budget, limit int64, interest Interest) *ahead {
	r := b.request
	a := &ahead{
		body: b, chain: r, budget: budget, limit: int(min(limit, maxWhole)), object: interest == Object,
		settled: make(chan struct{}), failed: make(chan struct{}), progress: time.Now(),
	}
	a.window = b.Window()
	budget.Take(a.window)
	a.changed.L = &a.mu
	if r.ContentLength < 0 || r.Trailer != nil { // otherwise there are no trailers
		a.chain = r.WithContext(r.Context())
		a.chain.Trailer = maps.Clone(r.Trailer)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	over := r.ContentLength > limit
	if over {
		a.settle()
	}
	if r.Header["Expect"] != nil && (over || interest == Repetition) {
		a.waits = time.AfterFunc(waitInterval, a.listen)
		return a
	}
	// HTTP/2 has windows: its server goes on reading.
	a.start(r.ProtoMajor == 1)
	return a
}

// get returns the body if it is there as a whole, and of interest.
func (a *ahead) get() ([]byte, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.buf, a.whole && len(a.buf) <= a.limit
}

// pointless returns a channel that is closed once holding the request is pointless, nil for never.
func (a *ahead) pointless() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed
}

// replay is get for the forwarder. The trailers are there from then on. A large body that is only
// of interest for a repetition must not take the room of requests that wait.
func (a *ahead) replay() ([]byte, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.whole || a.flowing || a.closed || len(a.buf) > a.limit && !a.budget.ReserveHalf(0) {
		return nil, false
	}
	if a.chain.Trailer != nil {
		maps.Copy(a.chain.Trailer, a.body.request.Trailer)
	}
	return a.buf, true
}

// reason returns why holding the request is pointless.
func (a *ahead) reason() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failure
}

// read returns what has come, and waits only while there is nothing.
func (a *ahead) read(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.flowing {
		a.flowing, a.most = true, ReadAheadLimit
		a.unwatch()
		a.stopTimer(&a.full)
		a.stopTimer(&a.waits)
		a.begin()
		a.changed.Broadcast()
	}
	for a.taken == len(a.buf) && a.err == nil && !a.closed {
		a.changed.Wait()
	}
	switch {
	case a.closed:
		return 0, http.ErrBodyReadAfterClose
	case a.taken < len(a.buf):
		n := copy(b, a.buf[a.taken:])
		a.taken += n
		a.changed.Broadcast()
		return n, nil
	case errors.Is(a.err, io.EOF) && a.chain.Trailer != nil:
		// Whoever reads to the end owns the map now: a transport writes it next.
		maps.Copy(a.chain.Trailer, a.body.request.Trailer)
	}
	a.free()
	return 0, a.err
}

// close ends the goroutine, waits for it, and gives the memory back.
func (a *ahead) close() {
	a.mu.Lock()
	a.closed = true
	a.unwatch()
	a.stopTimer(&a.full)
	a.stopTimer(&a.waits)
	a.changed.Broadcast()
	unread, done := a.err == nil, a.done
	a.mu.Unlock()
	if done != nil {
		// A client that keeps sending ends the read soon. Only a silent one is interrupted,
		// because net/http resets a connection whose body it can no longer read. An answer may be
		// lost with the connection.
		patience := time.AfterFunc(closePatience, a.body.interrupt)
		<-done
		patience.Stop()
	}
	if unread {
		a.body.interrupt() // else net/http may wait for bytes that are not coming
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.free()
}

// The methods below are called with the lock held, unless they say otherwise.

// start begins to read ahead. blind means that unread bytes hide that the client has left.
func (a *ahead) start(blind bool) {
	r := a.body.request
	a.blind = blind
	// One byte more than may come shows whether the body has ended.
	a.most = maxWhole + 1
	if r.ContentLength >= 0 {
		a.most = int(min(int64(a.most), r.ContentLength+1))
		a.watch()
	}
	a.begin()
}

// begin starts the goroutine, once.
func (a *ahead) begin() {
	if a.done == nil && !a.closed {
		a.done = make(chan struct{})
		go a.pump()
	}
}

// pump reads until the end, an error, or Close. It takes the lock itself.
func (a *ahead) pump() {
	defer close(a.done)
	for empty := 0; ; empty++ {
		room := a.next()
		if room == nil {
			return
		}
		n, err := a.body.readSource(room)
		if n > 0 {
			empty = -1
		} else if err == nil && empty == maxEmptyReads {
			err = io.ErrNoProgress
		}
		a.mu.Lock()
		a.received(n, err)
		a.mu.Unlock()
	}
}

// next waits until there is room to read into. It returns nil when no more is to be read. It
// takes the lock itself.
func (a *ahead) next() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	watched := a.stall != nil
	for a.err == nil && !a.closed {
		if room := a.room(); len(room) > 0 {
			a.stopTimer(&a.full)
			if watched && !a.flowing && a.stall == nil {
				a.progress = time.Now()
				a.watch()
			}
			return room
		}
		// The wait is not the client's fault.
		a.unwatch()
		a.settle()
		if a.blind && !a.flowing && a.full == nil {
			a.fullAt = time.Now()
			a.full = time.AfterFunc(roomInterval, a.retry)
		}
		a.changed.Wait()
	}
	return nil
}

// received records what was read.
func (a *ahead) received(n int, err error) {
	a.buf = a.buf[:len(a.buf)+n]
	a.err = err
	if n > 0 {
		a.progress = time.Now()
	}
	if a.object && !a.looked && !a.flowing {
		a.look()
	}
	if len(a.buf) > a.limit {
		a.settle()
	}
	if err != nil {
		a.unwatch()
		a.budget.Release(a.window)
		a.window = 0
	}
	switch {
	case errors.Is(err, io.EOF):
		a.failed = nil // it cannot happen any more, and takes memory
		a.whole = !a.flowing && len(a.buf) < a.most
		a.settle()
	case err != nil:
		a.fail(a.body.failure(err))
	}
	a.changed.Broadcast()
}

// look decides by the first byte that is not a space whether the body may be a JSON object.
func (a *ahead) look() {
	text := bytes.TrimLeft(a.buf, " \t\r\n")
	if len(text) == 0 {
		return
	}
	a.looked = true
	if text[0] != '{' {
		a.limit = min(a.limit, ReadAheadLimit)
		a.settle()
	}
}

// room returns where the next bytes go, empty if there is no room now.
func (a *ahead) room() []byte {
	unread := len(a.buf) - a.taken
	switch {
	case !a.flowing:
	case unread > ReadAheadLimit-firstBuffer:
		return nil
	case cap(a.buf) > ReadAheadLimit:
		// The bytes that were kept for look are no longer needed.
		a.resize(ReadAheadLimit)
	case unread == 0 || a.taken >= firstBuffer && len(a.buf) == cap(a.buf):
		a.buf, a.taken = a.buf[:copy(a.buf, a.buf[a.taken:])], 0
	}
	if len(a.buf) == cap(a.buf) {
		a.grow()
	}
	return a.buf[len(a.buf):cap(a.buf)]
}

// grow makes the buffer larger, if that is allowed. A request that is forwarded
// needs some buffer, whatever the budget says.
func (a *ahead) grow() {
	size := cap(a.buf)
	next := 2 * size
	if size >= coarse && a.body.request.ContentLength < 0 {
		next = size + size/4
	}
	next = min(a.most, max(next, firstBuffer))
	if next <= size {
		return
	}
	reserve := a.budget.Reserve
	if bound := a.bound() + 1; !a.blind && !a.flowing && next > bound {
		if size < bound {
			next = bound
		} else {
			reserve = a.budget.ReserveHalf
		}
	}
	if reserve(next - a.reserved) {
		a.reserved = next
	} else if !a.flowing || size > 0 {
		return
	}
	a.resize(next)
}

// bound is how much is read ahead as long as the budget has any room.
func (a *ahead) bound() int {
	if a.known {
		return ReadAheadLimit
	}
	return max(a.limit, ReadAheadLimit)
}

// resize moves the unread bytes to a buffer of another size. It returns what it no longer needs
// of the reservation.
func (a *ahead) resize(size int) {
	if spare := a.reserved - size; spare > 0 {
		a.budget.Release(spare)
		a.reserved = size
	}
	moved := make([]byte, len(a.buf)-a.taken, size)
	a.body.turn.Noted(copy(moved, a.buf[a.taken:]))
	a.buf, a.taken = moved, 0
}

// free gives the buffer back.
func (a *ahead) free() {
	a.budget.Release(a.reserved + a.window)
	a.buf, a.taken, a.reserved, a.window = nil, 0, 0, 0
}

// settle reports that it is known whether the body is there as a whole and of interest.
func (a *ahead) settle() {
	if !a.known {
		a.known = true
		close(a.settled)
	}
}

// fail reports that holding the request is pointless; the first reason counts.
func (a *ahead) fail(err error) {
	if a.failure == nil && a.failed != nil {
		a.failure = err
		close(a.failed)
	}
}

// watch begins to hold the upload to the rule on stalls.
func (a *ahead) watch() {
	if a.stall == nil {
		a.stall = time.AfterFunc(stallTimeout, a.check)
	}
}

// unwatch ends that.
func (a *ahead) unwatch() { a.stopTimer(&a.stall) }

func (a *ahead) stopTimer(t **time.Timer) {
	if *t != nil {
		(*t).Stop()
		*t = nil
	}
}

// retry looks for room, or fails a body whose rest found none for too long. It runs when
// the timer fires, and takes the lock itself.
func (a *ahead) retry() {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.full == nil: // in the meantime
	case time.Since(a.fullAt) < blindTimeout:
		a.full.Reset(roomInterval)
		a.changed.Broadcast()
	default:
		a.fail(&clienterror.Error{
			Status: http.StatusServiceUnavailable, Message: "too many requests are waiting for this service to start",
			Err: fmt.Errorf("reading request body: %w", errNoRoom),
		})
	}
}

// listen reads the body of a client that no longer waits for 100 Continue. Unread, the body
// would hide that the client leaves. RFC 9110, 10.1.1, lets a client send after a while. It runs
// when the timer fires.
func (a *ahead) listen() {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.waits == nil: // in the meantime
	case httpserver.ClientOf(a.body.request.Context()).Sends():
		a.waits = nil
		a.start(true)
	default:
		a.waits.Reset(waitInterval)
	}
}

// check fails an upload that has stalled. It runs when the timer fires, and takes
// the lock itself.
func (a *ahead) check() {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch rest := stallTimeout - time.Since(a.progress); {
	case a.stall == nil: // in the meantime
	case rest > 0:
		a.stall.Reset(rest)
	default:
		a.fail(&clienterror.Error{
			Status: http.StatusRequestTimeout, Message: "the request body did not arrive in time",
			Err: fmt.Errorf("reading request body: %w", errStalled),
		})
	}
}
