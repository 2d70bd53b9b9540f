// Package stream keeps a streaming client on the line while its backend wakes. It recognizes
// clients that ask for a stream, and their dialect. It begins the response in that dialect and
// keeps it alive. Then it splices the real answer into it, or ends it with an error that the
// client's SDK understands. It is an encoder: it knows neither endpoints, routes nor API types,
// it does not wait and does not dial.
//
// A table maps requests to dialects (table.go). A dialect is one file and one Dialect value. The
// code that all dialects share is here, in stream.go and in splice.go.
package stream

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
)

// Dialect is the way one API streams. Dialects are constants of this package.
type Dialect struct {
	name string
	// ndjson streams JSON lines instead of server-sent events.
	ndjson bool

	// script renders the events before the real answer of a stream that is opened
	// now. It shows the texts only if visible is set.
	script func(q *Request, t texts, visible bool, now time.Time) script
	// failure ends a stream that failed, after the interceptor sent this many data events. It
	// returns nil for a client that needs no event.
	failure func(q *Request, p *problem, sent int, opened time.Time) []byte
	// cutsFailures aborts the connection behind a failure event: clients of the API
	// take a clean end for a complete answer.
	cutsFailures bool
	// answer turns a whole JSON answer to a request for a stream into events, after the
	// interceptor sent this many data events. For JSON that is not an answer of the API, it
	// reports false before any event is out. Nil means that any JSON is an event of the dialect.
	answer func(q *Request, sent int, body []byte, to *events) bool
	// pieces does what answer does while an answer arrives that is too large to be held; nil
	// if that needs all of it.
	pieces func() *pieces
	// chunk reports whether a JSON value is one of the API's events; nil if none is looked for.
	chunk func(value []byte) bool
	// plain shows a text in the API's events; nil if it has no simple way.
	plain func(q *Request, now time.Time) plain
	// dropRole removes the role from the backend's first delta if a data event of the interceptor
	// had one.
	dropRole bool
}

// script is all that a stream may say before the real answer, rendered once so
// that a tick costs one write.
type script struct {
	// first goes out with the commit, tick at each interval.
	first, tick []byte
	// data renders the n-th data event of the interceptor (from 0) where ticks are comments,
	// which do not reset the event timers of clients. Nil if ticks are data already, or if there
	// is no harmless event.
	data func(n int) []byte
	// endComments is set if a data event must separate pending comments from a failure or a whole
	// answer. Parsers that split on blank lines lose the block that comments with one newline
	// stick to.
	endComments bool
	// separator goes out once before the real answer; nil means no separator.
	separator []byte
	// sent is the number of data events in first.
	sent int
}

// mediaType of the dialect's streams.
func (d *Dialect) mediaType() string {
	if d.ndjson {
		return "application/x-ndjson"
	}
	return eventStream
}

// form is what a body looks like by its beginning.
type form uint8

const (
	unclear form = iota // there is too little of it
	streamed
	document // JSON, as a whole
	values   // JSON values in a row, each of which can be an event
	readable // text that is not a stream
	neither
)

// maxLine is how much of a body is looked at to recognize it: Ollama's lines may hold the
// whole call of a tool.
const maxLine = 256 << 10

// blanks is the white space of JSON, which may precede any answer.
const blanks = " \t\r\n"

// byteOrderMark may precede any text, and belongs to no answer.
var byteOrderMark = []byte("\ufeff")

// formOf recognizes a body by its beginning, whatever its Content-Type says. all means that b is
// the whole body. It looks at most at maxLine bytes.
func (d *Dialect) formOf(b []byte, all bool) form {
	all = all || len(b) >= maxLine
	window := b[:min(len(b), maxLine)]
	text := bytes.TrimLeft(window, blanks)
	for _, start := range []string{"data:", "event:", "id:", "retry:", ":"} {
		if bytes.HasPrefix(text, []byte(start)) {
			return streamed
		}
		if !all && strings.HasPrefix(start, string(text[:min(len(text), len(start))])) {
			return unclear
		}
	}
	switch {
	case len(text) == 0 || text[0] != '{' && text[0] != '[':
		return neither
	case !d.ndjson:
		return document
	}
	// A line of a stream, or a whole answer, which may have many lines.
	line, rest, ended := bytes.Cut(text, []byte("\n"))
	switch {
	case !ended && !all:
		return unclear
	case !json.Valid(line) || wholeOllama(line):
		return document
	case ofOllama(line) || len(bytes.TrimLeft(rest, blanks)) > 0:
		return streamed
	case !all:
		return unclear // whether it is a whole answer of another API
	}
	return document
}
