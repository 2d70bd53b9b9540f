package stream

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// What is here serves answers that must be had whole before anything goes out:
// those that become events, and those that become a failure.

const (
	// maxAnswer bounds a JSON answer that is turned into events.
	maxAnswer = 16 << 20
	// maxFailure bounds what is read of an answer that becomes a failure, failurePatience how
	// long its body may take.
	maxFailure      = 64 << 10
	failurePatience = 5 * time.Second
)

// errEnough stops a backend whose answer is longer than anybody will read.
var errEnough = errors.New("answer is too long to be spliced")

// Memory bounds what all streams hold back at a time. It is safe for concurrent
// use.
type Memory interface {
	// Reserve takes n bytes, if there are as many.
	Reserve(n int) bool
	// Release gives n bytes back.
	Release(n int)
}

// collect keeps a piece up to the bound.
func (p *Splicer) collect(b []byte) error {
	bound := maxFailure
	if p.mode == converting {
		bound = maxAnswer
	}
	room := bound - len(p.buf)
	if p.mode == converting && !p.reserve(min(bound, len(p.buf)+len(b))) {
		p.noMemory = true
		room = 0
	}
	p.buf = append(p.buf, b[:min(room, len(b))]...)
	if len(b) > room {
		p.tooLong = true
		return errEnough
	}
	return nil
}

// reserve takes the memory for a body of that size, and for the events that it becomes.
func (p *Splicer) reserve(size int) bool {
	factor := 1 + max(1, p.stream.request.dialect.grows)
	if factor*size <= p.reserved {
		return true
	}
	next := min(max(factor*size, 2*p.reserved), factor*maxAnswer)
	if !p.memory.Reserve(next - p.reserved) {
		return false
	}
	p.reserved = next
	return true
}

// release gives the memory back.
func (p *Splicer) release() {
	p.memory.Release(p.reserved)
	p.buf, p.reserved = nil, 0
}

// convert ends a stream with an answer that was given as JSON.
func (p *Splicer) convert(err error) error {
	if p.tooLong {
		p.lost = true
		p.failure = problem{status: http.StatusBadGateway, message: "the backend's answer is too large"}
		if p.noMemory {
			p.failure = problem{status: http.StatusServiceUnavailable, message: "too many answers are held back at a time"}
		}
		return p.unanswered()
	}
	if err != nil {
		return p.unanswered()
	}
	if !json.Valid(p.buf) {
		return p.refuse()
	}
	events, ok := p.stream.request.dialect.answer(&p.stream.request, p.stream.sent, p.buf)
	if !ok {
		return p.refuse()
	}
	if lead := p.stream.afterComments(); lead != nil {
		events = append(lead[:len(lead):len(lead)], events...)
	}
	return p.send(events)
}
