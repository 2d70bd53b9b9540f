// Package body is the body of a request, from the moment in which it is accepted to the backend
// that gets it. One type serves every reader. The edge asks whether the body has ended. A cold
// request is read ahead within a budget. A dialect is recognized by the whole of it, and the
// forwarder sends it, again if need be.
//
// The package knows HTTP, and neither routes nor backends.
package body

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedacore/http-add-on/interceptor/fair"
	"github.com/kedacore/http-add-on/pkg/httpserver"
)

// Body is the body of one request, and the Body of the http.Request that the handlers
// get. A nil *Body is that of a request without one: whole, and never failing.
//
// Read is for one goroutine at a time; the other methods are safe for concurrent use.
type Body struct {
	request *http.Request // as the server made it: its trailers arrive with the end
	source  io.ReadCloser // net/http's body
	w       http.ResponseWriter
	turn    fair.Turn // of who reads source
	// trailers are those that the client has announced and that may pass.
	trailers []string

	// ahead reads ahead once ReadAhead was called; until then Read passes through.
	ahead *ahead

	ended atomic.Bool

	mu      sync.Mutex
	reading bool // somebody waits for the client

	// Of a body that is sent to a backend.
	inMemory bool
	touched  bool // a byte was read
	clock    Clock
	memory   []byte        // the whole body, if inMemory is set
	current  *attempt      // may read
	idle     chan struct{} // closed when the attempt has stopped reading; nil: no waiter
	err      error         // of reading from the client
}

// Open returns the body of r and makes it r.Body, or nil if r has none. w is the
// response to r.
func Open(w http.ResponseWriter, r *http.Request) *Body {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	b := &Body{request: r, source: r.Body, w: w, trailers: announced(r)}
	r.Body = b
	return b
}

// Ended reports whether everything that the client sends was read.
func (b *Body) Ended() bool { return b == nil || b.ended.Load() }

// Window returns how many bytes of the body the server may hold unread. HTTP/1.1 leaves
// them in the connection.
func (b *Body) Window() int {
	if b == nil || b.request.ProtoMajor < 2 || b.Ended() {
		return 0
	}
	if length := b.request.ContentLength; length >= 0 {
		return int(min(length, httpserver.StreamWindow))
	}
	return httpserver.StreamWindow
}

// Interest is what a body is read ahead for.
type Interest uint8

const (
	// Repetition is to send the body again, and to notice that its client leaves.
	Repetition Interest = iota
	// Object is to look at the whole body if it is a JSON object.
	Object
	// Whole is to look at the whole body.
	Whole
)

// ReadAhead begins to read the body, up to limit bytes before it is forwarded, and returns the
// request to go on with. That is a copy if trailers may come. net/http writes the trailers of a
// request when its body ends, which may be at any time; the copy gets them when its reader does.
//
// A body that is longer than limit, or has no room in the budget, still arrives: it is read as it
// is taken. It is read earlier, and can be sent again, while half of the budget is free. On
// HTTP/1.1 it is read earlier while the budget has any room, because unread bytes hide that the
// client has left. If the rest of such a body finds no room for 30 seconds, it fails with
// 503.
//
// A client of HTTP/1.1 that waits for 100 Continue gets it only if what comes next depends on its
// body. Then the body is of interest as a whole, and its length is within limit. Otherwise the
// backend may refuse the request before the body is sent. A client that sends without waiting longer is read
// like any other.
//
// The budget is charged with Window whether it has room for that or not.
//
// The caller calls ReadAhead once, before anybody reads, and Close before its handler returns or
// answers by itself.
func (b *Body) ReadAhead(budget *Budget, limit int64, interest Interest) *http.Request {
	b.ahead = readAhead(b, budget, limit, interest)
	return b.ahead.chain
}

// Settled is closed once it is known whether the whole body fits in memory.
func (b *Body) Settled() <-chan struct{} { return b.ahead.settled }

// Whole returns the body if all of it is in memory. The caller must not change the bytes, nor use
// them once the request is forwarded.
func (b *Body) Whole() ([]byte, bool) {
	if b == nil {
		return nil, true
	}
	if b.ahead == nil {
		return nil, false
	}
	return b.ahead.get()
}

// Replay is Whole for the forwarder, which calls it in place of Read: the bytes may be
// sent any number of times, until Close. The trailers are there from then on.
func (b *Body) Replay() ([]byte, bool) {
	if b == nil {
		return nil, true
	}
	if b.ahead == nil {
		return nil, false
	}
	return b.ahead.replay()
}

// Failed returns a channel that is closed once holding the request is pointless; Err then returns
// why. It returns nil if that can no longer happen. A body stalls if
// it makes no progress for 30 seconds. The rule holds for a body that declares its length: the
// client of another one may wait for an answer.
func (b *Body) Failed() <-chan struct{} {
	if b == nil || b.ahead == nil {
		return nil
	}
	return b.ahead.pointless()
}

// Err is a *clienterror.Error for an upload that stalled and for what is not a body, or wraps
// context.Canceled if the client has left.
func (b *Body) Err() error { return b.ahead.reason() }

// Read returns what was read ahead, and then what the client sends.
func (b *Body) Read(p []byte) (int, error) {
	b.setReading(true)
	defer b.setReading(false)
	return b.read(p)
}

func (b *Body) read(p []byte) (int, error) {
	if b.ahead != nil {
		return b.ahead.read(p)
	}
	return b.readSource(p)
}

func (b *Body) setReading(reading bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = reading
}

// readSource reads what the client sends.
func (b *Body) readSource(p []byte) (int, error) {
	n, err := b.source.Read(p)
	b.turn.Took(n)
	if errors.Is(err, io.EOF) {
		b.ended.Store(true)
		b.keepTrailers()
	}
	return n, err
}

// Interrupt ends a Read that waits for the client, if there is one. The connection is
// of no further use then.
func (b *Body) Interrupt() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reading {
		b.interrupt()
	}
}

// interrupt ends a read from the client. A response without a connection has no
// deadlines, but then its body does not block either.
func (b *Body) interrupt() {
	_ = http.NewResponseController(b.w).SetReadDeadline(time.Unix(1, 0))
}

// Detach gives the request its own body back. net/http looks at it when the handler has returned.
// It lets the answer reach a client that still sends before it closes the connection, but only if
// the body is its own.
//
// Detach closes the body of an HTTP/2 request, so that its unread bytes are freed. net/http (Go
// 1.26) does that neither when a handler returns nor when the connection ends. When the
// connection ends, it stops the idle timer, closes the streams, and starts the timer again as the
// last of them closes. The timer keeps the connection and its streams in memory until it fires,
// 620 seconds later.
func (b *Body) Detach() {
	if b == nil {
		return
	}
	b.request.Body = b.source
	if b.request.ProtoMajor > 1 {
		_ = b.source.Close() // never fails
	}
}

// Close ends reading ahead and gives the memory back. It never fails, and may be called
// again. net/http closes its own body.
func (b *Body) Close() error {
	if b != nil && b.ahead != nil {
		b.ahead.close()
	}
	return nil
}
