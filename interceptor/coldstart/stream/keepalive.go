package stream

import (
	"sync"
	"time"
)

// keepalives go out while a backend works on its answer. The zero value sends none.
type keepalives struct {
	mu    sync.Mutex
	timer *time.Timer // nil: none are due
	err   error       // the client's connection failed
}

// KeepAlive continues keepalives, from separate goroutines, until the answer begins. The head of
// an answer, the first event behind it, or the end of a JSON answer may take long. A client that
// hears nothing hangs up. KeepAlive is called at most once.
func (p *Splicer) KeepAlive() {
	k := &p.alive
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer = time.AfterFunc(p.stream.Interval(), p.keepAlive)
}

// keepAlive sends one keepalive.
func (p *Splicer) keepAlive() {
	k := &p.alive
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timer == nil {
		return // the answer has begun
	}
	if k.err = p.stream.Tick(); k.err == nil {
		k.timer.Reset(p.stream.Interval())
	} else if p.GiveUp != nil {
		p.GiveUp()
	}
}

// begin ends the keepalives: from here on the goroutine of the handler owns the stream. It may
// be called again.
func (p *Splicer) begin() {
	k := &p.alive
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timer == nil {
		return
	}
	k.timer.Stop()
	k.timer = nil
	if p.err == nil {
		p.err = k.err
	}
	p.stream.client.lift()
}
