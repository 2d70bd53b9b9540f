package forward

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/kedacore/http-add-on/interceptor/exchange"
)

// How long a request is offered again to a backend that cannot be connected to.
// One that was just woken may be pods without a readiness probe, which count as
// ready before they listen. The timeouts of the route end it too.
const (
	patience     = 5 * time.Second
	coldPatience = 30 * time.Second

	firstPause = 5 * time.Millisecond
	lastPause  = 200 * time.Millisecond

	// hops is how many endpoints are tried in a row without a pause.
	hops = 8

	// attempts is how often a request is sent whose connection ends without an
	// answer. It may be the request that does it.
	attempts = 3
)

// roundTripper is a function that is an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip calls f.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// roundTrip sends a request to its upstream. As long as there is no connection,
// nothing of the request is gone: it tries another ready endpoint, or the same
// one again after a pause. A request that was sent on a connection which then ended
// without a byte of an answer is sent again too if that is harmless, a few times and
// to an endpoint only once, unless it is the only one: then twice.
// r is the proxy's own copy, so it may be written to.
func (f *Forwarder) roundTrip(r *http.Request) (*http.Response, error) {
	c := callOf(r.Context())
	c.sent = true
	if route := c.x.Route; route != nil {
		c.clock.start(route.ResponseHeader, route.Request, c.x.Start)
	}
	if r.Body != nil {
		c.upload.body = r.Body
		r.GetBody = c.upload.attempt
		if r.ContentLength < 0 {
			// Said by nobody who speaks HTTP/2. Without it, net/http reads ahead to find
			// out whether a GET has a body, while it looks at the trailers.
			r.TransferEncoding = []string{"chunked"}
		}
	}
	transport := f.transports.pick(c.x, r.Header.Get("Upgrade") != "")
	var tries backoff
	var lost []string // the addresses that closed the connection
	for {
		address := f.address(c.x.Upstream)
		c.x.Trace.Upstream(address)
		r.URL.Host = address
		if c.x.TLS {
			r.URL.Host = withName(c.x.Upstream.Target.ServerName, address)
		}
		if r.Body != nil {
			body, err := c.upload.attempt()
			if err != nil {
				return nil, err
			}
			r.Body = body
		}
		c.begin()
		res, err := transport.RoundTrip(r)
		c.want.end()
		if err == nil {
			c.receive(res)
			return res, nil
		}
		refused := errors.As(err, new(*dialError))
		if again := refused || c.lost() && c.upload.again() && repeatable(r, c.x); !again || c.Err() != nil {
			return nil, err
		}
		c.x.Upstream.Slot.Refused()
		tried := append(slices.Clip(lost), address)
		if !refused {
			lost = tried
		}
		switch {
		case tries.exhausted(c.x), len(lost) == attempts:
			return nil, err
		case tries.hop() && f.another(c.x, tried):
		case !refused && len(lost) > 1:
			return nil, err
		case !tries.rest(c):
			return nil, err
		}
		f.log.V(1).Info("sending again", "service", c.x.Upstream.Target.ServerName, "address", address, "reason", err.Error())
	}
}

// repeatable says whether a request may be sent again although a backend may have
// seen it: if that does the same as once (RFC 9110, 9.2.2), or if the backend was
// just woken. What closes the connection of such a request without a word is, as good as
// always, a pod that has not come up yet.
func repeatable(r *http.Request, x *exchange.Exchange) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return woken(x) || r.Header["Idempotency-Key"] != nil || r.Header["X-Idempotency-Key"] != nil
}

// woken says that the request goes to the target that it woke. A fallback takes its
// place when that did not wake in time, and is a backend like any warm one.
func woken(x *exchange.Exchange) bool {
	return x.Cold && (x.Route == nil || x.Upstream.Target == x.Route.Target)
}

// another moves the exchange to another ready endpoint of its target, if there is
// one that was not tried.
func (f *Forwarder) another(x *exchange.Exchange, tried []string) bool {
	if !f.direct {
		return false
	}
	slot, ok := x.Upstream.Slot.Another(tried...)
	if ok {
		x.Upstream.Slot = slot
	}
	return ok
}

// backoff is the pace of the attempts of one call. The zero value is ready to use.
type backoff struct {
	until time.Time // zero until the first failure
	pause time.Duration
	hops  int // since the last pause
}

// exhausted notes a failure, and says that there were failures for long enough.
func (b *backoff) exhausted(x *exchange.Exchange) bool {
	now := time.Now()
	if b.until.IsZero() {
		b.until, b.pause = now.Add(patience), firstPause
		if woken(x) {
			b.until = now.Add(coldPatience)
		}
	}
	return now.After(b.until)
}

// hop says whether another endpoint may be tried at once.
func (b *backoff) hop() bool {
	b.hops++
	return b.hops <= hops
}

// rest pauses. It returns false if the call ended meanwhile.
func (b *backoff) rest(c *call) bool {
	// The jitter keeps requests that failed together from trying together.
	timer := time.NewTimer(b.pause/2 + rand.N(b.pause/2))
	defer timer.Stop()
	b.pause, b.hops = min(2*b.pause, lastPause), 0
	select {
	case <-timer.C:
		return true
	case <-c.Done():
		return false
	}
}
