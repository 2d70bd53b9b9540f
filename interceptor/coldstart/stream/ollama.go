package stream

import (
	"encoding/json"
	"time"
)

// ollamaChat and ollamaGenerate are Ollama's own API: JSON lines, and streams
// unless told not to. Without messages or a prompt it only loads the model.
var (
	ollamaChat     = ollama(chatMember)
	ollamaGenerate = ollama(generateMember)
)

// textMember renders the text of a line. Content is a JSON string, and so is thinking, unless it is
// nil.
type textMember func(content, thinking []byte) []byte

func chatMember(content, thinking []byte) []byte {
	line := append([]byte(`"message":{"role":"assistant","content":`), content...)
	return append(appendThinking(line, thinking), '}')
}

func generateMember(content, thinking []byte) []byte {
	return appendThinking(append([]byte(`"response":`), content...), thinking)
}

// ollama is the dialect of both, which differ in where the text stands.
func ollama(text textMember) Dialect {
	return Dialect{
		name:    "ollama",
		ndjson:  true,
		script:  text.script,
		failure: ollamaFailure, cutsFailures: true,
		answer: ollamaAnswer,
		plain:  text.plain,
	}
}

// line is a line of a stream.
func (text textMember) line(q *Request, now time.Time, content, thinking []byte, end string) []byte {
	b := append([]byte(`{"model":`), quote(q.model)...)
	b = append(b, `,"created_at":"`...)
	b = now.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(append(b, `",`...), text(content, thinking)...)
	return append(append(b, end...), "}\n"...)
}

// plain is a text as an answer.
func (text textMember) plain(q *Request, now time.Time) plain {
	return plain{
		delta: func(content []byte) []byte { return text.line(q, now, content, nil, `,"done":false`) },
		end:   text.line(q, now, quote(""), nil, `,"done_reason":"stop","done":true`),
	}
}

func (text textMember) script(q *Request, t texts, visible bool, now time.Time) script {
	empty := quote("")
	line := func(content, thinking []byte) []byte { return text.line(q, now, content, thinking, `,"done":false`) }
	if !visible {
		keepalive := line(empty, nil)
		return script{first: keepalive, tick: keepalive, sent: 1}
	}
	show := func(text []byte) []byte {
		if string(text) == `""` {
			return line(empty, nil)
		}
		if t.reasoning {
			return line(empty, text)
		}
		return line(text, nil)
	}
	s := script{first: show(t.message), tick: show(t.keepalive), sent: 1}
	if t.separator != nil {
		s.separator = show(t.separator)
	}
	return s
}

func appendThinking(to, thinking []byte) []byte {
	if thinking == nil {
		return to
	}
	return append(append(to, `,"thinking":`...), thinking...)
}

func ollamaFailure(_ *Request, p *problem, _ int, _ time.Time) []byte {
	return append(ollamaProblem(p), '\n')
}

// ollamaProblem is Ollama's error: a text, and members beside it, such as signin_url.
func ollamaProblem(p *problem) []byte {
	return extended(extended(marshal(struct {
		Error string `json:"error"`
	}{p.message}), p.object), p.document)
}

// ofOllama reports whether a JSON value looks like a line of Ollama's API.
func ofOllama(line []byte) (is bool) {
	members(line, func(m member) {
		switch string(m.key) {
		case "message":
			is = is || line[m.value] == '{'
		case "response", "done", "error":
			is = true
		}
	})
	return is
}

// wholeOllama reports whether a line is a whole answer: the only one of its stream, with its
// text. The last line of a stream has none.
func wholeOllama(line []byte) bool {
	if !json.Valid(line) {
		return false
	}
	done, text := false, false
	members(line, func(m member) {
		switch v := line[m.value:m.end]; string(m.key) {
		case "done":
			done = string(v) == "true"
		case "response":
			text = text || isText(v)
		case "message":
			members(v, func(m member) { text = text || string(m.key) != "role" && isSet(v[m.value:m.end]) })
		}
	})
	return done && text
}

// ollamaAnswer is a whole answer as Ollama streams it: a line with the text, and a last one
// with the counts. Clients that take the text from lines before the last would lose it.
func ollamaAnswer(_ *Request, _ int, body []byte, to *events) bool {
	done, answers := false, false
	members(body, func(m member) {
		switch v := body[m.value:m.end]; string(m.key) {
		case "done":
			done = string(v) == "true"
		case "response":
			answers = true
		case "message":
			answers = answers || v[0] == '{'
		}
	})
	if !done || !answers {
		return false
	}
	to.out = appendObject(to.out, body, func(to []byte, f field) []byte {
		switch f.key {
		case "done":
			return append(to, `"done":false`...)
		case "model", "created_at", "remote_model", "remote_host", "message", "response", "thinking", "logprobs":
			return appendCompact(to, f.text)
		}
		return to
	})
	to.text("\n")
	to.out = appendObject(to.out, body, func(to []byte, f field) []byte {
		switch f.key {
		case "message":
			return append(to, `"message":{"role":"assistant","content":""}`...)
		case "response":
			return append(to, `"response":""`...)
		case "thinking", "logprobs":
			return to
		}
		return appendSet(to, f)
	})
	to.text("\n")
	return true
}
