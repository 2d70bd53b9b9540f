package stream

import (
	"encoding/json"
	"net/http"
	"time"
)

// anthropic is Anthropic's Messages API. It has a ping event, and no place for text before
// message_start: text of the interceptor there breaks its SDK's helper.
var anthropic = Dialect{
	name: "anthropic",
	script: func(*Request, texts, bool, time.Time) script {
		ping := []byte("event: ping\ndata: {\"type\":\"ping\"}\n\n")
		return script{first: ping, tick: ping}
	},
	failure: func(_ *Request, p *problem, _ int, _ time.Time) []byte {
		// Without the event line the SDK ignores it.
		return append([]byte("event: error\n"), event(anthropicProblem(p))...)
	},
	answer: anthropicAnswer,
}

// anthropicProblem is Anthropic's error object.
func anthropicProblem(p *problem) []byte {
	type inner struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	return extended(marshal(struct {
		Type  string          `json:"type"`
		Error json.RawMessage `json:"error"`
	}{"error", extended(marshal(inner{anthropicType(p), p.message}), p.object)}), p.document)
}

// anthropicType is the error's type: the backend's, or by status
// (docs.claude.com, API errors).
func anthropicType(p *problem) string {
	if p.kind != "" {
		return p.kind
	}
	switch p.status {
	case http.StatusBadRequest:
		return "invalid_request_error"
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout, 529:
		return "overloaded_error"
	}
	return "api_error"
}
