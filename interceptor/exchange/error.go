package exchange

import (
	"fmt"
	"time"
)

// StatusClientClosedRequest is recorded for a client that left before it was
// answered. It is never sent.
const StatusClientClosedRequest = 499

// Error is a request that failed, in the terms of its client. Only Status,
// Message and RetryAfter leave the interceptor; Err is for the log.
type Error struct {
	// Status is the HTTP status to answer with.
	Status int
	// Message for the client. It names no address and no other tenant's object.
	Message string
	// RetryAfter is when the client may try again; 0 says nothing.
	RetryAfter time.Duration
	// Err is the cause, for the log; may be nil.
	Err error
}

// Error says what the log shows.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", e.Message, e.Err)
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// HTTPStatus is the status that the request failed with.
func (e *Error) HTTPStatus() int { return e.Status }

// PublicMessage is what the client may read.
func (e *Error) PublicMessage() string { return e.Message }
