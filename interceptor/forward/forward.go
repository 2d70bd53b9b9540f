// Package forward is the innermost step of the chain: it sends a request to the
// upstream that was chosen for it and streams the answer back.
//
// It is a transparent proxy. It knows exchanges, connections and the rules of
// HTTP for intermediaries, but neither routes nor Kubernetes, neither how an
// upstream is chosen nor what a client sees when one fails: failures are
// returned, never written.
package forward

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"time"

	"github.com/go-logr/logr"

	"github.com/kedacore/http-add-on/interceptor/exchange"
)

// Options say how backends are connected to.
type Options struct {
	// ConnectTimeout bounds each attempt to connect; 0 is no bound.
	ConnectTimeout time.Duration
	// MaxIdleConns and MaxIdleConnsPerHost bound the connections that are kept
	// open for reuse, per protocol; 0 is net/http's default.
	MaxIdleConns, MaxIdleConnsPerHost int
	// DirectPodRouting dials the picked endpoint instead of the Service's name.
	DirectPodRouting bool
	// TLS is the template for connections to backends; nil is Go's default. It
	// is not modified. ServerName and NextProtos are set per connection.
	TLS *tls.Config
	// DialContext opens connections; nil is a net.Dialer.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// Log is for what is not an error of one request: retries, at V(1).
	Log logr.Logger
}

// Forwarder sends requests to their upstreams. It is an exchange.Handler, and
// safe for concurrent use.
type Forwarder struct {
	direct     bool
	log        logr.Logger
	transports transports
	// One proxy serves all requests; what belongs to one of them is its call,
	// which travels as the context of the request. Measured against a proxy per
	// request it saves the hooks that would have to be bound to each.
	proxy httputil.ReverseProxy
}

// New returns a Forwarder. It holds connections until Close.
func New(o Options) *Forwarder {
	f := &Forwarder{direct: o.DirectPodRouting, log: o.Log, transports: newTransports(o)}
	f.proxy = httputil.ReverseProxy{
		Rewrite:   rewrite,
		Transport: roundTripper(f.roundTrip),
		// A token, an event or a byte must not wait for the next: the proxy sees to that
		// where the length of a response is not known, and ours where it is.
		FlushInterval: 0,
		BufferPool:    &buffers{},
		ErrorHandler:  func(_ http.ResponseWriter, r *http.Request, err error) { callOf(r.Context()).err = err },
		// What goes wrong is returned, and logged once by the edge.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	return f
}

// ServeExchange sends the request to x.Upstream, and another endpoint of the
// same Target if that one cannot be connected to; x.Upstream.Slot is released at
// the end. It returns
//
//   - an *clienterror.Error when nothing was committed: 502 if there was no
//     connection or no valid answer, 504 if a timeout of the route was over;
//   - an error that wraps context.Canceled when the client has left;
//   - an error that wraps http.ErrAbortHandler when the response was committed
//     and its body could not be copied to the end.
func (f *Forwarder) ServeExchange(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) error {
	c := newCall(w, r, x)
	defer c.end()
	if r.ProtoMajor == 1 && r.ContentLength != 0 {
		// A backend may answer before it has read everything, and go on reading.
		// Where this is not supported (recorders, spliced streams), net/http's
		// rule applies: the rest of the body is read before the answer is sent.
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	f.proxy.ServeHTTP(&c.response, r.WithContext(c))
	return c.result()
}

// Close closes the connections that are idle. Those in use close when they become
// idle.
func (f *Forwarder) Close() { f.transports.close() }

// address is what is dialled for an upstream.
func (f *Forwarder) address(u exchange.Upstream) string {
	if f.direct && u.Slot.Valid() {
		return u.Slot.Addr()
	}
	return u.Target.Address
}
