package endpoints

import (
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Port is one port of a Service: its ready endpoints, and the requests that
// wait for one. It is safe for concurrent use. Ready and Pick take no lock.
type Port struct {
	epoch    time.Time
	interned bool // owned by the Store

	ready  atomic.Pointer[[]*endpoint] // nil: none; else not empty and never written to
	cursor atomic.Uint32               // where the next scan begins, so that equals take turns
	// lost is when the last ready endpoint went, in nanoseconds since the epoch.
	lost atomic.Int64
	// limited is how many requests that have a limit wait, or came from the line and
	// are not over. Written under the lock.
	limited atomic.Int64

	mu       sync.Mutex // guards what follows, and the pace of the endpoints
	starting []ID
	changed  chan struct{} // closed with the next update; nil if no one asked
	line     line
	away     map[string]*endpoint // not ready, by id: those with requests that have a limit
	timer    *time.Timer          // runs while somebody waits and an endpoint exists
	round    uint64               // which timer is the current one
}

// scanned is how many endpoints a Pick looks at. Up to this many it finds the least loaded one.
// Beyond, it rotates through the endpoints and takes the least loaded of this many. That spreads
// load nearly as well and costs the same for any number of pods.
const scanned = 8

// Ready says whether the port has a ready endpoint: one atomic load.
func (p *Port) Ready() bool { return p.ready.Load() != nil }

// Lost returns when the port had a ready endpoint for the last time, its making if it never
// had one. It is for ports that are not ready.
func (p *Port) Lost() time.Time { return p.epoch.Add(time.Duration(p.lost.Load())) }

// Count returns how many endpoints are ready.
func (p *Port) Count() int { return len(p.endpoints()) }

// Waiting returns how many waiters stand in the line. It walks the line.
func (p *Port) Waiting() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := p.line.first; w != nil; w = w.next {
		n++
	}
	return n
}

// Pick takes the ready endpoint with the fewest requests in flight, and returns false if there is
// none. It does not wait for held requests, takes no lock and allocates only the Slot. The caller
// must Release the Slot.
//
// Pick takes an endpoint that has just refused a connection only if all have. Otherwise it would
// always be the least loaded one, because it fails fast.
func (p *Port) Pick() (Slot, bool) {
	ready := p.ready.Load()
	if ready == nil {
		return Slot{}, false
	}
	return p.least(*ready).issue(open, 0, false), true
}

// PickWithin is Pick for requests that have a limit; 0 means no limit. The limit applies during a
// release: from when the first such request waits until none waits and those that did are over.
// During a release PickWithin returns false while requests wait, so that none overtakes the line.
// It also returns false when no endpoint has less than limit such requests in flight. At other
// times it is Pick.
func (p *Port) PickWithin(limit int) (Slot, bool) {
	ready := p.ready.Load()
	switch {
	case ready == nil:
		return Slot{}, false
	case limit == 0 || p.limited.Load() == 0: // looked at after ready: who waited for that is seen
		return p.least(*ready).issue(open, 0, false), true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line.first != nil {
		return Slot{}, false
	}
	e := p.within(limit, nil, nil)
	if e == nil {
		return Slot{}, false
	}
	return e.issue(open, limit, false), true
}

// move picks another endpoint for the request of a ticket.
func (p *Port) move(t *ticket, tried []string) (Slot, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.within(t.limit, t.endpoint, tried)
	if e == nil {
		return Slot{}, false
	}
	if t.limit > 0 && t.waited {
		p.limited.Add(1)
	}
	return e.issue(open, t.limit, t.waited), true
}

// within returns the least loaded endpoint below the limit, except those with a tried address,
// or nil. The request may be in flight at one of them, where it does not count. The
// caller holds p.mu.
func (p *Port) within(limit int, from *endpoint, tried []string) *endpoint {
	endpoints := p.endpoints()
	start := int(p.cursor.Add(1) % uint32(max(len(endpoints), 1)))
	var best *endpoint
	for i := range endpoints {
		e := endpoints[(start+i)%len(endpoints)]
		limited := e.limited
		if e == from {
			limited--
		}
		if limit > 0 && limited >= limit || slices.Contains(tried, e.address()) {
			continue
		}
		if best == nil || e.load() < best.load() {
			best = e
		}
	}
	return best
}

// least is the choice of Pick. There is at least one endpoint.
func (p *Port) least(endpoints []*endpoint) *endpoint {
	n := len(endpoints)
	if n == 1 {
		return endpoints[0]
	}
	at := int(p.cursor.Add(1) % uint32(n))
	best := endpoints[at]
	load := best.load()
	for range min(n, scanned) - 1 {
		if at++; at == n {
			at = 0
		}
		if l := endpoints[at].load(); l < load {
			best, load = endpoints[at], l
		}
	}
	return best
}

// update replaces the pods; a ready one may be named twice.
func (p *Port) update(all Pods) {
	pods := all.Ready
	var closers []io.Closer
	defer func() { // without the lock
		for _, c := range closers {
			_ = c.Close() // no one can do anything about it
		}
	}()
	detach := func(e *endpoint) {
		if attached := e.attached.Swap(nil); attached != nil {
			closers = append(closers, *attached)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starting = all.Starting
	if p.changed != nil {
		defer close(p.changed)
		p.changed = nil
	}
	old := p.endpoints()
	if slices.EqualFunc(old, pods, func(e *endpoint, pod Pod) bool { return e.id == pod.id() && slices.Equal(e.reported, pod.Addresses) }) {
		return
	}
	known := make(map[string]*endpoint, len(old)+len(p.away))
	maps.Copy(known, p.away)
	for _, e := range old {
		e.gone = true
		known[e.id] = e
	}
	next := make([]*endpoint, 0, len(pods))
	for _, pod := range pods {
		id := pod.id()
		e := known[id]
		switch {
		case e == nil:
			e = &endpoint{port: p, id: id, pod: pod.ID(), pacing: newPacing()}
			known[id] = e
		case !e.gone:
			continue
		case p.away[id] == e:
			e.restart()
		}
		if !slices.Equal(e.reported, pod.Addresses) {
			e.reported = pod.Addresses
			e.addresses.Store(&pod.Addresses)
			detach(e)
		}
		e.gone = false
		next = append(next, e)
	}
	for _, e := range old {
		if e.gone {
			detach(e)
		}
	}
	p.away = nil
	for id, e := range known {
		if !e.gone || e.limited == 0 {
			continue
		}
		if p.away == nil {
			p.away = make(map[string]*endpoint)
		}
		p.away[id] = e
	}
	if len(next) == 0 {
		if p.Ready() {
			p.lost.Store(p.now())
		}
		p.ready.Store(nil)
		p.pace()
		return
	}
	p.ready.Store(&next)
	p.spread()
}

// now is the time in nanoseconds since the epoch.
func (p *Port) now() int64 { return int64(time.Since(p.epoch)) }

// endpoints are the ready ones.
func (p *Port) endpoints() []*endpoint {
	if ready := p.ready.Load(); ready != nil {
		return *ready
	}
	return nil
}
