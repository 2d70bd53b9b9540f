// Package forward is the innermost step of the chain. It sends a request to the upstream that was
// chosen for it and streams the answer back.
//
// It is a transparent proxy. It knows exchanges, connections and the rules of HTTP for
// intermediaries, but neither routes nor Kubernetes. It must not know how an upstream is chosen,
// nor what a client sees when one fails: it returns failures and never writes them. It refuses requests
// that take too much memory, because it alone knows when they end.
package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/kedacore/http-add-on/interceptor/accept"
	"github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/session"
	"github.com/kedacore/http-add-on/interceptor/tracing"
	"github.com/kedacore/http-add-on/pkg/httpserver"
)

// Options say how backends are connected to.
type Options struct {
	// ConnectTimeout bounds each attempt to connect; 0 means no bound.
	ConnectTimeout time.Duration
	// UploadTimeout bounds how long the body of an unanswered request may make no progress; 0
	// means no bound. It does not apply to gRPC and to
	// streams of Connect.
	UploadTimeout time.Duration
	// MaxIdleConns and MaxIdleConnsPerHost bound the connections that are kept open for reuse,
	// the second per protocol. For values of 0 or less, the first has no bound, and the second is
	// net/http's default of 2.
	MaxIdleConns, MaxIdleConnsPerHost int
	// MaxResponseHeaderBytes bounds the head of a response; 0 is 256 KiB.
	MaxResponseHeaderBytes int64
	// MaxHeadMemory bounds the memory, in bytes, of HTTP/1.1 response heads that are being read.
	// The first 4 KiB of each are free; 0 means no bound.
	MaxHeadMemory int64
	// MaxCopyMemory bounds the memory, in bytes, of the large buffers that copy bodies; without
	// room, a small one does. 0 means no bound.
	MaxCopyMemory int64
	// Heads is charged with the large heads of responses that are being sent, whether it has room
	// or not: the backend has done its work. Nil means a separate budget.
	Heads *body.Budget
	// Serving is charged with each request while it is forwarded, and bounds what all of them take
	// (ADR 28). Exchanges must have a Route then. Nil means no bound.
	Serving *body.Budget
	// DirectPodRouting dials the picked endpoint instead of the Service's name.
	DirectPodRouting bool
	// TLS is the template for connections to backends; nil is Go's default. It
	// is not modified. ServerName and NextProtos are set per connection.
	TLS *tls.Config
	// DialContext opens connections; nil is a net.Dialer.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// NetHTTP leaves HTTP/1.1 to net/http's client too, which tests compare our own
	// with.
	NetHTTP bool
	// Log receives what is not an error of one request: retries, at V(1).
	Log logr.Logger
}

// Forwarder sends requests to their upstreams. It is an exchange.Handler, and
// safe for concurrent use.
type Forwarder struct {
	direct  bool
	upload  time.Duration
	log     logr.Logger
	serving *body.Budget
	heads   *body.Budget
	client  *client
	absent  atomic.Int64 // requests that wait for longer than patience
}

// attempt is a request on its way to one address.
type attempt struct {
	*call
	request *http.Request
	address string
	// fresh asks for a connection that had no request before.
	fresh bool
}

// New returns a Forwarder. It holds connections until Close.
func New(o Options) *Forwarder {
	if o.MaxResponseHeaderBytes <= 0 {
		o.MaxResponseHeaderBytes = 256 << 10
	}
	if o.DialContext == nil {
		o.DialContext = new(net.Dialer).DialContext
	}
	if o.Heads == nil {
		o.Heads = body.NewBudget(0)
	}
	return &Forwarder{direct: o.DirectPodRouting, upload: o.UploadTimeout, log: o.Log, serving: o.Serving, heads: o.Heads, client: newClient(o)}
}

// Close closes the connections that are idle. Those in use close when they become
// idle.
func (f *Forwarder) Close() { f.client.close() }

// call is one request on its way through the forwarder. The goroutine that serves the request
// owns it; clock and body have their own locks.
type call struct {
	w  http.ResponseWriter
	in *http.Request // the client's
	x  *exchange.Exchange
	// copies is charged with large buffers.
	copies *body.Budget
	// traced is the span of the last attempt.
	traced *tracing.Attempt
	// cancel ends the last attempt of a client that needs a context; nil for none.
	cancel context.CancelCauseFunc

	clock     clock      // of the route's timeouts
	body      *body.Body // of the request; nil if there is nothing to send
	client    downstream
	committed committed
}

// ServeExchange sends the request to x.Upstream. If it cannot connect, it uses another endpoint
// of the same Target. It releases x.Upstream.Slot at the end. It returns
//
//   - an *clienterror.Error when nothing was committed. Its status is 502 if there was
//     no connection or no valid answer. It is 504 if a timeout of the route was over, and
//     404 if the only pod that could serve the request is gone. It is 503 if requests in
//     service take too much memory;
//   - an error that wraps context.Canceled when the client has left;
//   - an error that wraps http.ErrAbortHandler when the response was committed
//     and its body could not be copied to the end.
func (f *Forwarder) ServeExchange(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
	c := &call{w: w, in: r, x: x, copies: f.client.copies}
	defer f.end(c)
	if err := f.admit(c); err != nil {
		return err
	}
	defer f.discharge(c)
	c.client.w = w
	if r.ProtoMajor == 1 && r.ContentLength != 0 {
		// A backend may answer before it has read everything, and go on reading.
		// Where this is not supported (recorders, spliced streams), net/http's
		// rule applies: the rest of the body is read before the answer is sent.
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	out, err := outgoing(r, x)
	if err != nil {
		return &clienterror.Error{Status: http.StatusBadRequest, Message: "the request cannot be forwarded", Err: err}
	}
	c.begin(out)
	var upload time.Duration
	if c.body != nil && !accept.GRPC(r.Header) && !accept.ConnectStream(r.Header) {
		upload = f.upload
	}
	if route := x.Route; route != nil {
		c.clock.start(c.body, route.ResponseHeader, route.Request, upload, x.Start)
	}
	res, err := f.send(c, out)
	if err != nil {
		return c.failure(err)
	}
	defer res.Body.Close()
	x.Upstream.Slot.Answered()
	c.body.Answered()
	if x.Session != nil && x.Upstream.Target == x.Route.Target { // else it is the fallback's answer
		x.Session.Answer(res.Header, x.Upstream.Slot.ID())
	}
	switch c.clock.answered(); {
	case res.StatusCode < 100, res.StatusCode > 999:
		// net/http would panic. Clients take what is above 599 for a failure of the server (RFC
		// 9110, 15).
		return c.failure(fmt.Errorf("the status %q is invalid", res.Status))
	case res.StatusCode == http.StatusSwitchingProtocols:
		if err := c.upgrade(out, res); err != nil {
			return c.failure(err)
		}
		return nil
	}
	bytes, fields := headSize(res.Header)
	if fields > maxFields {
		return c.failure(errHeadTooLarge)
	}
	if bytes > largeHead {
		// The client may not read the answer.
		f.heads.Take(bytes)
		defer f.heads.Release(bytes)
	}
	return c.answer(res)
}

// admit charges the memory of a request. While memory is short, a route gets twice what is left to
// the others. So the slow requests of one tenant do not keep out those of others. A request that has
// waited for its target is not refused: the budget of waiting requests has bounded it.
func (f *Forwarder) admit(c *call) error {
	if f.serving == nil {
		return nil
	}
	f.serving.Take(body.Served + c.x.Head)
	n := c.x.Route.InFlight.Serve()
	if waited := c.x.Waited && c.x.Upstream.Target == c.x.Route.Target; waited || f.serving.Share(n*body.Served) {
		return nil
	}
	f.discharge(c)
	if c.in.ProtoMajor == 1 {
		c.w.Header().Set("Connection", "close") // it would take memory, too
	}
	return &clienterror.Error{Status: http.StatusServiceUnavailable, Message: "too many requests are being served"}
}

// discharge gives back what admit has charged.
func (f *Forwarder) discharge(c *call) {
	if f.serving == nil {
		return
	}
	c.x.Route.InFlight.Unserve()
	f.serving.Release(body.Served + c.x.Head)
}

// largeHead is what the head of a response may take in memory before it is charged for.
const largeHead = 8 << 10

// headSize returns what a header takes in memory, and the number of its fields.
func headSize(header http.Header) (bytes, fields int) {
	for name, values := range header {
		fields += len(values)
		for _, value := range values {
			bytes += len(name) + len(value) + httpserver.FieldMemory
		}
	}
	return bytes, fields
}

// begin takes the body of the request.
func (c *call) begin(out *http.Request) {
	out.Body = nil
	if out.ContentLength == 0 || c.x.Body == nil {
		return
	}
	c.body = c.x.Body
	c.body.BeginSending(&c.clock)
	if out.ContentLength < 0 {
		// A client that speaks HTTP/2 does not send this. Without it, net/http reads ahead
		// to find out whether a GET has a body, while it looks at the trailers.
		out.TransferEncoding = []string{"chunked"}
	}
}

// patience returns how long the client may be silent in the middle of its body once the answer is
// complete. HTTP/2 ends the stream and keeps the connection, so nothing is lost, and the
// trailers wait for this.
func (c *call) patience() time.Duration {
	if c.in.ProtoMajor > 1 {
		return writePatience
	}
	return clientPatience
}

// end stops whatever the call has started, and gives its endpoint back.
func (f *Forwarder) end(c *call) {
	c.clock.stop()
	c.body.StopSending(c.patience())
	if c.cancel != nil {
		c.cancel(nil)
	}
	c.traced.End()
	c.x.Upstream.Slot.Release() // a retry may have replaced the first one
}

// over reports whether no one waits for an answer.
func (c *call) over() bool {
	expired, _ := c.clock.expired()
	return expired || c.in.Context().Err() != nil
}

// send sends a request to its upstream. Without a connection, nothing of the request is gone:
// send tries another ready endpoint, or the same one again after a pause.
//
// A request may also be lost on a connection that ended without a byte of an answer. send repeats
// it if that is harmless, a few times and to an endpoint only once, or twice if it is the only
// one. A connection that ends after it was idle says nothing about its endpoint, and does not
// count. send sends nothing for a client that has left.
func (f *Forwarder) send(c *call, r *http.Request) (*http.Response, error) {
	a := attempt{call: c, request: r}
	tries := backoff{service: !f.direct || !c.x.Upstream.Slot.Valid()}
	defer f.over(&tries)
	var lost []string // the addresses that closed the connection
	scheme := "http"
	if c.x.Secure() {
		scheme = "https"
	}
	for resends := 0; ; resends++ {
		if err := context.Cause(c.in.Context()); err != nil {
			return nil, err
		}
		a.address = f.address(c.x.Upstream)
		if c.body != nil {
			sent, err := c.body.Attempt()
			if err != nil {
				return nil, err
			}
			r.Body = sent
		}
		c.traced = c.x.Trace.Attempt(r, scheme, c.x.Upstream.Target.Address, a.address, resends)
		res, err := f.client.send(&a)
		if err == nil {
			c.traced.Answered(res)
			again, err := c.again(r, res)
			if err != nil {
				return nil, err
			}
			if !again {
				return res, nil
			}
			c.traced.End()
			continue
		}
		c.traced.Failed(c.errorType(err))
		c.traced.End()
		c.traced = nil
		failed := new(sendError)
		if errors.As(err, &failed); !failed.mayRepeat(c, r) || c.over() {
			return nil, err
		}
		if !failed.reused || a.fresh {
			tried := append(slices.Clip(lost), a.address)
			if failed.reached == refused {
				if f.direct { // else the Service refuses, and not the pod
					c.x.Upstream.Slot.Refused()
				}
			} else {
				c.x.Upstream.Slot.Lost()
				lost = tried
			}
			switch {
			case c.x.Session.Pinned() && c.x.Upstream.Slot.Gone():
				return nil, session.Over()
			case f.exhausted(&tries, c.x, err), len(lost) == attempts:
				return nil, err
			case tries.hop() && f.another(c.x, tried):
			case failed.reached != refused && len(lost) > 1:
				return nil, err
			default:
				if ended := tries.rest(c); ended != nil {
					return nil, fmt.Errorf("%w: %w", ended, err)
				}
			}
		}
		a.fresh = failed.reused
		f.log.V(1).Info("sending again", "service", c.x.Upstream.Target.ServerName, "address", a.address, "reason", err.Error())
	}
}

// address returns the address to dial for an upstream.
func (f *Forwarder) address(u exchange.Upstream) string {
	if f.direct && u.Slot.Valid() {
		return u.Slot.Addr()
	}
	return u.Target.Address
}

// another moves the exchange to another ready endpoint of its target. It reports
// whether there is one that was not tried.
func (f *Forwarder) another(x *exchange.Exchange, tried []string) bool {
	if !f.direct || x.Session.Pinned() {
		return false
	}
	slot, ok := x.Upstream.Slot.Another(tried...)
	if ok {
		x.Upstream.Slot = slot
	}
	return ok
}

// informational passes a 1xx response on to a client that can take one (RFC 9110, 15.2). It drops
// a 100, because net/http sends one as soon as the body is read, once.
func (c *call) informational(status int, header http.Header) {
	if !c.in.ProtoAtLeast(1, 1) || status == http.StatusContinue {
		return
	}
	ours := c.w.Header()
	saved := maps.Clone(ours)
	clear(ours)
	removeHopByHop(header)
	maps.Copy(ours, header)
	c.w.WriteHeader(status)
	clear(ours)
	maps.Copy(ours, saved)
}

// dropTrailers drops trailers that must not pass.
func dropTrailers(trailer http.Header) {
	for name := range trailer {
		if !body.TrailerAllowed(name) {
			delete(trailer, name)
		}
	}
}

// answer copies a response to the client.
func (c *call) answer(res *http.Response) error {
	removeHopByHop(res.Header)
	spellWebSocket(res.Header)
	dropTrailers(res.Trailer)
	header := c.w.Header()
	if c.in.ProtoMajor == 1 && len(res.Trailer) > 0 {
		// HTTP/2 has trailers after a body of known length, HTTP/1.1 after a
		// chunked one only (RFC 9112, 7.1.2).
		delete(res.Header, "Content-Length")
	}
	for name, values := range res.Header {
		if _, ours := header[name]; !ours { // what the chain has set stays
			header[name] = values
		}
	}
	if _, ok := header["Content-Type"]; !ok {
		// Else net/http guesses one, and a backend's choice to have none is lost.
		header["Content-Type"] = nil
	}
	announced := len(res.Trailer)
	if announced > 0 {
		header["Trailer"] = []string{strings.Join(slices.Sorted(maps.Keys(res.Trailer)), ", ")}
	}
	c.clock.commit(c.w)
	c.w.WriteHeader(res.StatusCode)
	// On HTTP/2 a head without a body ends the stream, if it is not flushed before. Otherwise the
	// clients of gRPC miss the status of a response without messages ("Trailers-Only").
	c.client.pending = res.ContentLength != 0 || c.in.ProtoMajor == 1
	if err := copyBody(&c.client, res.Body, res.ContentLength, c.copies); err != nil {
		c.client.flush() // what there is of it
		return c.cut(err)
	}
	dropTrailers(res.Trailer) // undeclared ones come with the end
	if len(res.Trailer) > 0 {
		// The length of a short body must not be announced now: trailers need chunks.
		_ = http.NewResponseController(c.w).Flush()
	}
	prefix := ""
	if len(res.Trailer) != announced {
		prefix = http.TrailerPrefix
	}
	for name, values := range res.Trailer {
		header[prefix+name] = values
	}
	return nil
}
