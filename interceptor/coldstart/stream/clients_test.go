package stream

import (
	"net/http"
	"testing"
)

// The headers, and what matters of the bodies, are what the clients sent when they were
// measured.
func TestClientsAreRecognised(t *testing.T) {
	const usage = `{"stream":true,"stream_options":{"include_usage":true}}`
	for _, c := range []struct {
		reason  string
		dialect *Dialect
		header  http.Header
		body    string
		want    need
	}{
		{"go-openai", &openAIChat, http.Header{"User-Agent": {"Go-http-client/1.1"}, "Accept": {"text/event-stream"}, "Cache-Control": {"no-cache"}}, usage, dataOnly},
		{"a Go program of its own", &openAIChat, http.Header{"User-Agent": {"Go-http-client/1.1"}}, `{"stream":true}`, 0},
		{"a Go program that wants no counts", &openAIChat, http.Header{"User-Agent": {"Go-http-client/1.1"}}, `{"stream":true,"stream_options":{"include_usage":false}}`, 0},
		{"langchaingo", &openAIChat, http.Header{"User-Agent": {"app/v1 langchaingo/v0.1.14 Go/1.26 (linux amd64)"}}, `{}`, abortAfterFailure},
		{"langchaingo with its user's http.Client", &openAIChat, http.Header{"User-Agent": {"Go-http-client/1.1"}}, usage, abortAfterFailure},
		{"the same on HTTP/2", &openAIChat, http.Header{"User-Agent": {"Go-http-client/2.0"}}, usage, abortAfterFailure},
		{"a Go program that accepts events", &openAIChat, http.Header{"User-Agent": {"Go-http-client/1.1"}, "Accept": {"text/event-stream"}}, usage, 0},
		{"openai-go", &openAIChat, http.Header{"User-Agent": {"OpenAI/Go 3.98.0"}, "Accept": {"application/json"}}, usage, 0},
		{"openai-node", &openAIResponses, http.Header{"X-Stainless-Lang": {"js"}}, `{}`, commentsOnly},
		{"openai-python", &openAIResponses, http.Header{"X-Stainless-Lang": {"python"}}, `{}`, 0},
		{"openai-node on a chat", &openAIChat, http.Header{"X-Stainless-Lang": {"js"}}, `{}`, 0},
		{"@google/generative-ai", &gemini, http.Header{"X-Goog-Api-Client": {"genai-js/0.24.1"}}, `{}`, noParts},
		{"@google/genai", &gemini, http.Header{"X-Goog-Api-Client": {"google-genai-sdk/2.32.0 gl-node/v20"}}, `{}`, comments},
		{"google.golang.org/genai", &gemini, http.Header{"X-Goog-Api-Client": {"google-genai-sdk/1.70.0 gl-go/go1.26"}}, `{}`, 0},
		{"nobody", &openAIChat, nil, usage, 0},
	} {
		f, ok := parseFacts([]byte(c.body))
		if !ok {
			t.Fatalf("%s: %s is not JSON", c.reason, c.body)
		}
		if got := needsOf(&http.Request{Header: c.header}, c.dialect, &f); got != c.want {
			t.Errorf("%s: got %b, want %b", c.reason, got, c.want)
		}
	}
}
