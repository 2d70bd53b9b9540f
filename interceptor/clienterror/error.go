// Package clienterror is what a client may know of a failure. Every step of the chain returns one
// type (Error). One writer puts it into the shape that the client's protocol expects (Write).
package clienterror

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// StatusClientClosedRequest is recorded for a client that left before it was answered.
// It is never sent.
const StatusClientClosedRequest = 499

// Error is a request that failed, in the terms of its client. Status, Message and
// RetryAfter may leave the interceptor; Err is for the log.
type Error struct {
	// Status is the HTTP status to answer with, and to record.
	Status int
	// Message for the client. It names no address and no other tenant's object.
	Message string
	// RetryAfter is when the client may try again; 0 leaves that open.
	RetryAfter time.Duration
	// Err is the cause, for the log; may be nil.
	Err error
	// Sent reports that the client has read the failure already, in a stream. The
	// response is complete, and its connection stays usable.
	Sent bool
}

// Error returns the text for the log.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", e.Message, e.Err)
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Of returns what the client of r may know of err.
func Of(err error, r *http.Request) *Error {
	var failure *Error
	switch {
	case errors.As(err, &failure):
		return failure
	case r.Context().Err() != nil, errors.Is(err, context.Canceled):
		return &Error{Status: StatusClientClosedRequest, Message: "the client has left", Err: err}
	case errors.Is(err, http.ErrAbortHandler):
		return &Error{Status: http.StatusBadGateway, Message: "the response of the backend was cut", Err: err}
	}
	return &Error{Status: http.StatusInternalServerError, Message: "internal error", Err: err}
}
