// Package stream keeps a streaming client on the line while its backend wakes:
// it knows who asks for a stream and in which dialect, begins the response in
// that dialect, keeps it alive, and splices the real answer into it or ends it
// with an error that the client's SDK understands. It is an encoder: it knows neither
// endpoints, routes nor API types, it does not wait and does not dial.
//
// A dialect is one file and one Dialect value; what every dialect shares is
// here, in stream.go and in splice.go.
package stream

import (
	"bytes"
	"net/http"
	"strings"
	"time"
)

// Dialect is the way one API streams. Dialects are constants of this package.
type Dialect struct {
	name string
	// suffixes of the paths that belong to the API; none for the dialects that
	// are found by other traits.
	suffixes []string
	// ndjson streams JSON lines instead of server-sent events.
	ndjson bool

	// wants is what path and method do not say; nil is true.
	wants func(r *http.Request) bool
	// streaming says whether the body asks for a stream; nil means that the
	// body does not matter.
	streaming func(f *facts) bool
	// speaks is the dialect that requests found by this one are served in; nil
	// is this one itself.
	speaks *Dialect
	// otherwise serves requests whose body does not ask for a stream; nil is a
	// silent hold.
	otherwise *Dialect

	// script renders the events before the real answer of a stream that is opened
	// now. It shows the texts only if visible is set.
	script func(q *Request, t texts, visible bool, now time.Time) script
	// failure is what ends a stream that failed, after sent data events of
	// ours; nil aborts the connection.
	failure func(q *Request, p *problem, sent int, opened time.Time) []byte
	// answer turns a whole JSON answer, given although a stream was asked for,
	// into events. It is false for JSON that is no answer of the API. A nil
	// function knows no such answers.
	answer func(body []byte) ([]byte, bool)
	// dropRole takes the role out of the backend's first delta if a data event of
	// ours had one.
	dropRole bool
	// problem is the API's error as a JSON document.
	problem func(p *problem) []byte
}

// script is all that a stream may say before the real answer, rendered once so
// that a tick costs one write.
type script struct {
	// first goes out with the commit, tick at each interval.
	first, tick []byte
	// data renders the n-th data event of ours (from 0) where ticks are
	// comments, which do not reset the event timers of clients. Nil if ticks
	// are data already, or if there is no harmless event.
	data func(n int) []byte
	// endComments is set if a data event must separate pending comments from a
	// failure or a whole answer: parsers that split on blank lines lose the block
	// that comments with one newline stick to.
	endComments bool
	// separator goes out once before the real answer; nil is none.
	separator []byte
	// sent is the number of data events in first.
	sent int
}

// dialects that are found by their path; the first suffix that fits wins.
var dialects = []*Dialect{
	&openAIChat, &openAICompletions, &openAIResponses, &anthropic, &ollamaChat, &ollamaGenerate, &gemini,
}

// anyPath serves requests to paths of no known API whose body says stream:true.
// The feature was first defined as that.
var anyPath = Dialect{name: "any", streaming: asked, speaks: &openAIChat}

// Object says that only a JSON object can ask for a stream, so that a body which
// is none need not be read.
func (d *Dialect) Object() bool { return d.streaming != nil && d.otherwise == nil }

// WriteError answers with the API's own error, before anything was committed.
// Headers that are set already, Retry-After for one, are kept.
func (d *Dialect) WriteError(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// A client that has left is noticed by the server, not here.
	_, _ = w.Write(d.problem(&problem{status: status, message: message}))
}

// mediaType of the dialect's streams.
func (d *Dialect) mediaType() string {
	if d.ndjson {
		return "application/x-ndjson"
	}
	return eventStream
}

// begins says whether a body begins like a stream of the dialect, and whether b
// is enough to know.
func (d *Dialect) begins(b []byte) (begins, enough bool) {
	starts := []string{"data:", "event:", "id:", "retry:", ":"}
	if d.ndjson {
		starts = []string{"{"}
	}
	enough = true
	for _, start := range starts {
		if bytes.HasPrefix(b, []byte(start)) {
			return true, true
		}
		if strings.HasPrefix(start, string(b[:min(len(b), len(start))])) {
			enough = false
		}
	}
	return false, enough
}
