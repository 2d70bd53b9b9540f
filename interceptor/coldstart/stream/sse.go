package stream

import "time"

// eventSource is any stream of server-sent events that is the backend's own business: it
// gets comments only, and a failure cuts the connection, after which EventSource
// reconnects. Each comment has ONE newline: fetch-event-source delivers an empty message
// at a blank line.
var eventSource = Dialect{name: "sse", script: sseScript}

// singleEvent makes a document one event as it passes: JSON has line ends only between
// its tokens.
type singleEvent struct{ begun bool }

func (e *singleEvent) next(b []byte) []byte {
	var out []byte
	if !e.begun {
		e.begun = true
		out = append(out, "data: "...)
	}
	for _, c := range b {
		if c != '\r' && c != '\n' {
			out = append(out, c)
		}
	}
	return out
}

func (e *singleEvent) rest() []byte { return []byte("\n\n") }

func sseScript(*Request, texts, bool, time.Time) script {
	return script{first: []byte(comment), tick: []byte(comment)}
}
