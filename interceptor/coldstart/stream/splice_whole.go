package stream

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// This file serves answers that must be complete before any part goes out:
// those that become events, and those that become a failure.

const (
	// maxAnswer bounds a JSON answer that is turned into events.
	maxAnswer = 16 << 20
	// converted is how much memory such an answer takes, in lengths of itself: a buffer that
	// has grown, and its longest event.
	converted = 3
	// maxFailure bounds how much of an answer that becomes a failure is read, failurePatience how
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
	bound, factor := maxFailure, 1
	if p.mode == converting {
		bound, factor = maxAnswer, converted
	}
	room := bound - len(p.buf)
	if !p.reserve(factor*min(bound, len(p.buf)+len(b)), factor*bound) {
		p.noMemory = true
		room = 0
	}
	if p.mode == converting && (p.noMemory || len(b) > room) {
		if can, err := p.inPieces(b); can {
			return err
		}
	}
	p.buf = append(p.buf, b[:min(room, len(b))]...)
	if p.noMemory || len(b) > room {
		p.tooLong = true
		return errEnough
	}
	return nil
}

// reserve takes memory, n bytes in all. It takes more than that while there is much, up to
// most.
func (p *Splicer) reserve(n, most int) bool {
	if n <= p.reserved {
		return true
	}
	for _, next := range [...]int{min(max(n, 2*p.reserved), most), n} {
		if p.memory.Reserve(next - p.reserved) {
			p.reserved = next
			return true
		}
	}
	return false
}

// release gives the memory back.
func (p *Splicer) release() {
	p.memory.Release(p.reserved)
	p.buf, p.reserved = nil, 0
}

// convert ends a stream with an answer that was given as JSON.
func (p *Splicer) convert(err error) error {
	if p.tooLong {
		p.lost = fmt.Sprintf("JSON of more than %d MiB", maxAnswer>>20)
		p.failure = problem{status: http.StatusBadGateway, message: "the backend's answer is too large"}
		if p.noMemory {
			p.lost = "no memory to turn JSON into events"
			p.failure = problem{status: http.StatusServiceUnavailable, message: "too many answers are held back at a time"}
		}
		return p.unanswered()
	}
	if err != nil {
		return p.unanswered()
	}
	if !json.Valid(p.buf) {
		return p.instead()
	}
	to := events{send: func(b []byte) error {
		if err := p.send(p.stream.afterComments()); err != nil {
			return err
		}
		return p.send(b)
	}}
	if !p.stream.request.dialect.answer(&p.stream.request, p.stream.sent, p.buf, &to) {
		return p.instead()
	}
	to.flush()
	return to.err
}
