package stream

import (
	"maps"
	"slices"
)

const (
	// piece is about how many bytes of a converted answer go out at a time.
	piece = 32 << 10
	// maxItems is how many parts of an answer become separate events. No real answer has as many,
	// and each costs a thousand times the three bytes that it may have.
	maxItems = 10_000
)

// events are what a whole answer becomes. They go out as they are made, so that only the
// longest of them is in memory.
type events struct {
	out  []byte // what did not go out
	send func(b []byte) error
	err  error // of send
}

// add adds an event, with a type line if kind is not empty.
func (e *events) add(kind string, object raw) {
	e.begin(kind)
	e.out = object.appendTo(e.out)
	e.end()
}

// whole adds a document as an event.
func (e *events) whole(document []byte) {
	e.begin("")
	e.out = appendObject(e.out, document, appendSet)
	e.end()
}

// appendSet appends a member, except an error that says nothing. To some clients, {} is one.
func appendSet(to []byte, f field) []byte {
	if f.key == "error" && !isSet(f.value) {
		return to
	}
	return appendCompact(to, f.text)
}

// rewrite adds an answer of the API as it would be if it were not held, and what ends the stream.
// It reports false if that is impossible. Then no event is out.
func (e *events) rewrite(begin func() *pieces, answer []byte) bool {
	check, p := begin(), begin()
	silent := !isError(answer)
	for _, p := range []*pieces{check, p} {
		p.found = true // the caller knows
		edit := p.edit
		p.edit = func(p *pieces, key string, first byte) rewrite {
			if silent && key == "error" && len(p.at) == 1 {
				return rewrite{drop: true} // see appendSet
			}
			return edit(p, key, first)
		}
	}
	for part := range slices.Chunk(answer, piece) {
		check.write(part)
	}
	if !check.complete() {
		return false
	}
	e.begin("")
	for part := range slices.Chunk(answer, piece) {
		e.text(string(p.write(part)))
	}
	e.end()
	e.text(p.end)
	return true
}

// begin begins an event, whose document the caller appends to out.
func (e *events) begin(kind string) {
	if kind != "" {
		e.out = append(append(append(e.out, "event: "...), kind...), '\n')
	}
	e.out = append(e.out, "data: "...)
}

// end ends an event.
func (e *events) end() { e.text("\n\n") }

// text adds text as it is.
func (e *events) text(s string) {
	e.out = append(e.out, s...)
	if len(e.out) >= piece {
		e.flush()
	}
}

// flush sends what there is.
func (e *events) flush() {
	if e.err == nil && len(e.out) > 0 {
		e.err = e.send(e.out)
	}
	e.out = e.out[:0]
	if cap(e.out) > 2*piece {
		e.out = nil // what comes is shorter
	}
}

// value is JSON, edited as it is written, or an object. Neither stands for null.
type value struct {
	json   []byte
	edit   edit
	object raw
}

// str is a text as a value.
func str(s string) value { return value{json: quote(s)} }

// raw is a JSON object.
type raw map[string]value

// with returns the object with one more member.
func (r raw) with(key string, v value) raw {
	more := maps.Clone(r)
	more[key] = v
	return more
}

// appendTo appends the object.
func (r raw) appendTo(to []byte) []byte {
	to = append(to, '{')
	for i, key := range slices.Sorted(maps.Keys(r)) {
		if i > 0 {
			to = append(to, ',')
		}
		to = appendKey(to, key)
		switch v := r[key]; {
		case v.object != nil:
			to = v.object.appendTo(to)
		case v.json == nil:
			to = append(to, "null"...)
		case v.edit != nil:
			to = appendObject(to, v.json, v.edit)
		default:
			to = appendCompact(to, v.json)
		}
	}
	return append(to, '}')
}
