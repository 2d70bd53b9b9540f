package stream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
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
		if line, _, _ := bytes.Cut(p.buf, []byte("\n")); p.stream.request.dialect.ndjson && json.Valid(line) {
			return p.passAll(p.buf) // lines of another API
		}
		return p.instead()
	}
	if !few(p.buf) {
		return p.instead()
	}
	to := events{send: func(b []byte) error {
		if err := p.send(p.stream.afterComments()); err != nil {
			return err
		}
		return p.send(b)
	}}
	if p.answers(p.buf, &to) {
		to.flush()
		return to.err
	}
	return p.elsewhere(&to)
}

// answers sends a document as the events of the API. It reports false if it is not its answer.
func (p *Splicer) answers(document []byte, to *events) bool {
	return p.stream.request.dialect.answer(&p.stream.request, p.stream.sent, document, to)
}

// Servers put an answer where other APIs have it. A place is a path of members in JSON, in which
// [] is the only element of a list.
var (
	// wrappers hold a whole answer.
	wrappers = [...]string{"", "data", "result", "output", "response", "[]"}
	// textPlaces hold the text of an answer, or the list of its parts.
	textPlaces = [...]string{
		"choices.[].message.content", "choices.[].delta.content", "choices.[].text", // OpenAI
		"message.content",                   // Ollama, Cohere
		"response",                          // Ollama, Cloudflare
		"generated_text",                    // TGI, Hugging Face
		"content",                           // Anthropic, llama.cpp
		"candidates.[].content.parts",       // Gemini
		"output.[].content",                 // OpenAI's responses
		"text", "output_text", "completion", // SGLang, DashScope, Anthropic's older API
	}
	// textParts are the types of parts that a text may have; the last two show no text.
	textParts = [...]string{"", "text", "output_text", "thinking", "reasoning"}
)

// elsewhere ends the stream with an answer that stands in another place than that of the API, or
// without one.
func (p *Splicer) elsewhere(to *events) error {
	d := p.stream.request.dialect
	if isError(p.buf) || p.stream.request.open && !ofAPI(p.buf) {
		return p.instead()
	}
	for _, wrapper := range wrappers {
		document, _ := at(p.buf, wrapper)
		switch {
		case len(document) == 0 || !few(document) || isError(document):
			continue
		case wrapper != "" && document[0] == '{' && p.answers(document, to):
			to.flush()
			return to.err
		case d.plain == nil:
			continue
		}
		for _, place := range textPlaces {
			if text := textAt(document, place); text != "" {
				return p.inText([]byte(text))
			}
		}
	}
	return p.instead()
}

// inText ends the stream with a text.
func (p *Splicer) inText(text []byte) error {
	p.filter = p.stream.textFilter()
	return p.passAll(text)
}

// passAll copies all of an answer, in pieces: a filter may make much more of each. The memory is
// reserved until the last one is sent.
func (p *Splicer) passAll(answer []byte) error {
	reserved := p.reserved
	defer p.memory.Release(reserved)
	p.reserved = 0
	if err := p.pass(nil); err != nil {
		return err
	}
	for part := range slices.Chunk(answer, piece) {
		if err := p.copy(part); err != nil {
			return err
		}
	}
	return p.endCopy(nil)
}

// at returns the value at a place, and the one that holds it; nil means not found.
func at(value []byte, place string) (found, in []byte) {
	if place == "" {
		return value, nil
	}
	for name := range strings.SplitSeq(place, ".") {
		in = value
		if name != "[]" {
			value = valueOf(value, name)
		} else if first, only := firstElement(value); only {
			value = first
		} else {
			return nil, nil
		}
	}
	return value, in
}

// textAt returns the text at a place. It is empty if there is more to the answer than its text.
func textAt(document []byte, place string) string {
	value, in := at(document, place)
	if len(value) == 0 || isSet(valueOf(in, "tool_calls")) {
		return ""
	}
	if value[0] == '"' {
		return textOf(value)
	}
	var all strings.Builder
	foreign := false
	elements(value, func(start, end int) {
		part := value[start:end]
		if kind := valueOf(part, "type"); kind != nil && !slices.Contains(textParts[:], text(kind)) {
			foreign = true
		}
		all.WriteString(textOf(valueOf(part, "text")))
	})
	if foreign {
		return ""
	}
	return all.String()
}

// textOf returns the text of a JSON string; it is empty for anything else.
func textOf(value []byte) string {
	var s string
	if !isText(value) || json.Unmarshal(value, &s) != nil {
		return ""
	}
	return s
}
