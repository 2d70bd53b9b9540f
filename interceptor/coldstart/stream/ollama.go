package stream

import "time"

// ollamaChat and ollamaGenerate are Ollama's own API: JSON lines, and streams
// unless told not to. Without messages or a prompt it only loads the model.
var (
	ollamaChat = Dialect{
		name:      "ollama",
		suffixes:  []string{"/api/chat"},
		ndjson:    true,
		streaming: func(f *facts) bool { return f.stream != isFalse && f.messages },
		script: ollamaScript(func(content, thinking []byte) []byte {
			line := append([]byte(`"message":{"role":"assistant","content":`), content...)
			return append(appendThinking(line, thinking), '}')
		}),
		failure: ollamaFailure,
		answer:  ollamaAnswer,
		problem: ollamaProblem,
	}
	ollamaGenerate = Dialect{
		name:      "ollama",
		suffixes:  []string{"/api/generate"},
		ndjson:    true,
		streaming: func(f *facts) bool { return f.stream != isFalse && f.prompt },
		script: ollamaScript(func(content, thinking []byte) []byte {
			return appendThinking(append([]byte(`"response":`), content...), thinking)
		}),
		failure: ollamaFailure,
		answer:  ollamaAnswer,
		problem: ollamaProblem,
	}
)

// ollamaScript is the script of both, which differ in where the text stands.
// Content is a JSON string, and so is thinking, unless it is nil.
func ollamaScript(text func(content, thinking []byte) []byte) func(*Request, texts, bool, time.Time) script {
	return func(q *Request, t texts, visible bool, now time.Time) script {
		empty := quote("")
		line := func(content, thinking []byte) []byte {
			b := append([]byte(`{"model":`), quote(q.model)...)
			b = append(b, `,"created_at":"`...)
			b = now.UTC().AppendFormat(b, time.RFC3339Nano)
			b = append(append(b, `",`...), text(content, thinking)...)
			return append(b, `,"done":false}`+"\n"...)
		}
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

// ollamaProblem is Ollama's error object, which has a text and nothing else.
func ollamaProblem(p *problem) []byte {
	return marshal(struct {
		Error string `json:"error"`
	}{p.message})
}

// ollamaAnswer is a whole answer as the only line.
func ollamaAnswer(body []byte) ([]byte, bool) {
	text := false
	if !members(body, func(m member) {
		text = text || string(m.key) == "message" && body[m.value] == '{' || string(m.key) == "response"
	}) || !text {
		return nil, false
	}
	return append(appendCompact(nil, body), '\n'), true
}
