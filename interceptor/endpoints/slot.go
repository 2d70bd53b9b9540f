package endpoints

import (
	"sync/atomic"
	"time"
)

// Slot is one request's right to be sent to an endpoint. It is a value: copies
// are the same Slot. The zero Slot has no endpoint, and all its methods do
// nothing. Methods may be called by several goroutines.
type Slot struct {
	endpoint   *endpoint
	ticket     *ticket
	generation uint64
}

// Valid says whether there is an endpoint.
func (s Slot) Valid() bool { return s.endpoint != nil }

// Addr is the endpoint's "ip:port", "" if there is none.
func (s Slot) Addr() string {
	if s.endpoint == nil {
		return ""
	}
	return s.endpoint.address
}

// Answered says that the response header has arrived: the endpoint can take
// more of those who wait. Only the first call of a Slot that came from a Waiter
// has an effect.
func (s Slot) Answered() {
	if s.ticket == nil {
		return
	}
	port, since := s.endpoint.port, s.ticket.since.Load()
	if s.ticket.state.CompareAndSwap(s.state(unanswered), s.state(open)) {
		port.answered(s.endpoint, time.Duration(port.now()-since))
	}
}

// Refused says that the endpoint could not be connected to: it is sent less for
// a while. The request keeps its place, for another try, until Release. Each
// failed attempt may be told.
func (s Slot) Refused() {
	if s.ticket != nil && s.ticket.state.Load()>>phaseBits == s.generation {
		s.endpoint.port.refused(s.endpoint)
	}
}

// Release says that the request is over. It is idempotent; after it the other
// methods but Addr and Valid have no effect.
func (s Slot) Release() {
	if s.ticket == nil {
		return
	}
	e := s.endpoint
	for {
		state := s.ticket.state.Load()
		if state>>phaseBits != s.generation {
			return
		}
		if !s.ticket.state.CompareAndSwap(state, (s.generation+1)<<phaseBits) {
			continue // Answered came in between
		}
		limited, waited := s.ticket.limit > 0, s.ticket.waited
		e.inFlight.Add(-1)
		e.port.shared.tickets.Put(s.ticket)
		if state == s.state(unanswered) || limited {
			e.port.over(e, state == s.state(unanswered), limited, waited)
		}
		return
	}
}

// Another moves a request that is not over to the least loaded of the other ready
// endpoints, those with a tried address excepted, under the limit that the Slot
// was given out with. The Slot is released then; it stays as it is if there is no
// such endpoint. Only the request's own goroutine may call it.
func (s Slot) Another(tried ...string) (Slot, bool) {
	if s.ticket == nil || s.ticket.state.Load()>>phaseBits != s.generation {
		return Slot{}, false
	}
	next, ok := s.endpoint.port.move(s.ticket, tried)
	if ok {
		s.Release()
	}
	return next, ok
}

// state is what the ticket holds while this Slot is in a phase.
func (s Slot) state(phase uint64) uint64 { return s.generation<<phaseBits | phase }

// ticket is the state that the copies of a Slot share. Tickets are recycled, so
// that a Pick allocates nothing; the generation tells a Slot from those that had
// its ticket before.
type ticket struct {
	state atomic.Uint64 // generation<<phaseBits | phase

	// What follows is written before the Slot is given out, and read by its owner
	// and by whoever releases it.
	limit  int  // how many such requests its endpoint takes at a time; 0: any number
	waited bool // it came from the line

	// since is when it came from there, as Port.now says. Whoever asks may be too late.
	since atomic.Int64
}

// The phases of a Slot that is not yet released.
const (
	open       = 1 // answered, or picked while warm: only in flight
	unanswered = 2 // released from the line: takes a place of the window
	phaseBits  = 2
)

// endpoint is one ready address of a port.
type endpoint struct {
	port     *Port
	address  string
	inFlight atomic.Int64
	// avoid is until when Pick prefers others, in nanoseconds since the epoch;
	// 0 is not at all.
	avoid atomic.Int64

	pacing // guarded by port.mu
}

// issue makes a Slot. The caller holds the port's lock if there is a limit.
func (e *endpoint) issue(phase uint64, limit int, waited bool) Slot {
	t := e.port.shared.tickets.Get().(*ticket)
	s := Slot{endpoint: e, ticket: t, generation: t.state.Load() >> phaseBits}
	t.limit, t.waited = limit, waited
	if waited {
		t.since.Store(e.port.now())
	}
	if limit > 0 {
		e.limited++
	}
	t.state.Store(s.state(phase))
	e.inFlight.Add(1)
	return s
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
