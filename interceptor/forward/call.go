package forward

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/exchange"
)

// call is one request on its way. It is the context of the request to the
// backend, because a context is all that the hooks of net/http's proxy and the
// dial function of its transport are given. The goroutine that serves the request
// owns it; clock, upload and want have locks of their own.
type call struct {
	context.Context
	client context.Context // of the client's request
	http1  bool            // the client's protocol
	cancel context.CancelCauseFunc
	w      http.ResponseWriter
	x      *exchange.Exchange

	clock  clock
	upload upload
	want   want
	trace  httptrace.ClientTrace

	ours  []field  // headers that the chain had set
	space [2]field // for them, if there are as few as usual

	sent      bool        // there was an attempt
	connected atomic.Bool // the current attempt got a connection
	heard     atomic.Bool // and a byte of an answer

	err      error    // what the proxy failed with, before it committed a response
	download download // the body of the response; unused for an upgrade
	response response // where it goes
}

// field is a header with its values.
type field struct {
	name   string
	values []string
}

// callKey is the context key of a call.
type callKey struct{}

// callOf returns the call that a context belongs to, nil if to none.
func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

func newCall(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) *call {
	c := &call{client: r.Context(), http1: r.ProtoMajor == 1, w: w, x: x}
	ctx, cancel := context.WithCancelCause(c.client)
	c.cancel = cancel
	c.trace.GetConn = c.want.begin
	c.trace.GotConn = c.gotConn
	c.trace.GotFirstResponseByte = c.gotFirstByte
	c.Context = httptrace.WithClientTrace(ctx, &c.trace)
	c.clock.expire = c.expire
	c.upload.clock = &c.clock
	c.upload.hold(r.Body)
	c.response.ResponseWriter = w
	c.ours = c.space[:0]
	for name, values := range w.Header() {
		c.ours = append(c.ours, field{name, values})
	}
	return c
}

// gotConn is a hook of the trace.
func (c *call) gotConn(httptrace.GotConnInfo) {
	c.want.end()
	c.connected.Store(true)
}

// gotFirstByte is a hook of the trace. The transport may call it on a goroutine
// of its own.
func (c *call) gotFirstByte() { c.heard.Store(true) }

// begin starts an attempt.
func (c *call) begin() {
	c.connected.Store(false)
	c.heard.Store(false)
}

// lost says that an attempt that failed had a connection, and that it ended
// without a byte of an answer.
func (c *call) lost() bool { return c.connected.Load() && !c.heard.Load() }

// Value returns the call for its key, and hides the http.Server: below one,
// net/http's proxy panics when a body is cut. We return an error instead, so that
// a stream that the response is spliced into can end in its own way.
func (c *call) Value(key any) any {
	switch key {
	case callKey{}:
		return c
	case http.ServerContextKey:
		return nil
	}
	return c.Context.Value(key)
}

// expire ends the call when a timeout is over.
func (c *call) expire() {
	c.cancel(errTimeout)
	c.upload.interrupt(c.w)
}

// end stops whatever the call has started.
func (c *call) end() {
	c.response.end()
	c.clock.begun()
	c.want.end()
	c.cancel(nil)
	c.x.Upstream.Slot.Release() // the retry may have replaced the first one
}

// restore puts back the headers that the chain had set: an informational response
// clears them.
func (c *call) restore() {
	header := c.w.Header()
	for _, f := range c.ours {
		header[f.name] = f.values
	}
}

// receive takes the response of the backend before it is copied to the client.
func (c *call) receive(res *http.Response) {
	c.x.Upstream.Slot.Answered()
	c.upload.answered()
	c.clock.answered()
	c.restore()
	for _, f := range c.ours {
		delete(res.Header, f.name)
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		c.clock.begun()
		return // the body is a connection, which the proxy needs to see
	}
	if _, ok := res.Header["Content-Type"]; !ok {
		// Else net/http guesses one, and a backend's choice to have none is lost.
		c.w.Header()["Content-Type"] = nil
	}
	if c.http1 && len(res.Trailer) > 0 {
		// HTTP/2 has trailers after a body of known length, HTTP/1.1 after a
		// chunked one only (RFC 9112, 7.1.2).
		delete(res.Header, "Content-Length")
	}
	c.response.expect(res)
	c.download = download{ReadCloser: res.Body, clock: &c.clock}
	res.Body = &c.download
}

// result is how the call went.
func (c *call) result() error {
	if c.err != nil {
		c.restore()
		return c.failure(c.err)
	}
	if c.download.ReadCloser == nil || c.download.whole {
		return nil
	}
	// The response is committed, so its end must tell that it is not whole.
	cut := c.download.cut
	if cut == nil {
		// The backend did not fail, so the client did not take it.
		cut = fmt.Errorf("writing to the client failed: %w", context.Canceled)
	}
	err := fmt.Errorf("copying the response: %w: %w", http.ErrAbortHandler, cut)
	switch {
	case c.client.Err() != nil:
		return fmt.Errorf("%w: %w", err, c.client.Err())
	case c.clock.expired():
		return timedOut(err)
	}
	return err
}

// failure is what a call that committed nothing is answered with.
func (c *call) failure(err error) error {
	switch {
	case c.clock.expired():
		return timedOut(err)
	case c.client.Err() != nil:
		return fmt.Errorf("forwarding: %w", c.client.Err())
	case !c.sent:
		return &clienterror.Error{Status: http.StatusBadRequest, Message: "the request cannot be forwarded", Err: err}
	}
	if failed := c.upload.failed(); failed != nil {
		return uploadFailure(failed)
	}
	if errors.As(err, new(*dialError)) {
		return &clienterror.Error{Status: http.StatusBadGateway, Message: "the backend could not be reached", Err: err}
	}
	return &clienterror.Error{Status: http.StatusBadGateway, Message: "the backend gave no valid answer", Err: err}
}

// timedOut is a call that a timeout of its route has ended.
func timedOut(err error) error {
	return &clienterror.Error{Status: http.StatusGatewayTimeout, Message: "the backend did not answer in time", Err: err}
}
