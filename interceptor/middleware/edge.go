// Package middleware holds the steps that a request takes through the
// interceptor, one file each; package app puts them in order. The steps know
// routes only in their compiled form and ask Kubernetes nothing.
package middleware

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/net/http/httpguts"
	"golang.org/x/time/rate"

	"github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/metrics"
	"github.com/kedacore/http-add-on/interceptor/tracing"
	"github.com/kedacore/http-add-on/pkg/httpserver"
)

// Edge is the outermost step. It turns the error of a request into its answer, and records every
// request once: metrics and access log. It also logs failures that the client did not cause.
type Edge struct {
	next    exchange.Handler
	metrics *metrics.Metrics
	tracer  *tracing.Tracer
	access  *AccessLog
	log     logr.Logger
	now     func() time.Time
	leaving func() bool
	heads   *body.Budget
	// coldHeader sets X-KEDA-HTTP-Cold-Start.
	coldHeader bool
	// dropAll drops every field whose name has an underscore.
	dropAll bool
	// maxHeaderBytes and maxHeaderFields bound the head of a request.
	maxHeaderBytes, maxHeaderFields int
	// failures bounds the log: a dead backend under load fails thousands of
	// times a second, and the metrics count them all.
	failures *rate.Limiter
}

const (
	// failureLines is how many failures are logged a second.
	failureLines = 10
	// largeHead is what a head may take in memory before it is charged for. Browsers' and
	// SDKs' heads take 2 to 4 KiB.
	largeHead = 8 << 10
	// lingering bounds the time for the rest of a request's body once its request was answered.
	// lingeringPause bounds a time without progress. nginx has both: 30 s and 5 s.
	lingering, lingeringPause = 30 * time.Second, 5 * time.Second
)

// EdgeOptions configure an Edge.
type EdgeOptions struct {
	// MaxHeaderBytes and MaxHeaderFields bound the head of a request; 0 means no bound.
	MaxHeaderBytes, MaxHeaderFields int
	// DropUnderscores drops every field whose name has an underscore. Otherwise only those go
	// that imitate our fields.
	DropUnderscores bool
	// ColdStartHeader sets X-KEDA-HTTP-Cold-Start on answers of targets and of cold starts.
	ColdStartHeader bool
	// Heads is charged with the large heads of requests in service; nil means no bound.
	Heads *body.Budget
	// Metrics of requests.
	Metrics *metrics.Metrics
	// Tracer may be nil: no traces.
	Tracer *tracing.Tracer
	// Access may be nil: no access log.
	Access *AccessLog
	// Log of failures.
	Log logr.Logger
	// Now is the clock.
	Now func() time.Time
	// Leaving says that connections are about to be closed; nil is never.
	Leaving func() bool
}

// NewEdge returns the step around next.
func NewEdge(next exchange.Handler, o EdgeOptions) *Edge {
	return &Edge{
		next: next, metrics: o.Metrics, tracer: o.Tracer, access: o.Access, log: o.Log, now: o.Now, leaving: o.Leaving,
		heads: o.Heads, coldHeader: o.ColdStartHeader, dropAll: o.DropUnderscores, maxHeaderBytes: o.MaxHeaderBytes, maxHeaderFields: o.MaxHeaderFields,
		failures: rate.NewLimiter(failureLines, failureLines),
	}
}

// serving is the state of one request, in one allocation.
type serving struct {
	exchange exchange.Exchange
	response response
}

// ServeHTTP serves one request. Its frame, and those of the other steps, stay on the stack of
// every held request. A step therefore moves what it does not need while it waits into separate
// functions.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := e.begin(w, r)
	e.finish(s, r, e.serve(s, r))
}

func (e *Edge) begin(w http.ResponseWriter, r *http.Request) *serving {
	s := &serving{}
	s.exchange.Start = e.now()
	s.exchange.TLS = r.TLS != nil
	s.exchange.Trace = e.tracer.Begin(r, metrics.Method(r.Method), s.exchange.Start)
	s.response.ResponseWriter, s.response.edge, s.response.exchange = w, e, &s.exchange
	s.response.once = !r.ProtoAtLeast(1, 1)
	cleanUpgrade(r.Header)
	s.exchange.Body = body.Open(w, r)
	if mayBlock(r) {
		// Otherwise net/http reads the rest of the body before it sends an answer,
		// however long that takes. A recorder has no such body.
		_ = http.NewResponseController(w).EnableFullDuplex()
		s.response.body = s.exchange.Body
	}
	return s
}

// mayBlock says whether the request has a body that its client may never end.
func mayBlock(r *http.Request) bool { return r.ProtoMajor == 1 && r.ContentLength != 0 }

// cleanUpgrade removes offers from a header that neither the interceptor nor a backend behind it
// may accept. One is HTTP/2: some clients offer h2c with every request, and RFC 9113, 3.1,
// retired it. The other is TLS on the same connection. An Upgrade that Connection does not name
// is not for the next hop (RFC 9110, 7.8).
func cleanUpgrade(h http.Header) {
	delete(h, "Http2-Settings")
	offers, ok := h["Upgrade"]
	if !ok {
		return
	}
	delete(h, "Upgrade")
	if !httpguts.HeaderValuesContainsToken(h["Connection"], "Upgrade") {
		return
	}
	var kept []string
	for _, offer := range offers {
		for protocol := range strings.SplitSeq(offer, ",") {
			protocol = strings.TrimSpace(protocol)
			if tls := strings.HasPrefix(strings.ToUpper(protocol), "TLS/"); protocol != "" && !tls && !strings.EqualFold(protocol, "h2c") {
				kept = append(kept, protocol)
			}
		}
	}
	if kept != nil {
		h["Upgrade"] = []string{strings.Join(kept, ", ")}
	}
}

// serve passes the request on. A panic of a step is an error like others.
func (e *Edge) serve(s *serving, r *http.Request) (err error) {
	defer e.catch(&err)
	if answered, err := e.check(s, r); answered || err != nil {
		return err
	}
	return e.next.ServeExchange(&s.response, r, &s.exchange)
}

// check refuses what no step may see. It reports whether it has answered a request, which was
// not for a route.
func (e *Edge) check(s *serving, r *http.Request) (answered bool, err error) {
	if err := e.measure(s, r); err != nil {
		return false, err
	}
	switch {
	case r.ProtoMajor > 1 && !httpguts.ValidHeaderFieldName(r.Method):
		// On HTTP/1.1 it would be a request line of the client's own. A method is a token, as the
		// name of a field is (RFC 9110, 9.1).
		return false, &clienterror.Error{Status: http.StatusBadRequest, Message: "the method of the request is not valid"}
	case r.Method == http.MethodConnect:
		// A tunnel is not a request of a route (RFC 9110, 9.3.6).
		return false, &clienterror.Error{Status: http.StatusNotImplemented, Message: "this is not a tunnel"}
	case !validHost(r.Host):
		return false, &clienterror.Error{Status: http.StatusBadRequest, Message: "the host of the request is not valid"}
	case r.RequestURI == "*" && r.Method == http.MethodOptions:
		// It asks for the options of the server itself (RFC 9110, 9.3.7).
		s.response.Header().Set("Content-Length", "0")
		s.response.WriteHeader(http.StatusOK)
		return true, nil
	case !lengthAgrees(r):
		return false, &clienterror.Error{Status: http.StatusBadRequest, Message: "the length of the body is not the one that the request says"}
	}
	return false, nil
}

// validHost reports whether a host is valid (RFC 9110, 7.2), or empty. net/http looks only at that
// of HTTP/1.1, and at no port. It sends an empty one to a backend in place of one that is not valid.
func validHost(host string) bool {
	port := ""
	if end := strings.LastIndexByte(host, ']'); end >= 0 {
		port = host[end+1:]
	} else if i := strings.IndexByte(host, ':'); i >= 0 && strings.LastIndexByte(host, ':') == i {
		port = host[i:] // more colons are an IPv6 literal
	}
	return strings.Trim(strings.TrimPrefix(port, ":"), "0123456789") == "" && httpguts.ValidHostHeader(host)
}

// lengthAgrees reports whether an HTTP/2 request may have the length that it declares (RFC 9113,
// 8.1.1). net/http counts the bytes of a body. But it accepts a length without a body, ignores a
// value that is not a number, and takes the first of several. On HTTP/1.1 it refuses all of them.
func lengthAgrees(r *http.Request) bool {
	if r.ProtoMajor < 2 {
		return true
	}
	for _, value := range r.Header["Content-Length"] {
		if n, err := strconv.ParseUint(value, 10, 63); err != nil || int64(n) != r.ContentLength {
			return false
		}
	}
	return true
}

// measure notes how large the head of the request is, and charges for a large one: the
// client may not read the answer. It returns an error if the head is larger than allowed, or finds no room.
func (e *Edge) measure(s *serving, r *http.Request) error {
	bytes, fields, underscores := headSize(r)
	if underscores {
		e.dropUnderscores(r.Header)
	}
	s.exchange.Head = bytes + fields*httpserver.FieldMemory
	if s.exchange.Head > largeHead && e.heads != nil {
		s.exchange.Heads = e.heads // finish gives it back
		if !e.heads.Reserve(s.exchange.Head) {
			e.heads.Take(s.exchange.Head)
			return &clienterror.Error{Status: http.StatusServiceUnavailable, Message: "too many large requests are being served"}
		}
	}
	if (e.maxHeaderBytes <= 0 || bytes <= e.maxHeaderBytes) && (e.maxHeaderFields <= 0 || fields <= e.maxHeaderFields) {
		return nil
	}
	return &clienterror.Error{
		Status: http.StatusRequestHeaderFieldsTooLarge, Message: "the header of the request is too large",
		Err: fmt.Errorf("%d bytes in %d fields", bytes, fields),
	}
}

// headSize returns the size of a request's head as HTTP/1.1 writes it, and the number of its
// fields. It also reports whether a name has an underscore. net/http has taken out Host, which is
// the first field here.
func headSize(r *http.Request) (bytes, fields int, underscores bool) {
	const separators = len(": \r\n")
	bytes, fields = len(r.Method)+len(r.RequestURI)+len(r.Host), 1
	for name, values := range r.Header {
		fields += len(values)
		underscores = underscores || strings.IndexByte(name, '_') >= 0
		for _, value := range values {
			bytes += len(name) + len(value) + separators
		}
	}
	return bytes, fields, underscores
}

// imitated reports whether a field is one that the interceptor sets or that frames a
// message. CGI and WSGI read an underscore as a hyphen, so another name may pass for it
// (nginx drops all such names for that).
func imitated(name string) bool {
	switch name {
	case "Connection", "Content-Length", "Content-Type", "Expect", "Forwarded", "Host", "Keep-Alive", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade", "Via", coldStartHeader, "X-Real-Ip":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "Proxy-")
}

// dropUnderscores drops fields whose names stand for one that is imitated, or all that have
// an underscore if that is asked for.
func (e *Edge) dropUnderscores(header http.Header) {
	for name := range header {
		if strings.IndexByte(name, '_') >= 0 && (e.dropAll || imitated(http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-")))) {
			delete(header, name)
		}
	}
}

func (e *Edge) catch(err *error) {
	switch v := recover(); v {
	case nil:
	case http.ErrAbortHandler:
		*err = http.ErrAbortHandler
	default:
		e.log.Error(nil, "recovering from a panic while serving a request", "panic", v, "stack", string(debug.Stack()))
		*err = &clienterror.Error{Status: http.StatusInternalServerError, Message: "internal error"}
	}
}

// finish answers a request that failed, records it, and ends the connection where
// a clean end would tell the client a lie.
func (e *Edge) finish(s *serving, r *http.Request, err error) {
	status, abort := s.response.status, false
	if err != nil {
		status, abort = e.fail(s, r, err)
	}
	e.record(s, r, status)
	if s.exchange.Heads != nil {
		r.Header = nil
		s.exchange.Heads.Release(s.exchange.Head)
	}
	s.exchange.Body.Detach()
	if mayBlock(r) && !s.exchange.Body.Ended() && s.response.status != http.StatusSwitchingProtocols && !abort {
		linger(s.response.ResponseWriter, r)
	}
	if abort {
		// RFC 9112, 8: an incomplete message must not look complete.
		panic(http.ErrAbortHandler)
	}
}

// linger sends the answer and drops the rest of the request's body. Many clients read no answer
// before they have sent everything. Closing a connection with unread bytes resets it, and the
// reset takes the answer along. net/http drops 256 KiB by itself.
func linger(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	if control.Flush() != nil {
		return
	}
	start := time.Now()
	n, err := drop(r.Body, control.SetReadDeadline)
	// net/http's reader of chunks keeps the error of a read that our answer interrupted. The answer
	// is complete if it has a length.
	if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) >= lingeringPause || w.Header().Get("Content-Length") == "" {
		return
	}
	conn, _, err := control.Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_, _ = drop(conn, conn.SetReadDeadline)
}

// drop reads until the end, an error, a pause, or for long enough. It returns how much it read.
func drop(from io.Reader, setDeadline func(time.Time) error) (read int64, err error) {
	for end := time.Now().Add(lingering); err == nil && time.Now().Before(end); {
		_ = setDeadline(time.Now().Add(lingeringPause))
		var n int64
		n, err = io.CopyN(io.Discard, from, 1<<20)
		read += n
	}
	return read, err
}

// fail answers a request that failed, if that is still possible. It returns the status to
// record, and whether the connection must be aborted.
func (e *Edge) fail(s *serving, r *http.Request, err error) (status int, abort bool) {
	failure := clienterror.Of(err, r)
	left := failure.Status == clienterror.StatusClientClosedRequest
	committed := s.response.committed()
	status = s.response.status
	if left || !committed || errors.As(err, new(*clienterror.Error)) {
		status = failure.Status
	}
	ours := failure.Status >= http.StatusInternalServerError || failure.Status == http.StatusRequestHeaderFieldsTooLarge
	if ours && e.failures.Allow() {
		e.log.Info("request failed", "route", routeName(&s.exchange), "status", failure.Status, "reason", brief(err.Error()))
	}
	switch {
	case failure.Sent:
		return status, false
	case committed || left:
		return status, true
	}
	if s.exchange.Heads != nil {
		// A client that does not read the answer keeps the request in memory, but no head.
		r.Header = clienterror.Fields(r.Header)
	}
	clienterror.Write(&s.response, r, failure)
	return status, false
}

// record counts and logs a request that is over.
func (e *Edge) record(s *serving, r *http.Request, status int) {
	if status == 0 {
		status = http.StatusOK
	}
	end := e.now()
	e.metrics.Request(s.exchange.Trace.Context(r.Context()), &s.exchange, status, r.Method, end.Sub(s.exchange.Start))
	if s.exchange.Trace != nil {
		s.exchange.Trace.End(s.result(status), end)
	}
	if e.access != nil {
		e.access.Log(r, s.exchange.Start, status, s.response.bytes)
	}
}

// brief cuts a text for the log. A backend's malformed answer is quoted in the error.
func brief(text string) string {
	const most = 512
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// Refused records a request that the server answered with 503, as too many streams of HTTP/2
// are open.
func (e *Edge) Refused(r *http.Request) {
	const status = http.StatusServiceUnavailable
	if e.failures.Allow() {
		e.log.Info("request failed", "route", "", "status", status, "reason", "too many streams are open")
	}
	x := exchange.Exchange{Start: e.now()}
	e.metrics.Request(r.Context(), &x, status, r.Method, 0)
	if e.access != nil {
		e.access.Log(r, x.Start, status, 0)
	}
}

// result is what the trace says of a request that is over.
func (s *serving) result(status int) tracing.Result {
	x := &s.exchange
	result := tracing.Result{Cold: x.Cold, Status: status, Bytes: s.response.bytes}
	if x.Route != nil {
		result.Namespace, result.Name = x.Route.Namespace, x.Route.Name
	}
	return result
}

func routeName(x *exchange.Exchange) string {
	if x.Route == nil {
		return ""
	}
	return x.Route.Namespace + "/" + x.Route.Name
}

// response records what was committed to the client. It forwards everything else
// by Unwrap, so that flushes, deadlines and full duplex keep working.
type response struct {
	http.ResponseWriter
	edge     *Edge
	exchange *exchange.Exchange
	status   int
	bytes    int64
	body     *body.Body // of the request; nil if its connection does not depend on it
	once     bool       // the client speaks HTTP/1.0
}

// coldStartHeader says whether the target slept.
const coldStartHeader = "X-Keda-Http-Cold-Start"

// All responses share the header's values. Their capacity is full, so that an append copies them.
var slept, ready = []string{"true"}, []string{"false"}

// WriteHeader notes the first final status; informational ones pass by.
func (w *response) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.commit(status)
		if status >= 200 && w.last() {
			w.Header().Set("Connection", "close")
		}
	} else if w.status == 0 && w.edge.coldHeader {
		delete(w.Header(), coldStartHeader) // a backend's: we say that with the final status
	}
	w.ResponseWriter.WriteHeader(status)
}

// commit notes the final status. The header is not there before: a request that waits would
// hold memory for it.
func (w *response) commit(status int) {
	w.status = status
	switch x := w.exchange; {
	case !w.edge.coldHeader:
	case x.Cold:
		w.Header()[coldStartHeader] = slept
	case x.Awake || x.Upstream.Target != nil:
		w.Header()[coldStartHeader] = ready
	}
}

// last reports whether the answer is the last one on its connection. There are three cases.
//   - The request has not arrived completely. With full duplex net/http (Go 1.26) does not close the connection by itself. It takes what comes later for the next request, and panics if the end comes after the handler's.
//   - The process is about to stop. A request that a client sends in the moment in which its idle connection is closed would be lost.
//   - The request is HTTP/1.0. An extension keeps its connections, which proxies get wrong (RFC 9112, C.2.2).
func (w *response) last() bool {
	return w.once || !w.body.Ended() || w.edge.leaving != nil && w.edge.leaving()
}

// Write counts the bytes of the body.
func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Hijack notes the upgrade. The forwarder writes the 101 to the connection itself, with our
// header.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buf, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil && w.status == 0 {
		w.commit(http.StatusSwitchingProtocols)
	}
	return conn, buf, err
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// committed says that the status line is out of our hands.
func (w *response) committed() bool { return w.status != 0 }
