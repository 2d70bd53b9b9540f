package forward

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/pkg/httpserver"
)

// reached is how far an attempt that failed has come.
type reached uint8

const (
	// The zero value: bytes of an answer have arrived, or nothing is known.
	_ reached = iota
	// hinted: a backend sent informational responses, and nothing after them.
	hinted
	// silent: a backend may have seen the request, but sent no byte of an answer.
	silent
	// unsent: there was a connection, but no byte of the request left.
	unsent
	// refused: there was no connection.
	refused
)

// sendError is an attempt that brought no response.
type sendError struct {
	err     error
	reached reached
	// reused: the connection had requests before. Its backend may have closed it
	// while it was idle.
	reused bool
}

// Error describes the failure.
func (e *sendError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *sendError) Unwrap() error { return e.err }

// failure returns the error of a call that committed nothing.
func (c *call) failure(err error) error {
	expired, stalled := c.clock.expired()
	switch {
	case stalled:
		return &clienterror.Error{Status: http.StatusRequestTimeout, Message: "the request body did not arrive in time", Err: err}
	case expired:
		return timedOut(err)
	case c.in.Context().Err() != nil:
		return fmt.Errorf("forwarding: %w", c.in.Context().Err())
	case errors.Is(err, httpserver.ErrLeft):
		return fmt.Errorf("forwarding: %w", err)
	}
	if failed := c.body.SendingFailed(); failed != nil {
		return failed
	}
	if s := new(clienterror.Error); errors.As(err, &s) {
		return s
	}
	message := "the backend gave no valid answer"
	if s := new(sendError); errors.As(err, &s) && s.reached == refused {
		message = "the backend could not be reached"
	}
	return &clienterror.Error{Status: http.StatusBadGateway, Message: message, Err: err}
}

// errorType names a failure for traces, in a word of few.
func (c *call) errorType(err error) string {
	expired, _ := c.clock.expired()
	switch s := new(sendError); {
	case expired:
		return "timeout"
	case c.in.Context().Err() != nil:
		return "canceled"
	case errors.As(err, &s) && s.reached == refused:
		return "connect"
	case errors.As(err, &s):
		return "connection_lost"
	}
	return "_OTHER"
}

// cut returns the error of a call whose response was committed: its end must show
// that it is not whole.
func (c *call) cut(err error) error {
	c.traced.Failed(c.errorType(err))
	err = fmt.Errorf("copying the response: %w: %w", http.ErrAbortHandler, err)
	switch expired, _ := c.clock.expired(); {
	case expired: // which ends writes, and net/http then takes the client for gone
		return timedOut(err)
	case c.in.Context().Err() != nil:
		return fmt.Errorf("%w: %w", err, c.in.Context().Err())
	}
	return err
}

// timedOut returns the error of a call that a timeout of its route has ended.
func timedOut(err error) error {
	return &clienterror.Error{Status: http.StatusGatewayTimeout, Message: "the backend did not answer in time", Err: err}
}
