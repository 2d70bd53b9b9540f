package middleware

import (
	"context"
	"time"

	"github.com/kedacore/http-add-on/interceptor/coldstart"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
)

// wait is how a cold request waits for its turn: a place in the queue of its
// target's port, and a place among the held requests of its route. It is owned
// by the goroutine that serves the request.
type wait struct {
	port    *endpoints.Port
	waiter  *endpoints.Waiter
	release func()
	timer   *time.Timer
	// expired fires when the readiness or the request timeout is over, whichever
	// is first; nil never does. final says that it is that of the request, after
	// which nobody can answer any more.
	expired <-chan time.Time
	final   bool
	// upload is the request's body, nil if it has none. It knows that a client has
	// left before net/http does, which looks only once the body was read.
	upload *coldstart.Upload
}

// enqueue begins to wait at a time, for a request whose place among the held
// ones release gives back.
func enqueue(x *exchange.Exchange, now time.Time, release func()) *wait {
	w := &wait{port: x.Route.Target.Endpoints, release: release}
	w.waiter = w.port.Enqueue(x.Route.ReleaseConcurrency)
	left := x.Route.Readiness
	if x.Route.Request > 0 {
		if request := x.Route.Request - now.Sub(x.Start); left == 0 || request <= left {
			left, w.final = max(request, 1), true
		}
	}
	if left > 0 {
		w.timer = time.NewTimer(left)
		w.expired = w.timer.C
	}
	return w
}

// leave gives up everything that waiting takes: a request that is forwarded is
// not held any more. A Slot that was received stays the receiver's. It may be
// called more than once.
func (w *wait) leave() {
	w.waiter.Leave()
	w.release()
	if w.timer != nil {
		w.timer.Stop()
	}
}

// follow goes on waiting under the route that has taken the place of the
// request's: whoever mends a target's name while requests wait for it frees them.
// The demand moves to the new target too.
func (w *wait) follow(x *exchange.Exchange) {
	x.Route = x.Route.Successor()
	if port := x.Route.Target.Endpoints; port != w.port {
		w.waiter.Leave()
		w.port, w.waiter = port, port.Enqueue(x.Route.ReleaseConcurrency)
	} else {
		w.waiter.Limit(x.Route.ReleaseConcurrency)
	}
	// A route that was deleted in between has forgotten its lease.
	demand(x)
}

// ending is why a wait is over.
type ending uint8

const (
	served  ending = iota // there is a Slot
	expired               // it took too long
	left                  // the client is gone
	failed                // the body says why it is not worth to wait for
	elapsed               // what await was given is over; the wait goes on
)

// await waits for an endpoint, or until a channel is closed if one is given. A
// Slot that is there together with the end of the time is taken.
func (w *wait) await(ctx context.Context, x *exchange.Exchange, until <-chan struct{}) (endpoints.Slot, ending) {
	for {
		select {
		case slot := <-w.waiter.C:
			return slot, served
		case <-w.expired:
			select {
			case slot := <-w.waiter.C:
				return slot, served
			default:
				return endpoints.Slot{}, expired
			}
		case <-ctx.Done():
			return endpoints.Slot{}, left
		case <-w.upload.Failed():
			return endpoints.Slot{}, failed
		case <-until:
			return endpoints.Slot{}, elapsed
		case <-x.Route.Replaced():
			w.follow(x)
		}
	}
}
