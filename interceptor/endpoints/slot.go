package endpoints

import (
	"io"
	"slices"
	"sync/atomic"
	"time"
)

// Slot is one request's right to be sent to an endpoint. It is a value: copies
// are the same Slot. The zero Slot has no endpoint, and all its methods do
// nothing. Methods may be called by several goroutines.
type Slot struct{ ticket *ticket }

// ticket is what the copies of a Slot share.
type ticket struct {
	endpoint *endpoint
	address  string
	limit    int   // such requests per endpoint; 0: any number
	waited   bool  // came from the line
	since    int64 // when it came, by Port.now
	phase    atomic.Uint32
}

// The phases of a Slot.
const (
	open       = iota // answered, or picked while warm: only in flight
	unanswered        // released from the line: takes a place of the window
	released
)

// Valid reports whether there is an endpoint.
func (s Slot) Valid() bool { return s.ticket != nil }

// Addr returns the endpoint's "ip:port", or "" for the zero Slot.
func (s Slot) Addr() string {
	if s.ticket == nil {
		return ""
	}
	return s.ticket.address
}

// Answered records that the response header has arrived: the endpoint can take more of the
// waiting requests. Only the first call of a Slot that came from a Waiter has an effect.
func (s Slot) Answered() {
	t := s.ticket
	if t != nil && t.phase.CompareAndSwap(unanswered, open) {
		port := t.endpoint.port
		port.answered(t.endpoint, time.Duration(port.now()-t.since))
	}
}

// Refused records a failure to connect to the endpoint. The endpoint gets fewer requests for a
// while, from now on at another of its addresses if it has one. The request keeps its place, for
// another try, until Release. The caller may record each failed attempt.
func (s Slot) Refused() {
	if s.held() {
		s.ticket.endpoint.port.refused(s.ticket.endpoint, s.ticket.address)
	}
}

// Lost notes that a connection to the endpoint ended without an answer: it is Refused
// except that its address stays.
func (s Slot) Lost() {
	if s.held() {
		s.ticket.endpoint.port.refused(s.ticket.endpoint, "")
	}
}

// Release notes that the request is over. It is idempotent; after it Answered,
// Refused, Lost and Another have no effect.
func (s Slot) Release() {
	t := s.ticket
	if t == nil {
		return
	}
	phase := t.phase.Swap(released)
	if phase == released {
		return
	}
	t.endpoint.inFlight.Add(-1)
	if phase == unanswered || t.limit > 0 {
		t.endpoint.port.over(t.endpoint, phase == unanswered, t.limit > 0, t.waited)
	}
}

// Another moves a request that is not over to the least loaded ready endpoint, under the limit of
// the Slot. The endpoint must receive requests at an address that is not among the tried ones.
// Another releases the Slot, or leaves it unchanged if there is no such endpoint. Only the
// request's own goroutine may call it.
func (s Slot) Another(tried ...string) (Slot, bool) {
	if !s.held() {
		return Slot{}, false
	}
	next, ok := s.ticket.endpoint.port.move(s.ticket, tried)
	if ok {
		s.Release()
	}
	return next, ok
}

// Attachment returns the attachment of the endpoint, or nil. Here and in Attach, the Slot must be
// Valid.
func (s Slot) Attachment() io.Closer {
	if attached := s.ticket.endpoint.attached.Load(); attached != nil {
		return *attached
	}
	return nil
}

// Attach attaches what attach returns for the Slot's address, unless there is an attachment, and
// returns the attachment. An attachment is closed when its endpoint is no longer ready or gets
// its requests at another address. It is closed again with each call after that, because requests
// that the endpoint still has may use it.
func (s Slot) Attach(attach func() io.Closer) io.Closer {
	e := s.ticket.endpoint
	e.port.mu.Lock()
	defer e.port.mu.Unlock()
	if attached := s.Attachment(); attached != nil {
		return attached
	}
	attached := attach()
	if e.gone || s.ticket.address != e.address() {
		_ = attached.Close()
	} else {
		e.attached.Store(&attached)
	}
	return attached
}

// held reports whether the request has an endpoint and is not over.
func (s Slot) held() bool { return s.ticket != nil && s.ticket.phase.Load() != released }

// endpoint is one ready pod of a port.
type endpoint struct {
	port     *Port
	id       string
	pod      ID
	inFlight atomic.Int64
	// addresses are those of the pod, the one to dial first. Written under port.mu; the
	// list is never written to.
	addresses atomic.Pointer[[]string]
	// avoid is until when Pick prefers others, in nanoseconds since the epoch;
	// 0 is not at all.
	avoid atomic.Int64
	// attached is what belongs to the endpoint and goes with it; written under
	// port.mu.
	attached atomic.Pointer[io.Closer]

	reported []string // the addresses as the last update had them; guarded by port.mu
	pacing            // guarded by port.mu
}

// address returns the address to dial.
func (e *endpoint) address() string { return (*e.addresses.Load())[0] }

// turn makes the next address the one to dial if this is the one that was refused. It
// returns what was attached to it, nil if nothing was. The caller holds the port's lock.
func (e *endpoint) turn(refused string) io.Closer {
	addresses := *e.addresses.Load()
	if len(addresses) < 2 || addresses[0] != refused {
		return nil
	}
	turned := append(slices.Clone(addresses[1:]), refused)
	e.addresses.Store(&turned)
	if attached := e.attached.Swap(nil); attached != nil {
		return *attached
	}
	return nil
}

// issue makes a Slot. The caller holds the port's lock if there is a limit.
func (e *endpoint) issue(phase uint32, limit int, waited bool) Slot {
	t := &ticket{endpoint: e, address: e.address(), limit: limit, waited: waited}
	t.phase.Store(phase)
	if waited {
		t.since = e.port.now()
	}
	if limit > 0 {
		e.limited++
	}
	e.inFlight.Add(1)
	return Slot{t}
}

// avoided is more than any number of requests in flight.
const avoided = 1 << 40

// load is what Pick compares. The clock is read only after a refusal.
func (e *endpoint) load() int64 {
	n := e.inFlight.Load()
	if until := e.avoid.Load(); until != 0 {
		if e.port.now() < until {
			return n + avoided
		}
		e.avoid.CompareAndSwap(until, 0)
	}
	return n
}
