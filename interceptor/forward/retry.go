package forward

import (
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/kedacore/http-add-on/interceptor/exchange"
)

// How long a request is offered again to a backend that refuses connections. A backend that was
// just woken may be pods without a readiness probe, which count as ready before they listen. An
// address that does not answer at all is that of a pod or node that is gone. Kubernetes may take
// that long to notice while its API server restarts. The timeouts of the route end it too.
const (
	patience     = 5 * time.Second
	longPatience = 30 * time.Second
	// maxAbsent is how many requests to targets that were awake may wait for longer than patience.
	// More could take all connections of other tenants.
	maxAbsent = 64

	firstPause = 5 * time.Millisecond
	lastPause  = 200 * time.Millisecond
	// servicePause replaces lastPause where the Service is dialed. Its address refuses for about
	// a second, until kube-proxy has seen the pod, and not because the pod has much to do.
	servicePause = 25 * time.Millisecond

	// hops is how many endpoints are tried in a row without a pause.
	hops = 8

	// attempts is how often a request is sent whose connection ends without an
	// answer. It may be the request that does it.
	attempts = 3
)

// mayRepeat reports whether a request may be sent again after this failure.
func (e *sendError) mayRepeat(c *call, r *http.Request) bool {
	switch e.reached {
	case refused:
		return true
	case unsent:
		return c.body.Repeatable()
	case silent:
		// Nearly always, a pod that is not up yet closes the connection without a word.
		return c.body.Repeatable() && (idempotent(r) || woken(c.x))
	case hinted:
		return c.body.Repeatable() && idempotent(r)
	}
	return false
}

// idempotent reports whether a request that is sent twice has the same effect as once (RFC 9110,
// 9.2.2). Such a request may be sent again although a backend may have processed it.
func idempotent(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return r.Header["Idempotency-Key"] != nil || r.Header["X-Idempotency-Key"] != nil
}

// woken reports whether the request goes to the target that it woke. A fallback takes its
// place when that did not wake in time, and is a backend like any warm one.
func woken(x *exchange.Exchange) bool {
	return x.Cold && (x.Route == nil || x.Upstream.Target == x.Route.Target)
}

// backoff is the pace of the attempts of one call. The zero value is ready to use.
type backoff struct {
	since  time.Time // zero until the first failure
	absent time.Time // when an address did not answer last
	long   bool      // it is one of those that wait for longer
	pause  time.Duration
	hops   int // since the last pause
	// service means that the Service is dialled and not a pod.
	service bool
}

// exhausted notes a failure, and reports whether there were failures for long enough.
func (f *Forwarder) exhausted(b *backoff, x *exchange.Exchange, err error) bool {
	now := time.Now()
	if b.since.IsZero() {
		b.since, b.absent, b.pause = now, now, firstPause
	}
	if absent(err) {
		b.absent = now // what refuses later may be the pod that replaces it
	}
	long := b.since.Add(longPatience)
	if woken(x) {
		if b.service && x.Route != nil && x.Start.Add(x.Route.Readiness).After(long) {
			long = x.Start.Add(x.Route.Readiness)
		}
		return now.After(long)
	}
	if until := b.since.Add(patience); !now.After(until) {
		return false
	}
	return now.After(long) || now.After(b.absent.Add(patience)) || !f.waitsLonger(b)
}

// waitsLonger reports whether a request may wait for longer than patience, and counts it.
func (f *Forwarder) waitsLonger(b *backoff) bool {
	if !b.long {
		b.long = f.absent.Add(1) <= maxAbsent
		if !b.long {
			f.absent.Add(-1)
		}
	}
	return b.long
}

// over ends the attempts of a call.
func (f *Forwarder) over(b *backoff) {
	if b.long {
		f.absent.Add(-1)
	}
}

// hop reports whether another endpoint may be tried at once.
func (b *backoff) hop() bool {
	b.hops++
	return b.hops <= hops
}

// rest pauses. It returns why the call ended meanwhile.
func (b *backoff) rest(c *call) error {
	// The jitter keeps requests that failed together from trying together.
	pause, longest := b.pause/2+rand.N(b.pause/2), lastPause
	if b.service {
		longest = servicePause
	}
	b.pause, b.hops = min(2*b.pause, longest), 0
	return c.pause(pause)
}
