package stream

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

const (
	chatBody   = `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`
	toolsBody  = `{"model":"m","stream":true,"tools":[{"type":"function"}]}`
	chatChunk1 = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}` + "\n\n"
	chatChunk2 = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n"
	chatJSON   = `{
  "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
  "choices": [{"index": 0, "message": {"role": "assistant", "content": null, "refusal": null,
    "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{ \"x\": 1 }"}}, {"id": "b"}]},
    "logprobs": null, "finish_reason": "tool_calls"}],
  "usage": {"total_tokens": 3}
}`
	openAIError = `{"error":{"message":"no such model","type":"NotFoundError","param":null,"code":404}}`
)

// TestGoldens plays every dialect through every way a cold start can end. The
// files are what the client gets, to the byte.
func TestGoldens(t *testing.T) {
	spec := Options{Message: "Starting…", KeepaliveMessage: ".", Interval: 30 * time.Second}
	reasoning := spec
	reasoning.Display = DisplayReasoning
	silent := Options{Message: "Starting…", Interval: 30 * time.Second}

	const (
		sse    = "text/event-stream; charset=utf-8"
		ndjson = "application/x-ndjson"
		isJSON = "application/json"
	)
	goOpenAI := http.Header{
		"User-Agent": {"Go-http-client/1.1"}, "Accept": {"text/event-stream"}, "Cache-Control": {"no-cache"},
	}
	for _, dialect := range []struct {
		name          string
		dialect       *Dialect
		body          string
		spec          Options
		stream, media string
		whole         string      // the JSON answer
		failure       string      // the API's JSON error
		client        http.Header // by which the client is known
	}{
		{"openai-chat visible", &openAIChat, chatBody, spec, chatChunk1 + chatChunk2, sse, chatJSON, openAIError, nil},
		{"openai-chat reasoning", &openAIChat, chatBody, reasoning, chatChunk1 + chatChunk2, sse, chatJSON, openAIError, nil},
		{"openai-chat no keepalive text", &openAIChat, chatBody, silent, chatChunk1 + chatChunk2, sse, chatJSON, openAIError, nil},
		{"openai-chat invisible", &openAIChat, toolsBody, spec, chatChunk1 + chatChunk2, sse, chatJSON, openAIError, nil},
		{"openai-chat invisible go", &openAIChat, toolsBody, spec, chatChunk1 + chatChunk2, sse, chatJSON, openAIError, goOpenAI},
		{"openai-completions", &openAICompletions, `{"model":"m","stream":true}`, spec,
			`data: {"choices":[{"text":"Hello"}]}` + "\n\ndata: [DONE]\n\n", sse,
			`{"id":"cmpl-1", "object":"text_completion", "choices":[{"index":0,"text":"Hello"}]}`, openAIError, nil},
		{"openai-responses", &openAIResponses, `{"model":"m","stream":true}`, spec,
			"event: response.created\ndata: {\"type\":\"response.created\"}\n\n", sse,
			`{"id":"resp_1","object":"response","output":[]}`, openAIError, nil},
		{"openai-responses background", &openAIResponses, `{"model":"m","stream":true,"background":true}`, spec,
			"event: response.created\ndata: {\"type\":\"response.created\"}\n\n", sse,
			`{"id":"resp_1","object":"response","output":[]}`, openAIError, nil},
		{"anthropic", &anthropic, `{"model":"m","stream":true}`, spec,
			"event: message_start\ndata: {\"type\":\"message_start\"}\n\n", sse,
			`{"id":"msg_1","type":"message","content":[]}`,
			`{"type":"error","error":{"type":"not_found_error","message":"model: m"}}`, nil},
		{"ollama chat", &ollamaChat, `{"model":"m","messages":[{"content":"hi"}]}`, spec,
			`{"model":"m","message":{"role":"assistant","content":"Hello"},"done":false}` + "\n", ndjson,
			`{"model":"m", "message":{"role":"assistant","content":"Hello"}, "done":true}`, `{"error":"model \"m\" not found"}`, nil},
		{"ollama chat reasoning", &ollamaChat, `{"model":"m","messages":[{"content":"hi"}]}`, reasoning,
			`{"model":"m","message":{"role":"assistant","content":"Hello"},"done":false}` + "\n", ndjson,
			`{"model":"m", "message":{"role":"assistant","content":"Hello"}, "done":true}`, `{"error":"model \"m\" not found"}`, nil},
		{"ollama chat tools", &ollamaChat, `{"model":"m","messages":[{"content":"hi"}],"tools":[{}]}`, spec,
			`{"model":"m","message":{"role":"assistant","content":"Hello"},"done":false}` + "\n", ndjson,
			`{"model":"m", "message":{"role":"assistant","content":"Hello"}, "done":true}`, `{"error":"model \"m\" not found"}`, nil},
		{"ollama generate", &ollamaGenerate, `{"model":"m","prompt":"hi"}`, spec,
			`{"model":"m","response":"Hello","done":false}` + "\n", ndjson,
			`{"model":"m", "response":"Hello", "done":true}`, `{"error":"model \"m\" not found"}`, nil},
		{"gemini", &gemini, `{}`, spec,
			"data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hello\"}]}}]}\r\n\r\n", sse,
			`{"candidates": [{"content": {"parts": [{"text": "Hello"}]}}]}`,
			`{"error":{"code":404,"message":"models/m is not found","status":"NOT_FOUND"}}`, nil},
		{"sse", &eventSource, ``, spec, "id: 1\ndata: hello\n\n", sse, `{"hello":1}`, `{"error":"no"}`, nil},
	} {
		for _, end := range []struct {
			name   string
			wait   time.Duration
			expire bool
			answer func(http.ResponseWriter)
			failed error
		}{
			{"stream", 45 * time.Second, false, answer(200, dialect.media, dialect.stream), nil},
			{"long wait", 130 * time.Second, false, answer(200, dialect.media, dialect.stream), nil},
			{"quick", 100 * time.Millisecond, false, answer(200, "", dialect.stream), nil},
			{"JSON", 45 * time.Second, false, answer(200, isJSON, dialect.whole), nil},
			{"refused", 45 * time.Second, false, answer(404, isJSON, dialect.failure), nil},
			{"HTML", 45 * time.Second, false, answer(503, "text/html", "<h1>Bad \"gateway\"</h1>"), nil},
			{"no answer", 45 * time.Second, false, nil, errors.New("dial tcp 10.1.2.3:80: connection refused")},
			{"expired", 61 * time.Second, true, nil, nil},
		} {
			t.Run(dialect.name+"/"+end.name, func(t *testing.T) {
				got := play(t, part{dialect.dialect, dialect.client, dialect.body, dialect.spec, end.wait, end.expire, end.answer, end.failed})
				text := got.Body.String()
				if got.err != nil {
					if !errors.Is(got.err, http.ErrAbortHandler) {
						t.Errorf("an error that does not abort: %v", got.err)
					}
					text += "<aborted>"
				}
				golden(t, t.Name()[len("TestGoldens/"):], text)
			})
		}
	}
}
