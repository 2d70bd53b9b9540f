package stream

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// gemini is Google's generateContent API, which streams server-sent events if
// alt=sse asks for them.
var gemini = Dialect{
	name: "gemini",
	script: func(q *Request, _ texts, _ bool, _ time.Time) script {
		if q.needs&comments != 0 {
			// It takes what follows a comment's line for a part of the comment.
			separate := []byte(comment + "\n")
			return script{first: separate, tick: separate}
		}
		parts := `"parts":[{"text":""}],`
		if q.needs&noParts != 0 {
			parts = ""
		}
		empty := event([]byte(`{"candidates":[{"content":{` + parts + `"role":"model"},"index":0}]}`))
		return script{first: empty, tick: empty, sent: 1}
	},
	failure: func(_ *Request, p *problem, _ int, _ time.Time) []byte { return geminiFailure(p) },
	answer:  geminiAnswer,
	pieces:  geminiPieces,
}

// geminiFailure is an error event, followed by its document. The older SDKs end a stream with an
// error event as if it were complete. They report an error for an unparsable end of a stream.
func geminiFailure(p *problem) []byte {
	failed := geminiProblem(p)
	return append(append(event(failed), failed...), '\n')
}

// geminiProblem is Google's error object (google.rpc.Status as JSON). Its code
// is a number.
func geminiProblem(p *problem) []byte {
	type inner struct {
		Code    json.RawMessage `json:"code"`
		Message string          `json:"message"`
		Status  string          `json:"status"`
	}
	code := p.code
	if len(code) == 0 || code[0] == '"' {
		code = json.RawMessage(strconv.Itoa(p.status))
	}
	status := p.grpcStatus
	if status == "" {
		status = geminiStatus(p.status)
	}
	return extended(marshal(struct {
		Error json.RawMessage `json:"error"`
	}{extended(marshal(inner{code, p.message, status}), p.object)}), p.document)
}

// geminiStatus is the name of the google.rpc.Code that belongs to a status.
func geminiStatus(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "INVALID_ARGUMENT"
	case http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case http.StatusForbidden:
		return "PERMISSION_DENIED"
	case http.StatusNotFound:
		return "NOT_FOUND"
	case http.StatusTooManyRequests:
		return "RESOURCE_EXHAUSTED"
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return "UNAVAILABLE"
	case http.StatusGatewayTimeout:
		return "DEADLINE_EXCEEDED"
	case http.StatusInternalServerError:
		return "INTERNAL"
	}
	if status < 500 {
		return "FAILED_PRECONDITION"
	}
	return "UNKNOWN"
}

// geminiMembers show an answer of the API. One may lack candidates: a prompt that was blocked has
// feedback instead, and the last part of a stream may only have the usage.
var geminiMembers = [...]string{"candidates", "promptFeedback", "usageMetadata"}

func isGemini(document []byte) bool {
	return slices.ContainsFunc(geminiMembers[:], func(name string) bool { return valueOf(document, name) != nil })
}

// geminiAnswer is a whole answer as an event; the list that a stream without
// alt=sse is, as one event each. An error in it ends the list, as it ends the stream.
func geminiAnswer(_ *Request, _ int, body []byte, to *events) (ok bool) {
	failed := false
	add := func(document []byte) {
		isObject := len(document) > 0 && document[0] == '{'
		switch wrong := isError(document) || valueOf(document, "candidates") == nil && messageOf(document) != ""; {
		case failed, !isObject:
		case !wrong && (ok || isGemini(document)):
			ok = true
			to.whole(document)
		default:
			if failed = true; ok {
				to.text(string(geminiFailure(problemOf(http.StatusBadGateway, document))))
			}
		}
	}
	if !elements(body, func(start, end int) { add(body[start:end]) }) {
		add(bytes.TrimLeft(body, " \t\r\n"))
	}
	return ok
}
