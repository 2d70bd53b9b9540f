package stream

import (
	"errors"
	"fmt"
	"net/http"
)

// A whole answer may become one event, or a list one event per element. Such an answer need not
// be held: if it finds no room, it is rewritten as it arrives. An error in it then cuts the
// stream, because the event has begun.

// errPieces is an answer that turns out not to be the API's after its event has begun.
var errPieces = errors.New("the answer is not JSON of the API")

// pieces rewrites a JSON document without white space, piece by piece, and looks no further
// than its next value.
type pieces struct {
	// edit decides about the value that begins with first, under key if it is a member. It sets
	// found once the document is known to be an answer of the API, and failed if it is not.
	edit          func(p *pieces, key string, first byte) rewrite
	found, failed bool
	// lists makes each element of a list an event. Else a list is one.
	lists bool
	// end follows the document.
	end string

	scanner
	muted int    // 1 + len(at) of the skipped value; 0 means none
	after string // of the text that is being passed
	out   []byte
}

// rewrite is what becomes of a value.
type rewrite struct {
	drop    bool
	name    string // in place of the key
	replace string // in place of the value
	inject  string // the first member of an object
	after   string // what follows a text
}

// write takes a piece and returns what becomes of it, until the next call.
func (p *pieces) write(b []byte) []byte {
	p.out = p.out[:0]
	for i := 0; i < len(b) && !p.broken(); i++ {
		p.next(b[i])
	}
	return p.out
}

// broken reports whether the document is not JSON, or not an answer of the API.
func (p *pieces) broken() bool { return p.failed || p.phase == malformed }

// complete reports whether the document has ended. A number at the top level never does.
func (p *pieces) complete() bool { return !p.broken() && p.phase == afterValue && len(p.at) == 0 }

// next takes a byte.
func (p *pieces) next(c byte) {
	switch p.scanner.next(c) {
	case begins:
		p.begin(c)
	case within:
		p.emit(c)
	case ends:
		if p.muted == len(p.at)+2 { // a scalar, which ends with its container
			p.muted = 0
		}
		if !p.lists || len(p.at) > 0 || c != ']' {
			p.emit(c)
		}
		if p.muted == len(p.at)+1 {
			p.muted = 0
		}
		p.out, p.after = append(p.out, p.after...), ""
	case between:
		if c == ',' && p.muted == len(p.at)+1 {
			p.muted = 0
		}
	case ofKey:
	}
}

// begin begins a value.
func (p *pieces) begin(c byte) {
	in := p.in()
	var e rewrite
	if p.muted == 0 {
		key := ""
		if in != nil && !in.list {
			key = string(unescaped(p.key))
		}
		if e = p.edit(p, key, c); !e.drop {
			p.lead(in, e)
		}
		if e.drop || e.replace != "" {
			p.muted = len(p.at) + 1
		}
	}
	events := p.lists && in == nil && c == '['
	if !events {
		p.emit(c)
	}
	p.after = e.after
	p.enter(c)
	if events {
		p.in().events = true
	}
	if c == '{' && e.inject != "" {
		p.out = append(p.out, e.inject...)
		p.in().wrote = 1
	}
}

// lead writes what stands before a value: the comma, the key, or all that is in its place.
func (p *pieces) lead(in *level, e rewrite) {
	if in != nil {
		switch {
		case in.wrote == 0:
		case in.events:
			p.out = append(p.out, "\n\ndata: "...)
		default:
			p.out = append(p.out, ',')
		}
		in.wrote++
		if !in.list && e.name != "" {
			p.out = append(append(p.out, e.name...), ':')
		} else if !in.list {
			p.out = append(append(p.out, p.key...), ':')
		}
	}
	p.out = append(p.out, e.replace...)
}

func (p *pieces) emit(c byte) {
	if p.muted == 0 {
		p.out = append(p.out, c)
	}
}

// inPieces goes on with an answer that is too long to be held, if it can be rewritten as it
// arrives. It reports whether it can.
func (p *Splicer) inPieces(b []byte) (bool, error) {
	begin := p.stream.request.dialect.pieces
	if begin == nil {
		return false, nil
	}
	rewritten := begin()
	event := append([]byte("data: "), rewritten.write(p.buf)...)
	if !rewritten.found || rewritten.broken() {
		return false, nil
	}
	p.begin()
	p.release()
	p.mode, p.pieces = piecing, rewritten
	lead := p.stream.afterComments()
	if err := p.send(append(lead[:len(lead):len(lead)], event...)); err != nil {
		return true, err
	}
	return true, p.piece(b)
}

// piece passes a piece of an answer on.
func (p *Splicer) piece(b []byte) error {
	out := p.pieces.write(b)
	if p.pieces.broken() {
		return errPieces
	}
	return p.send(out)
}

// endPieces ends an answer that was rewritten as it arrived.
func (p *Splicer) endPieces(err error) error {
	if err == nil && !p.pieces.complete() {
		err = errPieces
	}
	if err != nil {
		return fmt.Errorf("%w: answer was cut: %w", http.ErrAbortHandler, err)
	}
	return p.send([]byte("\n\n" + p.pieces.end))
}

// geminiPieces is geminiAnswer for an answer that is not held.
func geminiPieces() *pieces {
	return &pieces{lists: true, edit: func(p *pieces, key string, first byte) rewrite {
		switch depth := len(p.at); {
		case depth == 0:
			p.failed = first != '{' && first != '['
		case depth == 1 && p.at[0].list:
			return rewrite{drop: first != '{'}
		case depth == 1, depth == 2 && p.at[0].list:
			p.found = p.found || key == "candidates" && first == '['
			p.failed = p.failed || key == "error" && first != 'n'
			return rewrite{drop: key == "error"}
		}
		return rewrite{}
	}}
}
