package stream

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// This file serves a 2xx answer that is neither the stream of the dialect's API nor its whole
// JSON. It can be read all the same: JSON values in a row, text, or nothing (ADR 25).

const (
	// maxFirst is how much of an answer is looked at to tell JSON from text that begins alike.
	maxFirst = 16 << 10
	// sample is how much of an answer without a text type is examined, fewBytes how much of one
	// without any type.
	sample   = 512
	fewBytes = 16
	// maxPassage is about how much text goes into one event.
	maxPassage = 4 << 10
)

// plain is how a dialect shows a text that is not its API's.
type plain struct {
	// delta renders a piece of the text, a JSON string.
	delta func(text []byte) []byte
	// end completes the answer.
	end []byte
}

// otherForm returns the form of an answer that formOf takes for a document or for neither form.
func (p *Splicer) otherForm(found form, held []byte, all bool) form {
	q := &p.stream.request
	media := mediaOf(p.header)
	body := bytes.TrimLeft(held, separators)
	most := maxLine
	if q.dialect == &eventSource {
		most = maxFirst
	}
	line, complete := firstLine(body, most, all)
	guessed := q.open || q.dialect == &eventSource
	if found == neither {
		isText, known := textual(media, body, all)
		switch page := bytes.HasPrefix(body, []byte("<")); {
		case page && !guessed:
			return neither
		case !known:
			return unclear
		case !isText:
			return neither
		case p.labeled() && !page:
			return streamed // a field that is unknown, or has no colon, is valid in an event stream
		}
	}
	switch {
	case q.dialect == &eventSource && (found == document || strings.Contains(media, "json")):
		return valuesOr(line, complete, found == document && !strings.HasPrefix(media, "text/"))
	case q.dialect == &eventSource:
		return readable
	case q.dialect.plain == nil:
		return found
	case found == neither:
		return readable
	case q.dialect.chunk == nil:
		return found
	case !complete:
		return unclear
	case len(line) < len(body) && json.Valid(line) && q.dialect.chunk(line):
		return values
	case q.open && (beginsAs(line) == noJSON || json.Valid(line) && !ofAPI(line)):
		return readable
	}
	return found
}

// valuesOr returns values if the first line is JSON, or begins a document of many lines, else
// readable. early means that the first value decides, whatever follows it on its line.
func valuesOr(line []byte, complete, early bool) form {
	switch state := beginsAs(line); {
	case !complete && (state == partOfJSON || !early && state != noJSON):
		return unclear
	case state == noJSON, !early && state == wholeJSON && !json.Valid(line):
		return readable
	}
	return values
}

// ofAPI reports whether a JSON object looks like a whole answer, or an error.
func ofAPI(document []byte) bool {
	return valueOf(document, "choices") != nil || isError(document)
}

// isError reports whether a JSON object is an error.
func isError(document []byte) bool {
	failed := valueOf(document, "error")
	return failed != nil && isSet(failed)
}

// separators stand between values: white space, and the record separator of JSON text
// sequences (RFC 7464).
const separators = " \t\r\n\x1e"

// firstLine returns the first line of a body without its end, up to a maximum. It also reports
// whether that is all of the line that will be examined.
func firstLine(body []byte, most int, all bool) ([]byte, bool) {
	all = all || len(body) >= most
	body = body[:min(len(body), most)]
	if end := bytes.IndexAny(body, "\r\n"); end >= 0 {
		return body[:end], true
	}
	return body, all
}

// beginning is what JSON a text begins with.
type beginning uint8

const (
	noJSON beginning = iota
	partOfJSON
	wholeJSON
)

func beginsAs(text []byte) beginning {
	var value json.RawMessage
	switch err := json.NewDecoder(bytes.NewReader(text)).Decode(&value); {
	case err == nil:
		return wholeJSON
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return partOfJSON
	}
	return noJSON
}

// mediaOf is a media type in lower case, without its parameters.
func mediaOf(header http.Header) string {
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return media
}

// textMedia are parts of media types whose content is text.
var textMedia = []string{"text/", "json", "xml", "yaml", "javascript", "urlencoded", "graphql"}

// textual reports whether a body is text, by its beginning. It reports false for known while
// there is too little of it. That depends on the length alone, so the pieces in which a body
// comes do not matter.
func textual(media string, body []byte, all bool) (isText, known bool) {
	enough := sample
	switch {
	case slices.ContainsFunc(textMedia, func(part string) bool { return strings.Contains(media, part) }):
		enough = 1
	case media == "":
		enough = fewBytes
	}
	if len(body) < enough && !all {
		return false, false
	}
	body = body[:min(len(body), enough)]
	if enough == sample && !strings.HasPrefix(http.DetectContentType(body), "text/") {
		return false, true
	}
	for len(body) > 0 {
		r, size := utf8.DecodeRune(body)
		switch {
		case r == utf8.RuneError && size == 1 && utf8.FullRune(body):
			return false, true
		case r < ' ' && strings.IndexByte("\t\n\f\r\x1b\x1e", body[0]) < 0:
			return false, true
		}
		body = body[size:]
	}
	return true, true
}

// valueFilter makes an event of each of the values of an answer.
func (s *Stream) valueFilter() filter {
	if s.request.dialect == &eventSource {
		return &valueEvents{}
	}
	list := &valueEvents{end: done}
	if s.request.dialect.dropRole && s.sent > 0 {
		return chain{list, &roleFilter{}}
	}
	return list
}

// textFilter shows a text in the way of the dialect.
func (s *Stream) textFilter() filter {
	if s.request.dialect == &eventSource {
		return &textEvent{}
	}
	return &deltas{lead: s.afterComments(), plain: s.plain()}
}

// plain returns how the stream shows a text.
func (s *Stream) plain() plain { return s.request.dialect.plain(&s.request, time.Now()) }

// mayBeEmpty reports whether an answer without a body is one. Where the API is known, the end of
// its stream would look like an empty answer to its clients.
func (p *Splicer) mayBeEmpty() bool {
	switch p.status {
	case http.StatusAccepted, http.StatusNoContent, http.StatusResetContent:
		return true
	}
	return p.stream.request.open && !p.labeled() || p.stream.request.dialect == &eventSource
}

// endEmpty ends the stream for such an answer.
func (p *Splicer) endEmpty() error {
	if p.stream.request.dialect.plain == nil {
		return nil
	}
	return p.send(append(slices.Clip(p.stream.afterComments()), p.stream.plain().end...))
}

// instead ends the stream of an answer that is not JSON of the API. It sends the answer as text
// where the API is only guessed, else a failure.
func (p *Splicer) instead() error {
	if !p.stream.request.open || json.Valid(p.buf) && isError(p.buf) {
		return p.refuse()
	}
	return p.inText(p.buf)
}

// chain is two filters in a row.
type chain struct{ first, second filter }

func (c chain) next(b []byte) []byte { return c.second.next(c.first.next(b)) }
func (c chain) rest() []byte         { return append(c.second.next(c.first.rest()), c.second.rest()...) }

// valueEvents makes each JSON value an event as it passes. JSON has line ends only between its
// tokens, which are left out. In other text, each line is an event.
type valueEvents struct {
	end string // follows the last event

	begun, bare bool // bare is a value that ends with its line
	depth       int
	quoted      bool
	escaped     bool
}

func (e *valueEvents) next(b []byte) []byte {
	out := make([]byte, 0, len(b)+len("data: "))
	for _, c := range b {
		if !e.begun {
			if strings.IndexByte(separators, c) >= 0 {
				continue
			}
			out = append(out, "data: "...)
			e.begun, e.bare = true, c != '{' && c != '[' && c != '"'
		}
		if c == '\r' || c == '\n' {
			if e.bare {
				out = e.finish(out)
			}
			continue
		}
		if out = append(out, c); !e.bare && e.ends(c) {
			out = e.finish(out)
		}
	}
	return out
}

// ends reports whether a byte ends the value that it belongs to.
func (e *valueEvents) ends(c byte) bool {
	switch {
	case e.escaped:
		e.escaped = false
		return false
	case e.quoted:
		e.escaped = c == '\\'
		e.quoted = c != '"'
		return c == '"' && e.depth == 0
	}
	switch c {
	case '"':
		e.quoted = true
	case '{', '[':
		e.depth++
	case '}', ']':
		e.depth--
		return e.depth <= 0
	}
	return false
}

// finish ends an event.
func (e *valueEvents) finish(out []byte) []byte {
	*e = valueEvents{end: e.end}
	return append(out, "\n\n"...)
}

func (e *valueEvents) rest() []byte {
	var out []byte
	if e.begun {
		out = e.finish(out)
	}
	return append(out, e.end...)
}

// textEvent makes a text one event as it passes, each of its lines a line of data.
type textEvent struct {
	begun    bool // a line
	returned bool // the byte before was CR
}

func (e *textEvent) next(b []byte) []byte {
	out := make([]byte, 0, len(b)+len("data: "))
	for _, c := range b {
		if c == '\n' && e.returned {
			e.returned = false // both end one line
			continue
		}
		e.returned = c == '\r'
		if !e.begun {
			out = append(out, "data: "...)
		}
		if e.begun = c != '\r' && c != '\n'; e.begun {
			out = append(out, c)
		} else {
			out = append(out, '\n')
		}
	}
	return out
}

func (e *textEvent) rest() []byte {
	if e.begun {
		return []byte("\n\n")
	}
	return []byte("\n")
}

// deltas makes the pieces of a text deltas of an answer.
type deltas struct {
	lead []byte // goes out before the first one
	plain
	cut []byte // the beginning of a character
}

func (d *deltas) next(b []byte) []byte {
	text := slices.Concat(d.cut, b)
	end := len(text)
	for i := max(0, end-utf8.UTFMax+1); i < end; i++ {
		if !utf8.FullRune(text[i:]) {
			end = i
		}
	}
	d.cut = text[end:]
	return d.show(text[:end])
}

func (d *deltas) show(text []byte) []byte {
	var out []byte
	for len(text) > 0 {
		end := min(maxPassage, len(text))
		for end < len(text) && end > maxPassage-utf8.UTFMax && !utf8.RuneStart(text[end]) {
			end--
		}
		out = append(append(out, d.lead...), d.delta(quote(string(text[:end])))...)
		d.lead, text = nil, text[end:]
	}
	return out
}

func (d *deltas) rest() []byte { return append(d.show(d.cut), d.end...) }
