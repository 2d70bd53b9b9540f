package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// TestStreams checks what each API streams: the types of the events in order,
// and something that must be in it.
func TestStreams(t *testing.T) {
	const weather = `{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}}}`
	const arguments = `{"city":"Berlin","days":1}`
	for name, test := range map[string]struct {
		path, body string
		kinds      []string
		parts      []string
	}{
		"responses": {
			path: "/v1/responses", body: `{"stream":true,"input":"hi"}`,
			kinds: []string{
				"response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
				"response.output_text.delta", "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
			},
			parts: []string{`"text":"You said: \"hi\".`, `"sequence_number":0,`, `"total_tokens":`},
		},
		"responses tool": {
			path: "/v1/responses", body: `{"stream":true,"input":"hi","tools":[{"type":"function","name":"weather","parameters":` + weather + `}]}`,
			kinds: []string{
				"response.created", "response.in_progress", "response.output_item.added", "response.function_call_arguments.delta",
				"response.function_call_arguments.done", "response.output_item.done", "response.completed",
			},
			parts: []string{`"name":"weather"`, `"arguments":` + quoted(arguments)},
		},
		"responses schema": {
			path: "/v1/responses", body: `{"stream":true,"input":"hi","text":{"format":{"type":"json_schema","schema":` + weather + `}}}`,
			parts: []string{`"text":` + quoted(arguments)},
		},
		"anthropic": {
			path: "/v1/messages", body: `{"stream":true,"messages":[{"role":"user","content":"hi"}]}`,
			kinds: []string{"message_start", "content_block_start", "ping", "content_block_delta", "content_block_stop", "message_delta", "message_stop"},
			parts: []string{`"text":"You "`, `"stop_reason":"end_turn"`},
		},
		"anthropic tool": {
			path:  "/v1/messages",
			body:  `{"stream":true,"tool_choice":{"type":"tool","name":"weather"},"tools":[{"name":"other"},{"name":"weather","input_schema":` + weather + `}],"messages":[{"role":"user","content":"hi"}]}`,
			parts: []string{`"name":"weather"`, `"partial_json":`, `"stop_reason":"tool_use"`},
		},
		"anthropic after the tool": {
			path:  "/v1/messages",
			body:  `{"stream":true,"tools":[{"name":"weather"}],"messages":[{"role":"user","content":"hi"},{"role":"user","content":[{"type":"tool_result"}]}]}`,
			parts: []string{`"text":"You "`},
		},
		"ollama chat streams by default": {
			path: "/api/chat", body: `{"messages":[{"role":"user","content":"hi"}]}`,
			parts: []string{`"message":{"content":"You ","role":"assistant"}`, `"done_reason":"stop"`},
		},
		"ollama chat tool": {
			path: "/api/chat", body: `{"tools":[{"function":{"name":"weather","parameters":` + weather + `}}],"messages":[{"role":"user","content":"hi"}]}`,
			parts: []string{`"tool_calls":[{"function":{"arguments":` + arguments},
		},
		"ollama generate": {
			path: "/api/generate", body: `{"prompt":"hi","format":` + weather + `}`,
			parts: []string{`"response":` + quoted(arguments), `"eval_count":`},
		},
		"cohere": {
			path: "/v2/chat", body: `{"stream":true,"messages":[{"role":"user","content":"hi"}]}`,
			kinds: []string{"message-start", "content-start", "content-delta", "content-end", "message-end"},
			parts: []string{`{"text":"You "}`, `"finish_reason":"COMPLETE"`, `"output_tokens":`, "data: [DONE]"},
		},
		"cohere tool": {
			path: "/v2/chat", body: `{"stream":true,"tools":[{"function":{"name":"weather","parameters":` + weather + `}}],"messages":[{"role":"user","content":"hi"}]}`,
			kinds: []string{"message-start", "tool-plan-delta", "tool-call-start", "tool-call-delta", "tool-call-end", "message-end"},
			parts: []string{`"name":"weather"`, `"finish_reason":"TOOL_CALL"`},
		},
		"groq": {
			path: "/openai/v1/chat/completions", body: `{"stream":true,"messages":[{"role":"user","content":"hi"}]}`,
			parts: []string{`"content":"You "`},
		},
		"azure": {
			path: "/openai/deployments/sim/chat/completions?api-version=2024-10-21", body: `{"stream":true,"messages":[{"role":"user","content":"hi"}]}`,
			parts: []string{`"content":"You "`},
		},
		"gemini": {
			path: "/v1beta/models/sim:streamGenerateContent?alt=sse", body: `{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}`,
			parts: []string{`{"text":"You "}`, `"finishReason":"STOP"`, `"totalTokenCount":`, `"modelVersion":"sim"`},
		},
		"gemini tool": {
			path: "/v1beta/models/sim:streamGenerateContent?alt=sse",
			body: `{"contents":[{"parts":[{"text":"hi"}]}],"tools":[{"functionDeclarations":[{"name":"weather","parameters":{"type":"OBJECT","properties":{"city":{"type":"STRING"}}}}]}]}`,
			parts: []string{
				`"functionCall":{"args":{"city":"Berlin"},"name":"weather"}`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := ask(t, loaded(), test.path, test.body)
			if w.Code != http.StatusOK {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			body := w.Body.String()
			for _, part := range test.parts {
				if !strings.Contains(body, part) {
					t.Errorf("no %s in %s", part, body)
				}
			}
			var kinds []string
			for line := range strings.Lines(body) {
				kind, ok := strings.CutPrefix(line, "event: ")
				if kind = strings.TrimSpace(kind); ok && (len(kinds) == 0 || kinds[len(kinds)-1] != kind) {
					kinds = append(kinds, kind)
				}
			}
			if test.kinds != nil && strings.Join(kinds, " ") != strings.Join(test.kinds, " ") {
				t.Errorf("events: got %s", kinds)
			}
		})
	}
}

func quoted(s string) string { return string(encode(s)) }

func TestExampleFitsTheSchema(t *testing.T) {
	for schema, want := range map[string]string{
		`null`:                           `{"answer":"Berlin"}`,
		`{"type":["string","null"]}`:     `"Berlin"`,
		`{"enum":["a","b"]}`:             `"a"`,
		`{"anyOf":[{"type":"boolean"}]}`: `true`,
		`{"const":7}`:                    `7`,
		`{"type":"array","items":{"type":"NUMBER"}}`: `[1]`,
	} {
		if got := string(encode(example(json.RawMessage(schema)))); got != want {
			t.Errorf("%s: got %s, want %s", schema, got, want)
		}
	}
}
