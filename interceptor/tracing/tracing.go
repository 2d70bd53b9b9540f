// Package tracing records single requests. A request has a span with its cold start as events and
// a child span. Each attempt to send it to a backend is another child. Names and attributes are a
// contract with dashboards. It must not know how spans leave the process, nor how requests are
// served.
//
// While traces are off there is no Trace, whose methods then do nothing: a request pays for a
// comparison with nil.
package tracing

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

const scope = "github.com/kedacore/http-add-on/interceptor"

// Attributes beside those of OpenTelemetry's conventions for HTTP. The first three
// are named and mean as the labels of our metrics.
const (
	attributeName      = "route_name"
	attributeNamespace = "route_namespace"
	attributeColdStart = "cold_start"
	attributeOutcome   = "outcome"
	attributePhase     = "wake_phase"
	attributeReason    = "wake_reason"
	attributeUpstream  = "upstream"
)

// ColdStart is the name of the child span from a cold request's arrival to the end
// of its wait.
const ColdStart = "cold start"

// Event is what happened to a cold request.
type Event string

// The events.
const (
	Held        Event = "held"             // waits for an endpoint
	Committed   Event = "stream committed" // a stream keeps its client
	Page        Event = "waiting page"     // got the page
	Placeholder Event = "placeholder"      // got the placeholder
	Rejected    Event = "rejected"         // found every place taken
)

// Tracer makes the traces of requests; nil makes none.
type Tracer struct{ tracer trace.Tracer }

// New returns a Tracer; nil if there is no provider.
func New(provider trace.TracerProvider) *Tracer {
	if provider == nil {
		return nil
	}
	return &Tracer{tracer: provider.Tracer(scope)}
}

// Trace is the trace of one request; nil records nothing. The goroutine that serves the request
// owns it.
type Trace struct {
	tracer *Tracer
	method string
	start  time.Time
	span   trace.Span
	parent context.Context // of what the request causes: it carries the span
}

// Begin begins the trace of a request. It continues the client's trace if there is one (W3C Trace
// Context). method is that of the request, or a placeholder for an unknown one.
func (t *Tracer) Begin(r *http.Request, method string, start time.Time) *Trace {
	if t == nil {
		return nil
	}
	parent := propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(r.Header))
	// What a sampler may want to know. The query is left out: keys are sent in it.
	ctx, span := t.tracer.Start(parent, method, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(start),
		trace.WithAttributes(
			semconv.HTTPRequestMethodKey.String(method),
			semconv.URLScheme(scheme(r)),
			semconv.URLPath(r.URL.Path),
			semconv.ServerAddress(hostOf(r.Host)),
		))
	if span.IsRecording() {
		span.SetAttributes(
			semconv.UserAgentOriginal(r.UserAgent()),
			semconv.NetworkProtocolVersion(protocol(r.ProtoMajor, r.ProtoMinor)),
			semconv.NetworkPeerAddress(hostOf(r.RemoteAddr)),
		)
	}
	return &Trace{tracer: t, method: method, start: start, span: span, parent: ctx}
}

// Event notes what happened to a cold request.
func (t *Trace) Event(e Event) {
	if t != nil {
		t.span.AddEvent(string(e))
	}
}

// ColdStart records the end of the wait of a cold request. It records the outcome, the phase of
// the wake, and the reason of a delay, which may be empty.
func (t *Trace) ColdStart(outcome, phase, reason string, end time.Time) {
	if t == nil {
		return
	}
	_, span := t.tracer.tracer.Start(t.parent, ColdStart, trace.WithTimestamp(t.start),
		trace.WithAttributes(attribute.String(attributeOutcome, outcome), attribute.String(attributePhase, phase)))
	if reason != "" {
		span.SetAttributes(attribute.String(attributeReason, reason))
	}
	span.End(trace.WithTimestamp(end))
}

// Attempt is the span of one attempt to send a request to a backend; nil records nothing.
type Attempt struct {
	span trace.Span
}

// Attempt begins the span of a request to a backend and makes the request part of it. Baggage and
// other headers of the client stay as they are. scheme belongs to service, the address of the
// Service. upstream is the address that is dialed, and resends the number of earlier attempts.
func (t *Trace) Attempt(r *http.Request, scheme, service, upstream string, resends int) *Attempt {
	if t == nil {
		return nil
	}
	t.span.SetAttributes(attribute.String(attributeUpstream, upstream)) // the last one stays
	ctx, span := t.tracer.tracer.Start(t.parent, t.method, trace.WithSpanKind(trace.SpanKindClient))
	if span.IsRecording() {
		// The query and user information are left out: keys are sent in them.
		full := url.URL{Scheme: scheme, Host: service, Path: r.URL.Path, RawPath: r.URL.RawPath}
		span.SetAttributes(
			semconv.HTTPRequestMethodKey.String(t.method),
			semconv.URLFull(full.String()),
		)
		setAddress(span, service, semconv.ServerAddress, semconv.ServerPort)
		setAddress(span, upstream, semconv.NetworkPeerAddress, semconv.NetworkPeerPort)
		if resends > 0 {
			span.SetAttributes(semconv.HTTPRequestResendCount(resends))
		}
	}
	if resends > 0 { // the earlier attempt may still be reading it
		r.Header = r.Header.Clone()
	}
	// The state of a trace that was not continued says nothing about this one.
	delete(r.Header, "Tracestate")
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(r.Header))
	return &Attempt{span: span}
}

// Answered notes the head of the backend's response.
func (a *Attempt) Answered(res *http.Response) {
	if a == nil {
		return
	}
	a.span.SetAttributes(semconv.NetworkProtocolVersion(protocol(res.ProtoMajor, res.ProtoMinor)), semconv.HTTPResponseStatusCode(res.StatusCode))
	if res.StatusCode >= http.StatusBadRequest {
		a.span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(res.StatusCode)))
		a.span.SetStatus(codes.Error, "")
	}
}

// Failed records why there is no response, or no whole one, as a word of a closed list.
func (a *Attempt) Failed(reason string) {
	if a == nil {
		return
	}
	a.span.SetAttributes(semconv.ErrorTypeKey.String(reason))
	a.span.SetStatus(codes.Error, "")
}

// End ends the span.
func (a *Attempt) End() {
	if a != nil {
		a.span.End()
	}
}

// setAddress sets the attributes of a host and a port.
func setAddress(span trace.Span, address string, host func(string) attribute.KeyValue, port func(int) attribute.KeyValue) {
	span.SetAttributes(host(hostOf(address)))
	if _, text, err := net.SplitHostPort(address); err == nil {
		if number, err := strconv.Atoi(text); err == nil {
			span.SetAttributes(port(number))
		}
	}
}

// Context returns a context that names the trace of a measurement.
func (t *Trace) Context(ctx context.Context) context.Context {
	if t == nil {
		return ctx
	}
	return trace.ContextWithSpan(ctx, t.span)
}

// Result is the outcome of a request.
type Result struct {
	// Namespace and Name of the route; empty without one.
	Namespace, Name string
	// Cold says that no endpoint was ready.
	Cold bool
	// Status of the answer, and the bytes of its body.
	Status int
	Bytes  int64
}

// End ends the trace.
func (t *Trace) End(result Result, at time.Time) {
	if t == nil {
		return
	}
	defer t.span.End(trace.WithTimestamp(at))
	if !t.span.IsRecording() {
		return
	}
	t.span.SetAttributes(
		semconv.HTTPResponseStatusCode(result.Status),
		semconv.HTTPResponseBodySize(int(result.Bytes)),
		attribute.Bool(attributeColdStart, result.Cold),
	)
	if result.Name != "" {
		// As many names as there are routes and methods.
		t.span.SetName(t.method + " " + result.Namespace + "/" + result.Name)
		t.span.SetAttributes(attribute.String(attributeNamespace, result.Namespace), attribute.String(attributeName, result.Name))
	}
	if result.Status >= http.StatusInternalServerError {
		t.span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(result.Status)))
		t.span.SetStatus(codes.Error, "")
	}
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// protocol is the version as the conventions write it: 1.1, 2.
func protocol(major, minor int) string {
	if major >= 2 {
		return strconv.Itoa(major)
	}
	return strconv.Itoa(major) + "." + strconv.Itoa(minor)
}

// hostOf is an address without its port.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}
