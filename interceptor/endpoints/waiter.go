package endpoints

import "time"

// Waiter is a held request's place in the line of a port.
type Waiter struct {
	// C delivers exactly one Slot, when it is this request's turn. The receiver
	// must Release it. Cancel closes C.
	C <-chan Slot

	c          chan Slot // C, buffered
	port       *Port
	prev, next *Waiter
	queued     bool // guarded by port.mu, as is limit
	limit      int
}

// Enqueue joins the end of the line. The waiter is released to an endpoint with fewer than limit
// limited requests in flight; 0 means no limit. The caller calls Leave when it no longer waits,
// whether or not it got a Slot.
//
// All waiters of a port stand in one line: a waiter without a limit waits behind those that have
// one.
func (p *Port) Enqueue(limit int) *Waiter {
	c := make(chan Slot, 1)
	w := &Waiter{C: c, c: c, port: p, limit: limit}
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.line.first == nil
	p.line.push(w)
	if limit > 0 {
		p.limited.Add(1)
	}
	if first { // else all endpoints are at their limit already
		p.spread()
	}
	return w
}

// Leave gives up the place in the line, and a Slot that was delivered but not
// received. A Slot that was received stays the receiver's. It is idempotent and
// may come at any time.
func (w *Waiter) Leave() {
	p := w.port
	p.mu.Lock()
	if w.queued {
		w.dequeue()
	}
	p.mu.Unlock()
	select {
	case s, ok := <-w.c: // delivered under the lock, so it is there now or never
		if ok {
			s.Release()
		}
	default:
	}
}

// Cancel ends the wait: it closes C. It has no effect on a Slot that was delivered, nor after
// Leave.
func (w *Waiter) Cancel() {
	p := w.port
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.queued {
		w.dequeue()
		close(w.c)
	}
}

// dequeue takes the waiter out of the line. The caller holds port.mu.
func (w *Waiter) dequeue() {
	p := w.port
	first := p.line.first == w
	p.line.remove(w)
	if w.limit > 0 {
		p.limited.Add(-1)
	}
	if first { // the next one may have another limit
		p.spread()
	} else {
		p.pace()
	}
}

// Limit changes the limit of a waiter; its place stays. It has no effect on a
// Slot that was delivered.
func (w *Waiter) Limit(limit int) {
	p := w.port
	p.mu.Lock()
	defer p.mu.Unlock()
	if !w.queued || w.limit == limit {
		return
	}
	if w.limit == 0 {
		p.limited.Add(1)
	} else if limit == 0 {
		p.limited.Add(-1)
	}
	w.limit = limit
	if p.line.first == w {
		p.spread()
	}
}

// spread releases waiters to all endpoints that have room, one to each in turn,
// so that they share a batch evenly. The caller holds p.mu.
func (p *Port) spread() {
	endpoints := p.endpoints()
	start := int(p.cursor.Add(1) % uint32(max(len(endpoints), 1))) // an int may have 32 bits
	for released := true; released; {
		released = false
		for i := range endpoints {
			e := endpoints[(start+i)%len(endpoints)]
			if p.line.first != nil && e.room(p.line.first.limit) {
				p.release(e)
				released = true
			}
		}
	}
	p.pace()
}

// fill releases waiters to one endpoint that may have got room. The caller holds
// p.mu.
func (p *Port) fill(e *endpoint) {
	for first := p.line.first; first != nil && e.room(first.limit); first = p.line.first {
		p.release(e)
		if next := p.line.first; next != nil && next.limit != first.limit {
			p.spread() // others may have room for this one
			return
		}
	}
	p.pace()
}

// release lets the first waiter go. The caller holds p.mu.
func (p *Port) release(e *endpoint) {
	w := p.line.first
	p.line.remove(w)
	e.unanswered++
	w.c <- e.issue(unanswered, w.limit, true) // has room: it is sent once
}

// answered frees the place of a request in the window, and opens it.
func (p *Port) answered(e *endpoint, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.unanswered--
	e.widen(took)
	p.fill(e)
}

// over frees what a request took until its end.
func (p *Port) over(e *endpoint, unanswered, limited, waited bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if unanswered {
		e.unanswered--
	}
	if limited {
		if e.limited--; e.limited == 0 && e.gone {
			delete(p.away, e.id)
		}
		if waited {
			p.limited.Add(-1)
		}
	}
	p.fill(e)
}

// refused slows an endpoint down, and turns it away from the address that was refused.
func (p *Port) refused(e *endpoint, address string) {
	e.avoid.Store(p.now() + int64(interval))
	p.mu.Lock()
	e.narrow()
	attached := e.turn(address)
	p.mu.Unlock()
	if attached != nil {
		_ = attached.Close() // no one can do anything about it
	}
}

// pace runs the timer while it is of use. The caller holds p.mu.
func (p *Port) pace() {
	switch needed := p.line.first != nil && p.Ready(); {
	case needed && p.timer == nil:
		p.round++
		round := p.round
		p.timer = time.AfterFunc(interval, func() { p.tick(round) })
	case !needed && p.timer != nil:
		p.timer.Stop()
		p.timer = nil
	}
}

// tick ends an interval. It runs on the timer's own goroutine, and may be late:
// then its round is not the current one.
func (p *Port) tick(round uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer == nil || p.round != round {
		return
	}
	p.timer = nil
	for _, e := range p.endpoints() {
		e.pass()
	}
	p.spread()
}

// line is a queue that can be left from anywhere. The links are the waiters' own
// and guarded by the port's lock.
type line struct{ first, last *Waiter }

func (l *line) push(w *Waiter) {
	w.queued, w.prev = true, l.last
	if l.last != nil {
		l.last.next = w
	} else {
		l.first = w
	}
	l.last = w
}

func (l *line) remove(w *Waiter) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		l.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		l.last = w.prev
	}
	w.queued, w.prev, w.next = false, nil, nil
}
