package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/kedacore/http-add-on/interceptor/exchange"
)

// errTouched says that a body cannot be sent again.
var errTouched = errors.New("the body was read already")

// upload is the body of the client's request. An attempt to send it reads it
// through a handle of its own: closing one does not close the body, so that an
// attempt that got no connection leaves it whole for the next, and a goroutine
// that is left over from an attempt gets nothing of it.
type upload struct {
	body  io.Reader
	clock *clock

	mu      sync.Mutex
	touched bool
	reading bool
	current *attempt
	err     error // what reading from the client failed with
}

// attempt is the handle of one attempt.
type attempt struct {
	upload *upload
}

// attempt returns a new handle and invalidates the last one. It fails once a byte
// was asked for.
func (u *upload) attempt() (io.ReadCloser, error) {
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
		return &exchange.Error{Status: http.StatusRequestEntityTooLarge, Message: "the request body is too large", Err: err}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, new(net.Error)):
		// The connection has ended, though the server may not have seen it yet.
		return fmt.Errorf("reading the request body: %w: %w", context.Canceled, err)
	}
	return &exchange.Error{Status: http.StatusBadRequest, Message: "the request body could not be read", Err: err}
}
