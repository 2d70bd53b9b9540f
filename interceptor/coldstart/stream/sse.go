package stream

import (
	"bytes"
	"encoding/json"
	"time"
)

// eventSource is any stream of server-sent events that is the backend's own business: it
// gets comments only. Each comment has ONE newline: fetch-event-source delivers an empty message
// at a blank line.
//
// A failure aborts the connection, after which EventSource reconnects and meets the target
// awake. Clients of a POST do not, and get an event before that.
var eventSource = Dialect{name: "sse", script: sseScript, failure: sseFailure, cutsFailures: true}

func sseScript(*Request, texts, bool, time.Time) script {
	return script{first: []byte(comment), tick: []byte(comment)}
}

// sseFailure is an event with the status and the body that the client would have got. Most APIs
// call an error "error"; LangServe's clients read the message.
func sseFailure(q *Request, p *problem, _ int, _ time.Time) []byte {
	if q.reconnects {
		return nil
	}
	body := quote(firstText(p.body))
	if len(p.body) <= maxProblem && json.Valid(p.body) {
		body = bytes.ToValidUTF8(p.body, []byte("\uFFFD"))
	}
	return append([]byte("event: error\n"), event(marshal(struct {
		Status  int             `json:"status"`
		Message string          `json:"message"`
		Error   json.RawMessage `json:"error"`
		Body    json.RawMessage `json:"body"`
	}{p.status, p.message, openAIObject(p), body}))...)
}
