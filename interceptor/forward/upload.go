package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/kedacore/http-add-on/interceptor/clienterror"
)

// errTouched says that a body cannot be sent again.
var errTouched = errors.New("the body was read already")

// maxInline is the largest body that the goroutine that serves a request writes. The
// buffers of a connection take it, so that a backend which answers before it reads
// does not block us.
const maxInline = 64 << 10

// upload is the body of the client's request. An attempt to send it reads it
// through a handle of its own: closing one does not close the body, so that an
// attempt that got no connection leaves it whole for the next, and a goroutine
// that is left over from an attempt gets nothing of it. A body that waited in
// memory is sent from there, any number of times.
type upload struct {
	control *http.ResponseController
	clock   *clock
	body    io.Reader
	whole   replayer // nil if the body is not in memory
	bytes   []byte   // what whole gave

	mu          sync.Mutex
	current     *uploadReader
	touched     bool
	reading     bool
	interrupted bool
	err         error // what reading from the client failed with
}

// replayer is a body that is in memory as a whole, if it says so, until it is
// closed.
type replayer interface {
	io.Closer
	Replay() ([]byte, bool)
}

// begin takes the body of the outgoing request.
func (u *upload) begin(c *call, out *http.Request) {
	u.control, u.clock = http.NewResponseController(c.w), &c.clock
	if out.ContentLength == 0 {
		out.Body = nil
	}
	if out.Body == nil {
		return
	}
	u.body = out.Body
	if held, ok := out.Body.(replayer); ok {
		if b, whole := held.Replay(); whole {
			u.whole, u.bytes = held, b
		}
	}
	out.GetBody = u.open
	if out.ContentLength < 0 {
		// A client that speaks HTTP/2 does not say so. Without it, net/http reads ahead to
		// find out whether a GET has a body, while it looks at the trailers.
		out.TransferEncoding = []string{"chunked"}
	}
}

// rewind gives a request its body for another attempt.
func (u *upload) rewind(r *http.Request) (err error) {
	if u.body != nil {
		r.Body, err = u.open()
	}
	return err
}

// open returns a new handle and invalidates the last one. It fails once a byte
// was asked for, unless the body is in memory.
func (u *upload) open() (io.ReadCloser, error) {
	if u.whole != nil {
		return io.NopCloser(bytes.NewReader(u.bytes)), nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.touched {
		return nil, errTouched
	}
	u.current = &uploadReader{upload: u}
	return u.current, nil
}

// inline reports whether the body can be written without waiting for the client.
func (u *upload) inline() bool {
	return u.body == nil || u.whole != nil && len(u.bytes) <= maxInline
}

// answered gives the memory of the body back: it is not sent again.
func (u *upload) answered() {
	if u.whole != nil {
		u.bytes = nil
		_ = u.whole.Close() // a body that has ended has nothing to fail
	}
}

// again reports whether the body can be sent once more.
func (u *upload) again() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.whole != nil || !u.touched && u.err == nil
}

// stop invalidates the current handle and ends its read.
func (u *upload) stop() {
	u.mu.Lock()
	u.current = nil
	u.mu.Unlock()
	u.interrupt()
}

// interrupt ends a read that waits for the client.
func (u *upload) interrupt() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.reading && !u.interrupted {
		u.interrupted = true
		_ = u.control.SetReadDeadline(past)
	}
}

// failed returns what reading from the client failed with.
func (u *upload) failed() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// uploadReader is the handle of one attempt.
type uploadReader struct{ upload *upload }

// Read reads from the client.
func (a *uploadReader) Read(p []byte) (int, error) {
	u := a.upload
	u.mu.Lock()
	if u.current != a {
		u.mu.Unlock()
		return 0, errTouched
	}
	u.touched, u.reading = true, true
	u.mu.Unlock()

	u.clock.pause()
	n, err := u.body.Read(p)
	u.clock.resume()

	u.mu.Lock()
	defer u.mu.Unlock()
	u.reading = false
	if err != nil && err != io.EOF {
		u.err = err
	}
	return n, err
}

// Close does nothing: the body is the server's to close.
func (a *uploadReader) Close() error { return nil }

// uploadFailure returns the error of a call that ended because the body could not be read.
func uploadFailure(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &clienterror.Error{Status: http.StatusRequestEntityTooLarge, Message: "the request body is too large", Err: err}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, new(net.Error)):
		// The connection has ended, though the server may not have seen it yet.
		return fmt.Errorf("reading the request body: %w: %w", context.Canceled, err)
	}
	return &clienterror.Error{Status: http.StatusBadRequest, Message: "the request body could not be read", Err: err}
}

// past is a deadline that ends what waits at once.
var past = time.Unix(1, 0)
