package endpoints

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
)

// model is the obvious description of paced release: it is told what happened
// and says whether what it sees was allowed.
type model struct {
	t       *testing.T
	store   *Store
	port    *Port
	line    []*Waiter        // in order
	slots   []Slot           // received, not released
	pending map[Slot]bool    // of slots: released from the line, not answered
	pace    map[string]*pace // of the ready addresses
}

type pace struct {
	window, unanswered int
	refused, silent    bool
}

// settle receives what was released, and checks order, windows, and that nobody
// waits who need not.
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
			if p.silent || p.unanswered >= p.window {
				m.t.Fatalf("released to %s with %+v", s.Addr(), *p)
			}
			p.unanswered++
			m.pending[s] = true
			m.slots = append(m.slots, s)
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
		if len(m.line) > 0 && !p.silent && p.unanswered < p.window {
			m.t.Fatalf("%d wait while %s has %+v", len(m.line), address, *p)
		}
	}
	check(m.t, m.port)
}

// take removes a slot and says what the model knows of its endpoint, which is
// nil if it is not ready any more.
func (m *model) take(i int, remove bool) (Slot, *pace) {
	s := m.slots[i]
	if remove {
		m.slots = append(m.slots[:i:i], m.slots[i+1:]...)
	}
	p := m.pace[s.Addr()]
	if s.endpoint.gone {
		p = nil // its former self
	}
	return s, p
}

// step does one thing that the byte picks.
func (m *model) step(op, arg byte) {
	switch op % 8 {
	case 0, 1:
		for range int(arg)%60 + 1 {
			m.line = append(m.line, m.port.Enqueue())
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
			if m.pending[s] && p != nil {
				p.unanswered--
				p.window++
				p.silent = false
			}
			delete(m.pending, s)
			s.Answered()
		}
	case 5:
		if len(m.slots) > 0 {
			s, p := m.take(int(arg)%len(m.slots), false)
			if p != nil {
				p.window = max(p.window/2, 1)
				p.refused, p.silent = true, true
			}
			s.Refused()
		}
	case 6:
		if len(m.slots) > 0 {
			s, p := m.take(int(arg)%len(m.slots), true)
			if m.pending[s] && p != nil {
				p.unanswered--
			}
			delete(m.pending, s)
			s.Release()
			s.Release()
		}
	case 7:
		if arg%2 == 0 {
			m.tick()
			return
		}
		m.update(arg >> 1)
	}
}

// tick lets an interval pass. Everything happens at multiples of it.
func (m *model) tick() {
	if len(m.line) > 0 { // without an endpoint the loop does nothing
		for _, p := range m.pace {
			if !p.refused {
				p.window *= 2
			}
			p.refused, p.silent = false, false
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
		if pacing[address] = m.pace[address]; pacing[address] == nil {
			pacing[address] = &pace{window: startWindow}
		}
	}
	m.pace = pacing
	set(m.store, ready...)
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
			m := &model{t: t, store: s, port: s.Port(web()), pending: map[Slot]bool{}, pace: map[string]*pace{}}
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
		if e.inFlight.Load() != 0 || e.unanswered != 0 {
			t.Errorf("%d in flight, %d unanswered at the end", e.inFlight.Load(), e.unanswered)
		}
	}
}

// client is one request. It gives up only by its own choice: a waiter that is
// never served blocks the test.
func client(p *Port, random *rand.Rand) {
	if slot, ok := p.Pick(); ok && random.IntN(4) == 0 {
		defer slot.Release()
	} else {
		slot.Release()
	}
	ready, stop := p.WhenReady()
	defer stop()
	w := p.Enqueue()
	defer w.Leave()
	var slot Slot
	switch random.IntN(4) {
	case 0:
		return // leaves at once
	case 1:
		select {
		case slot = <-w.C:
		case <-ready:
			return // leaves at about the time of its turn
		}
	default:
		slot = <-w.C
	}
	if random.IntN(4) == 0 {
		slot.Refused()
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
			t.Errorf("%s has %+v and %d in flight", e.address, e.pacing, e.inFlight.Load())
		}
		if p.line.first != nil && e.room() {
			t.Errorf("somebody waits while %s has %+v", e.address, e.pacing)
		}
	}
	if waiting := p.line.first != nil && p.Ready(); waiting != (p.timer != nil) {
		t.Errorf("the timer runs: %v, want %v", !waiting, waiting)
	}
}
