package endpoints

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// model is the obvious description of paced release. It receives what happened and reports
// whether that was allowed.
type model struct {
	t       *testing.T
	store   *Store
	port    *Port
	line    []*Waiter       // in order
	limit   map[*Waiter]int // of the line
	slots   []Slot          // received, not released
	limits  map[Slot]int    // of slots: their limit, if they have one
	since   map[Slot]time.Time
	pending map[Slot]bool    // of slots: released from the line, not answered
	pace    map[string]*pace // of the ready addresses
	away    map[string]*pace // of those that were ready
	self    map[*endpoint]*pace
}

type pace struct{ pacing }

// at says that a limit is reached.
func (p *pace) at(limit int) bool { return limit > 0 && p.limited >= limit }

// settle receives the released requests. It checks order, windows, and that no request waits
// without need.
func (m *model) settle() {
	m.t.Helper()
	synctest.Wait()
	for len(m.line) > 0 {
		select {
		case s := <-m.line[0].C:
			p := m.pace[s.Addr()]
			if p == nil {
				m.t.Fatalf("released to %s, which is not ready", s.Addr())
			}
			if p.silent || p.unanswered >= p.window || p.at(m.limit[m.line[0]]) {
				m.t.Fatalf("released to %s with %+v", s.Addr(), *p)
			}
			p.unanswered++
			m.pending[s], m.since[s] = true, time.Now()
			m.got(s, m.limit[m.line[0]], p)
			m.line = m.line[1:]
			continue
		default:
		}
		break
	}
	for i, w := range m.line {
		if len(w.C) > 0 {
			m.t.Fatalf("waiter %d of the line was served before the first one", i)
		}
	}
	for address, p := range m.pace {
		if len(m.line) > 0 && !p.silent && p.unanswered < p.window && !p.at(m.limit[m.line[0]]) {
			m.t.Fatalf("%d wait while %s has %+v", len(m.line), address, *p)
		}
	}
	check(m.t, m.port)
}

// got takes note of a slot.
func (m *model) got(s Slot, limit int, p *pace) {
	m.slots = append(m.slots, s)
	if limit > 0 {
		m.limits[s] = limit
		p.limited++
	}
}

// pick is a request that comes while an endpoint may be ready.
func (m *model) pick(limit int) {
	s, ok := m.port.PickWithin(limit)
	if !ok {
		for address, p := range m.pace {
			if len(m.line) == 0 && !p.at(limit) {
				m.t.Fatalf("not sent to %s with %+v", address, *p)
			}
		}
		return
	}
	if m.port.limited.Load() == 0 {
		limit = 0 // no release goes on
	}
	if p := m.pace[s.Addr()]; p.at(limit) || limit > 0 && len(m.line) > 0 {
		m.t.Fatalf("sent to %s with %+v while %d wait", s.Addr(), *p, len(m.line))
	}
	m.got(s, limit, m.pace[s.Addr()])
}

// move lets a request try another endpoint.
func (m *model) move(i int) {
	s, _ := m.take(i, false)
	limit := m.limits[s]
	next, ok := s.Another(s.Addr())
	if !ok {
		for address, p := range m.pace {
			if address != s.Addr() && !p.at(limit) {
				m.t.Fatalf("not moved to %s with %+v", address, *p)
			}
		}
		return
	}
	p := m.pace[next.Addr()]
	if next.Addr() == s.Addr() || p.at(limit) {
		m.t.Fatalf("moved from %s to %s with %+v", s.Addr(), next.Addr(), *p)
	}
	m.release(i)
	m.got(next, limit, p)
}

// release ends a request.
func (m *model) release(i int) {
	s, p := m.take(i, true)
	if m.pending[s] {
		p.unanswered--
	}
	if m.limits[s] > 0 {
		p.limited--
	}
	delete(m.pending, s)
	delete(m.limits, s)
	s.Release()
	s.Release()
}

// take removes a slot and returns what the model knows of its endpoint.
func (m *model) take(i int, remove bool) (Slot, *pace) {
	s := m.slots[i]
	if remove {
		m.slots = append(m.slots[:i:i], m.slots[i+1:]...)
	}
	return s, m.self[s.ticket.endpoint]
}

// step does one thing that the byte picks.
func (m *model) step(op, arg byte) {
	limit := max(int(arg)%7-2, 0)
	switch op % 12 {
	case 0, 1:
		for range int(arg)%60 + 1 {
			w := m.port.Enqueue(limit)
			m.line, m.limit[w] = append(m.line, w), limit
		}
	case 2:
		if len(m.line) > 0 {
			i := int(arg) % len(m.line)
			m.line[i].Leave()
			m.line = append(m.line[:i:i], m.line[i+1:]...)
		}
	case 3, 4:
		if len(m.slots) > 0 {
			s, p := m.take(int(arg)%len(m.slots), false)
			if m.pending[s] {
				p.unanswered--
				p.widen(time.Since(m.since[s]))
			}
			delete(m.pending, s)
			s.Answered()
		}
	case 5:
		if len(m.slots) > 0 {
			s, p := m.take(int(arg)%len(m.slots), false)
			p.narrow()
			s.Refused()
		}
	case 6:
		if len(m.slots) > 0 {
			m.release(int(arg) % len(m.slots))
		}
	case 7:
		if arg%2 == 0 {
			m.tick()
			return
		}
		m.update(arg >> 1)
	case 8:
		if len(m.line) > 0 {
			w := m.line[int(arg)/7%len(m.line)]
			m.limit[w] = limit
			w.Limit(limit)
		}
	case 9, 10:
		m.pick(limit)
	case 11:
		if len(m.slots) > 0 {
			m.move(int(arg) % len(m.slots))
		}
	}
}

// tick lets an interval pass. Everything happens at multiples of it.
func (m *model) tick() {
	if len(m.line) > 0 { // without an endpoint the loop does nothing
		for _, p := range m.pace {
			p.pass()
		}
	}
	pass(interval)
}

// update makes the endpoints ready that the bits name.
func (m *model) update(bits byte) {
	var ready []string
	pacing := map[string]*pace{}
	for i := range 4 {
		if bits&(1<<i) == 0 {
			continue
		}
		address := fmt.Sprintf("10.0.0.%d:80", i)
		ready = append(ready, address)
		p := m.pace[address]
		delete(m.pace, address)
		if p == nil {
			if p = m.away[address]; p != nil && p.limited > 0 {
				p.restart() // what it still has counts
			} else {
				p = &pace{newPacing()}
			}
			delete(m.away, address)
		}
		pacing[address] = p
	}
	maps.Copy(m.away, m.pace)
	m.pace = pacing
	set(m.store, ready...)
	for _, e := range m.port.endpoints() {
		m.self[e] = m.pace[e.address()]
	}
}

// FuzzPacedRelease drives a port with any sequence of events and checks after
// each that everything the model allows, and nothing else, has happened.
func FuzzPacedRelease(f *testing.F) {
	f.Add([]byte{0, 59, 0, 59, 7, 3, 3, 0, 5, 1, 7, 0, 6, 2, 7, 31})
	random := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		seed := make([]byte, 300)
		for i := range seed {
			seed[i] = byte(random.Uint32())
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, events []byte) {
		if len(events) > 2000 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			s := NewStore()
			m := &model{t: t, store: s, port: s.Port(web()), pace: map[string]*pace{}, away: map[string]*pace{}, self: map[*endpoint]*pace{},
				limit: map[*Waiter]int{}, limits: map[Slot]int{}, pending: map[Slot]bool{}, since: map[Slot]time.Time{}}
			for i := 0; i+1 < len(events); i += 2 {
				m.step(events[i], events[i+1])
				m.settle()
			}
			m.finish()
		})
	})
}

// finish answers until everybody was served.
func (m *model) finish() {
	m.update(1)
	m.settle()
	for len(m.line)+len(m.slots) > 0 {
		for len(m.slots) > 0 {
			m.step(3, 0)
			m.step(6, 0)
		}
		m.settle()
		if len(m.line) > 0 {
			m.tick()
			m.settle()
		}
	}
	if n := m.port.endpoints()[0].inFlight.Load(); n != 0 {
		m.t.Fatalf("%d in flight at the end", n)
	}
	if n := m.port.limited.Load(); n != 0 {
		m.t.Fatalf("%d requests keep the release going on", n)
	}
}

// TestNothingIsLostUnderConcurrency has held requests come, give up, be refused,
// answered and released while endpoints come and go and warm requests pass by.
// Each waiter that stays must be served, and nothing may be left at the end.
func TestNothingIsLostUnderConcurrency(t *testing.T) {
	const clients, rounds = 32, 60
	s := NewStore()
	p := s.Port(web())
	var working, around sync.WaitGroup
	over := make(chan struct{})

	around.Go(func() { // endpoints
		random := rand.New(rand.NewPCG(1, 1))
		for {
			select {
			case <-over:
				return
			default:
			}
			var ready []string
			for i := range 6 {
				if random.IntN(2) == 0 {
					ready = append(ready, fmt.Sprintf("10.0.0.%d:80", i))
				}
			}
			set(s, ready...)
		}
	})
	around.Go(func() { // the rules
		for {
			select {
			case <-over:
				return
			default:
			}
			check(t, p)
		}
	})
	for i := range clients {
		working.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 3))
			for range rounds {
				client(p, random)
			}
		})
	}
	working.Wait()
	close(over)
	around.Wait()

	check(t, p)
	set(s, "10.0.0.9:80")
	if p.line.first != nil || p.timer != nil {
		t.Error("somebody is left in the line")
	}
	for _, e := range p.endpoints() {
		if e.inFlight.Load() != 0 || e.unanswered != 0 || e.limited != 0 {
			t.Errorf("%d in flight, %d unanswered, %d limited at the end", e.inFlight.Load(), e.unanswered, e.limited)
		}
	}
	if n := p.limited.Load(); n != 0 {
		t.Errorf("%d requests keep the release going on", n)
	}
}

// client is one request. It gives up only by its own choice: a waiter that is
// never served blocks the test.
func client(p *Port, random *rand.Rand) {
	limit := random.IntN(4)
	if slot, ok := p.PickWithin(limit); ok && random.IntN(4) == 0 {
		defer slot.Release()
	} else {
		slot.Release()
	}
	w := p.Enqueue(limit)
	defer w.Leave()
	var slot Slot
	if random.IntN(4) == 0 {
		w.Limit(random.IntN(4))
	}
	switch random.IntN(4) {
	case 0:
		return // leaves at once
	case 1:
		for !p.Ready() {
			select {
			case slot = <-w.C:
			default:
				runtime.Gosched()
				continue
			}
			break
		}
		if !slot.Valid() {
			return // leaves at about the time of its turn
		}
	default:
		slot = <-w.C
	}
	if random.IntN(4) == 0 {
		slot.Refused()
		if other, ok := slot.Another(slot.Addr()); ok {
			slot = other
		}
	}
	if random.IntN(4) > 0 {
		slot.Answered()
	}
	slot.Release()
	slot.Answered()
	slot.Release()
}

// check looks at a port between any two events.
func check(t *testing.T, p *Port) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.endpoints() {
		if e.window < 1 || e.unanswered < 0 || e.inFlight.Load() < 0 {
			t.Errorf("%s has %+v and %d in flight", e.address(), e.pacing, e.inFlight.Load())
		}
		if p.line.first != nil && e.room(p.line.first.limit) {
			t.Errorf("somebody waits while %s has %+v", e.address(), e.pacing)
		}
	}
	if waiting := p.line.first != nil && p.Ready(); waiting != (p.timer != nil) {
		t.Errorf("the timer runs: %v, want %v", !waiting, waiting)
	}
}
