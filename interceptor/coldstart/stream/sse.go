package stream

import "time"

// eventSource is any server-sent event stream that a client asks for by Accept
// alone. Its events are the backend's own business, so it gets comments only,
// and a failure cuts the connection: EventSource then reconnects.
var eventSource = Dialect{name: "sse", script: sseScript}

// eventSourceBody is the same for requests with a body.
var eventSourceBody = Dialect{name: "sse", streaming: asked, speaks: &openAIChat, otherwise: &eventSource}

func sseScript(*Request, texts, bool, time.Time) script {
	comment := []byte(": keepalive\n\n")
	return script{first: comment, tick: comment}
}
