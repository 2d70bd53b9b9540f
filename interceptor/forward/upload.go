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

// upload is the body of the client's request. An attempt to send it reads it
// through a handle of its own: closing one does not close the body, so that an
// attempt that got no connection leaves it whole for the next, and a goroutine
// that is left over from an attempt gets nothing of it. A body that waited in
// memory is sent from there, any number of times.
type upload struct {
	body  io.Reader
	clock *clock
	whole replayer // nil if the body is not in memory
	bytes []byte   // what whole gave

	mu      sync.Mutex
	touched bool
	reading bool
	current *attempt
	err     error // what reading from the client failed with
}

// replayer is a body that is in memory as a whole, if it says so, until it is
// closed.
type replayer interface {
	io.Closer
	Replay() ([]byte, bool)
}

// hold finds out whether the body of a request is in memory.
func (u *upload) hold(body io.Reader) {
	if held, ok := body.(replayer); ok {
		if b, whole := held.Replay(); whole {
			u.whole, u.bytes = held, b
		}
	}
}

// answered gives the memory of the body back: nobody sends it again.
func (u *upload) answered() {
	if u.whole != nil {
		u.bytes = nil
		_ = u.whole.Close() // a body that has ended has nothing to fail
	}
}

// again says whether the body can be sent once more.
func (u *upload) again() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.whole != nil || !u.touched && u.err == nil
}

// attempt is the handle of one attempt.
type attempt struct {
	upload *upload
}

// attempt returns a new handle and invalidates the last one. It fails once a byte
// was asked for, unless the body is in memory.
func (u *upload) attempt() (io.ReadCloser, error) {
	if u.whole != nil {
		return io.NopCloser(bytes.NewReader(u.bytes)), nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.touched {
		return nil, errTouched
	}
	u.current = &attempt{upload: u}
	return u.current, nil
}

// interrupt ends a read that waits for the client. The transport does not return
// before it ends, not even when its context is over.
func (u *upload) interrupt(w http.ResponseWriter) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.reading {
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
	}
}

// failed is what reading from the client failed with.
func (u *upload) failed() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// Read reads from the client.
func (a *attempt) Read(p []byte) (int, error) {
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
func (a *attempt) Close() error { return nil }

// uploadFailure is a call that ended because the body could not be read.
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
