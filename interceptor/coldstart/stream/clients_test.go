package stream

import (
	"net/http"
	"testing"
)

// The headers are what the clients sent when they were measured.
func TestClientsAreRecognised(t *testing.T) {
	for _, c := range []struct {
		reason  string
		dialect *Dialect
		header  http.Header
		want    need
	}{
		{"go-openai", &openAIChat, http.Header{"User-Agent": {"Go-http-client/1.1"}, "Accept": {"text/event-stream"}, "Cache-Control": {"no-cache"}}, dataOnly},
		{"a Go program of its own", &openAIChat, http.Header{"User-Agent": {"Go-http-client/1.1"}}, 0},
		{"langchaingo", &openAIChat, http.Header{"User-Agent": {"app/v1 langchaingo/v0.1.14 Go/1.26 (linux amd64)"}}, abortAfterFailure},
		{"openai-node", &openAIResponses, http.Header{"X-Stainless-Lang": {"js"}}, commentsOnly},
		{"openai-python", &openAIResponses, http.Header{"X-Stainless-Lang": {"python"}}, 0},
		{"openai-node on a chat", &openAIChat, http.Header{"X-Stainless-Lang": {"js"}}, 0},
		{"@google/generative-ai", &gemini, http.Header{"X-Goog-Api-Client": {"genai-js/0.24.1"}}, noParts},
		{"@google/genai", &gemini, http.Header{"X-Goog-Api-Client": {"google-genai-sdk/2.32.0 gl-node/v20"}}, 0},
		{"nobody", &openAIChat, nil, 0},
	} {
		if got := needsOf(&http.Request{Header: c.header}, c.dialect); got != c.want {
			t.Errorf("%s: got %b, want %b", c.reason, got, c.want)
		}
	}
}
