// Package middleware holds the steps that a request takes through the
// interceptor, one file each; package app puts them in order. The steps know
// routes only in their compiled form and ask Kubernetes nothing.
package middleware

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"

	"github.com/kedacore/http-add-on/interceptor/coldstart"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/metrics"
)

// Edge is the outermost step. It turns the error of a request into its answer,
// and records every request, once: metrics, access log, and a log line for
// failures that are not the client's.
type Edge struct {
	next    exchange.Handler
	metrics *metrics.Metrics
	access  *AccessLog
	log     logr.Logger
	now     func() time.Time
	// failures bounds the log: a dead backend under load fails thousands of
	// times a second, and the metrics count them all.
	failures rate.Sometimes
}

// NewEdge returns the step around next. access may be nil: no access log.
func NewEdge(next exchange.Handler, m *metrics.Metrics, access *AccessLog, log logr.Logger, now func() time.Time) *Edge {
	return &Edge{
		next: next, metrics: m, access: access, log: log, now: now,
		failures: rate.Sometimes{First: 10, Interval: time.Second},
	}
}

// serving is the state of one request, in one allocation.
type serving struct {
	exchange exchange.Exchange
	response response
}

// ServeHTTP serves one request.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := &serving{}
	s.exchange.Start = e.now()
	s.exchange.TLS = r.TLS != nil
	s.response.ResponseWriter = w

	defer func() {
		if v := recover(); v != nil {
			e.settle(s, r, panicked(v, e.log))
		}
	}()
	if err := e.next.ServeExchange(&s.response, r, &s.exchange); err != nil {
		e.settle(s, r, err)
		return
	}
	e.record(s, r)
}

// panicked is a panic as an error. Only http.ErrAbortHandler is meant to happen.
func panicked(v any, log logr.Logger) error {
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return http.ErrAbortHandler
	}
	log.Error(nil, "recovering from a panic while serving a request", "panic", v, "stack", string(debug.Stack()))
	return &exchange.Error{Status: http.StatusInternalServerError, Message: "internal error"}
}

// settle answers a request that failed, records it, and ends the connection
// where a clean end would tell the client a lie.
func (e *Edge) settle(s *serving, r *http.Request, err error) {
	failure := classify(err, r, s.response.committed())
	if s.exchange.Status == 0 && (!s.response.committed() || failure.Status == exchange.StatusClientClosedRequest) {
		s.exchange.Status = failure.Status
	}
	if failure.Status >= http.StatusInternalServerError {
		e.failures.Do(func() {
			e.log.Info("request failed", "route", routeName(&s.exchange), "status", failure.Status, "reason", err.Error())
		})
	}
	committed := s.response.committed()
	if !committed && failure.Status != exchange.StatusClientClosedRequest {
		coldstart.WriteError(&s.response, r, failure.Status, failure.Message, failure.RetryAfter)
	}
	e.record(s, r)
	if committed || failure.Status == exchange.StatusClientClosedRequest {
		// RFC 9112, 8: an incomplete message must not look complete.
		panic(http.ErrAbortHandler)
	}
}

// classify maps an error to what its client may know of it.
func classify(err error, r *http.Request, committed bool) *exchange.Error {
	var failure *exchange.Error
	switch {
	case errors.As(err, &failure):
		return failure
	case errors.Is(err, coldstart.ErrStalled):
		return &exchange.Error{Status: http.StatusRequestTimeout, Message: "the request body did not arrive in time", Err: err}
	case r.Context().Err() != nil, errors.Is(err, context.Canceled), errors.Is(err, io.ErrUnexpectedEOF):
		return &exchange.Error{Status: exchange.StatusClientClosedRequest, Message: "the client has left", Err: err}
	case errors.Is(err, http.ErrAbortHandler):
		return &exchange.Error{Status: http.StatusBadGateway, Message: "the response of the backend was cut", Err: err}
	case committed:
		// What is left is a write that the client did not take.
		return &exchange.Error{Status: exchange.StatusClientClosedRequest, Message: "the client has left", Err: err}
	}
	return &exchange.Error{Status: http.StatusInternalServerError, Message: "internal error", Err: err}
}

// record counts and logs a request that is over.
func (e *Edge) record(s *serving, r *http.Request) {
	status := s.exchange.Status
	if status == 0 {
		status = s.response.status
	}
	if status == 0 {
		status = http.StatusOK
	}
	took := e.now().Sub(s.exchange.Start)
	e.metrics.Request(r.Context(), &s.exchange, status, r.Method, took)
	if e.access != nil {
		e.access.Log(r, s.exchange.Start, status, s.response.bytes)
	}
}

func routeName(x *exchange.Exchange) string {
	if x.Route == nil {
		return ""
	}
	return x.Route.Namespace + "/" + x.Route.Name
}
