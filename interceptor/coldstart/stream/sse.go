package stream

import "time"

// eventSource is any stream of server-sent events that is the backend's own business: it
// gets comments only, and a failure cuts the connection, after which EventSource
// reconnects. Each comment has ONE newline: fetch-event-source delivers an empty message
// at a blank line.
var eventSource = Dialect{name: "sse", script: sseScript, answer: sseAnswer}

func sseScript(*Request, texts, bool, time.Time) script {
	return script{first: []byte(comment), tick: []byte(comment)}
}

// sseAnswer is any JSON as one event.
func sseAnswer(_ *Request, _ int, body []byte) ([]byte, bool) {
	return event(appendCompact(nil, body)), true
}
