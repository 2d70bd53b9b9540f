package externalscaler

import (
	"context"
	"sync"
	"time"

	"github.com/kedacore/http-add-on/pkg/demand"
)

// repeats are the times between the "active" messages of a route that stays cold. The last one
// repeats.
//
// KEDA loses some messages. It loses those that come while the Deployment changes, for example
// just after its last pod ended. The write of the scale conflicts then, and KEDA does not retry
// it. KEDA also loses those that come before it knows the ScaledObject's metrics.
var repeats = [...]time.Duration{500 * time.Millisecond, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second}

// coldSpacing is the time between two "active" messages of a cold route when further requests
// come.
const coldSpacing = 2 * time.Second

// warmSpacing is the time between two "active" messages of a route that is warm. KEDA writes to
// the API server for each, and has 20 requests a second for everything.
const warmSpacing = 10 * time.Second

// warmPatience is how often a warm route gets its turn among cold ones. There may be so many cold
// routes that their repeats never end.
const warmPatience = time.Second

// pacer decides when the streams of a route send "active":
//   - at once when the route turns cold, and repeatedly while it stays cold;
//   - at most every 2 s for further requests while it is cold;
//   - at most every 10 s for the first request after a silence; the last one is never lost.
//
// All messages except the first of a route share one pace of one per spacing. Cold routes go
// first, except once a second.
type pacer struct {
	demand  *demand.Aggregate
	spacing time.Duration
	wake    chan struct{}

	mu       sync.Mutex
	routes   map[string]*paced // those with streams
	due      map[*paced]struct{}
	earliest time.Time // no entry of due is earlier; zero means none
	next     time.Time // nothing that can wait goes out before
	lastWarm time.Time // the last "active" of a warm route
}

// paced is a route with streams.
type paced struct {
	key     string
	streams map[chan struct{}]struct{}
	last    time.Time // the last "active"
	// When the next ones are due; zero means never.
	cold, warm time.Time
	repeat     int // index of the next one of repeats
}

func newPacer(demand *demand.Aggregate, spacing time.Duration) *pacer {
	return &pacer{
		demand: demand, spacing: spacing, wake: make(chan struct{}, 1),
		routes: make(map[string]*paced), due: make(map[*paced]struct{}),
	}
}

// subscribe returns a signal for each "active" of a route; pending signals merge into one. If the
// route is active, one is pending at once. The caller calls cancel when the stream has ended.
func (p *pacer) subscribe(key string) (active <-chan struct{}, cancel func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.routes[key]
	if r == nil {
		r = &paced{key: key, streams: make(map[chan struct{}]struct{})}
		p.routes[key] = r
	}
	stream := make(chan struct{}, 1)
	r.streams[stream] = struct{}{}
	if state := p.demand.State(key); state.Active() {
		stream <- struct{}{}
		r.last = time.Now()
		if state.Cold && r.cold.IsZero() {
			r.cold, r.repeat = r.last.Add(repeats[0]), 1
			p.plan(r)
			p.again()
		}
	}
	return stream, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(r.streams, stream)
		if len(r.streams) == 0 {
			delete(p.routes, key)
			delete(p.due, r)
		}
	}
}

func (p *pacer) again() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run sends "active"s until ctx ends.
func (p *pacer) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.demand.Changed():
		case <-p.wake:
		case <-timer.C:
		}
		if at := p.turn(time.Now()); !at.IsZero() {
			timer.Reset(time.Until(at))
		}
	}
}

// plan records that a route has something to send, now or later.
func (p *pacer) plan(r *paced) {
	p.due[r] = struct{}{}
	for _, at := range [...]time.Time{r.cold, r.warm} {
		if !at.IsZero() {
			p.earliest = sooner(p.earliest, at)
		}
	}
}

// turn sends what is due, and returns when to call it next; zero means never. It walks the routes
// only if one may be due, because hits come much more often.
func (p *pacer) turn(now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, hit := range p.demand.Hits() {
		r := p.routes[key]
		if r == nil {
			continue // subscribe notifies a stream that opens
		}
		switch hit {
		case demand.Cold:
			r.repeat = 0
			p.sendCold(r, now)
		case demand.StillCold:
			r.cold = sooner(r.cold, later(now, r.last.Add(coldSpacing)))
		case demand.Warm:
			r.warm = sooner(r.warm, later(now, r.last.Add(warmSpacing)))
		}
		p.plan(r)
	}
	for !p.earliest.IsZero() {
		if at := later(p.earliest, p.next); at.After(now) {
			return at
		}
		r, at, cold := p.first(now)
		if p.earliest = at; r == nil || at.After(now) {
			continue
		}
		switch {
		case !cold:
			p.send(r, now)
			p.lastWarm = now
		case p.demand.State(r.key).Cold:
			p.sendCold(r, now)
		default: // an endpoint was ready since
			r.cold = time.Time{}
		}
		if r.cold.IsZero() && r.warm.IsZero() {
			delete(p.due, r)
		}
	}
	return time.Time{}
}

// first returns the route to serve next, and when. Among those that are due, it prefers a cold
// one, unless it is the turn of a warm one. If none is due, it returns the route that is due
// first.
func (p *pacer) first(now time.Time) (next *paced, at time.Time, cold bool) {
	var coldest, warmest *paced
	for r := range p.due {
		if !r.cold.IsZero() && (coldest == nil || r.cold.Before(coldest.cold)) {
			coldest = r
		}
		if !r.warm.IsZero() && (warmest == nil || r.warm.Before(warmest.warm)) {
			warmest = r
		}
	}
	switch {
	case coldest == nil && warmest == nil:
		return nil, time.Time{}, false
	case coldest == nil:
		return warmest, warmest.warm, false
	case warmest == nil:
		return coldest, coldest.cold, true
	}
	if warmest.warm.After(now) || coldest.cold.After(now) {
		cold = coldest.cold.Before(warmest.warm)
	} else {
		cold = now.Sub(p.lastWarm) < warmPatience
	}
	if cold {
		return coldest, coldest.cold, true
	}
	return warmest, warmest.warm, false
}

// sendCold sends an "active" and plans the next one.
func (p *pacer) sendCold(r *paced, now time.Time) {
	p.send(r, now)
	r.cold = now.Add(repeats[min(r.repeat, len(repeats)-1)])
	r.repeat++
}

// send sends an "active" to all streams of a route.
func (p *pacer) send(r *paced, now time.Time) {
	r.last, r.warm = now, time.Time{}
	p.next = now.Add(p.spacing)
	for stream := range r.streams {
		select {
		case stream <- struct{}{}:
		default:
		}
	}
}

// sooner returns the earlier of two times. The first may be zero, which means never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
