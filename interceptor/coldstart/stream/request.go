package stream

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// maxModel bounds the model name that is repeated to the client; a longer one
// is left out.
const maxModel = 256

// Request is what a streaming request says about how its client waits. It keeps
// a few small facts and nothing of the body.
type Request struct {
	dialect    *Dialect
	model      string
	harmless   bool // waiting text can do no harm
	background bool // openai-responses: the client will poll
	dataOnly   bool // the client takes no comments
	http1      bool // the protocol of its connection
}

// Parse reads the facts out of a request's whole body. It is false when the
// client did not ask for a stream, or the body is not the JSON that the API
// takes: such a request is held silently and its backend says what is wrong.
// The body is neither kept nor changed.
func (d *Dialect) Parse(r *http.Request, body []byte) (Request, bool) {
	http1 := r.ProtoMajor == 1
	if d.streaming == nil {
		return Request{dialect: d, http1: http1}, true
	}
	f, ok := parseFacts(body)
	if ok && d.streaming(&f) {
		speaks := d
		if d.speaks != nil {
			speaks = d.speaks
		}
		return Request{
			dialect: speaks, model: f.model, harmless: f.restricted == 0, background: f.background, dataOnly: losesErrors(r), http1: http1,
		}, true
	}
	if d.otherwise != nil {
		return Request{dialect: d.otherwise, http1: http1}, true
	}
	return Request{}, false
}

// losesErrors says that the client looks like go-openai (1.43): a Go program that
// gives no name of its own and asks for events as that one does. It takes a
// comment for the beginning of an error and then loses the real one, however much
// comes between them.
func losesErrors(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("User-Agent"), "Go-http-client/") &&
		r.Header.Get("Accept") == "text/event-stream" && r.Header.Get("Cache-Control") == "no-cache"
}

// facts are the top-level members of a request body that matter.
type facts struct {
	stream     ternary
	model      string
	messages   bool // not empty
	prompt     bool // not empty
	background bool
	restricted restriction
}

// ternary is what "stream" may be: a boolean, absent, or something else.
type ternary uint8

const (
	absent ternary = iota
	isTrue
	isFalse
	isOther
)

// restriction is a set of reasons for which text of ours would harm the answer:
// a client that parses it, counts it, or shows another choice beside it.
type restriction uint32

const (
	byTools restriction = 1 << iota
	byFunctions
	byResponseFormat
	byStructuredOutputs
	byGrammar
	byJSONSchema
	byRegex
	byFormat
	byChoices
	byLogprobs
	byTopLogprobs
	byAudio
	byModalities
	byGuided
)

// parseFacts reads the top level of a JSON object: keys in exact case, the last
// duplicate wins. Anything else than one JSON object is false.
func parseFacts(body []byte) (facts, bool) {
	var f facts
	if i := skipSpace(body, 0); i >= len(body) || body[i] != '{' || !json.Valid(body) {
		return f, false
	}
	members(body, func(m member) { f.note(m.key, body[m.value:m.end]) })
	return f, true
}

// note records one member.
func (f *facts) note(key, value []byte) {
	switch string(key) {
	case "stream":
		f.stream = ternaryOf(value)
	case "model":
		f.model = text(value)
	case "messages":
		f.messages = value[0] == '[' && isSet(value)
	case "prompt":
		f.prompt = isSet(value)
	case "background":
		f.background = string(value) == "true"
	case "tools":
		f.restrict(byTools, isSet(value))
	case "functions":
		f.restrict(byFunctions, isSet(value))
	case "response_format":
		f.restrict(byResponseFormat, !plainText(value))
	case "structured_outputs":
		f.restrict(byStructuredOutputs, isSet(value))
	case "grammar":
		f.restrict(byGrammar, isSet(value))
	case "json_schema":
		f.restrict(byJSONSchema, isSet(value))
	case "regex":
		f.restrict(byRegex, isSet(value))
	case "format":
		f.restrict(byFormat, isSet(value))
	case "n":
		f.restrict(byChoices, !isNull(value) && !isOne(value))
	case "logprobs":
		f.restrict(byLogprobs, isSet(value))
	case "top_logprobs":
		f.restrict(byTopLogprobs, isSet(value))
	case "audio":
		f.restrict(byAudio, isSet(value))
	case "modalities":
		f.restrict(byModalities, !textOnly(value))
	default:
		// Any of the guided_* family counts; one that was given counts even if
		// a duplicate takes it back.
		if bytes.HasPrefix(key, []byte("guided_")) && isSet(value) {
			f.restrict(byGuided, true)
		}
	}
}

// restrict records the last word about one reason.
func (f *facts) restrict(reason restriction, holds bool) {
	if holds {
		f.restricted |= reason
	} else {
		f.restricted &^= reason
	}
}

func ternaryOf(value []byte) ternary {
	switch string(value) {
	case "true":
		return isTrue
	case "false":
		return isFalse
	}
	return isOther
}

// plainText says that a response_format asks for nothing but text.
func plainText(value []byte) bool {
	if !isSet(value) {
		return true
	}
	plain := false
	members(value, func(m member) {
		if string(m.key) == "type" {
			kind := text(value[m.value:m.end])
			plain = kind == "text"
		}
	})
	return plain
}

// textOnly says that a list of modalities names nothing but text.
func textOnly(value []byte) bool {
	if !isSet(value) {
		return true
	}
	only := true
	if !elements(value, func(start, end int) {
		kind := text(value[start:end])
		only = only && kind == "text"
	}) {
		return false
	}
	return only
}

// isOne says that a value is the number 1, however it is written.
func isOne(value []byte) bool {
	if len(value) > 32 {
		return false
	}
	n, err := strconv.ParseFloat(string(value), 64)
	return err == nil && n == 1
}

// asked is the rule of the APIs that stream when they are told to.
func asked(f *facts) bool { return f.stream == isTrue }
