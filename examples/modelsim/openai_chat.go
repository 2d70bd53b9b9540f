package main

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// openAIChat is POST /v1/chat/completions.
type openAIChat struct{}

func (openAIChat) read(_ *http.Request, body []byte) (question, error) {
	var b struct {
		Model    string `json:"model"`
		Messages []struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
		Stream        bool `json:"stream"`
		StreamOptions struct {
			IncludeUsage bool `json:"include_usage"`
		} `json:"stream_options"`
		N     int `json:"n"`
		Tools []struct {
			Function tool `json:"function"`
		} `json:"tools"`
		ToolChoice json.RawMessage `json:"tool_choice"`
		Format     struct {
			Type       string `json:"type"`
			JSONSchema struct {
				Schema json.RawMessage `json:"schema"`
			} `json:"json_schema"`
		} `json:"response_format"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return question{}, err
	}
	q := question{model: b.Model, stream: b.Stream, usage: b.StreamOptions.IncludeUsage, n: b.N}
	answered := false // the tool has been called
	for _, m := range b.Messages {
		if m.Role == "user" {
			q.text = plain(m.Content)
		}
		answered = m.Role == "tool"
	}
	var choice struct {
		Function tool `json:"function"`
	}
	_ = json.Unmarshal(b.ToolChoice, &choice) // a word names no tool
	tools := make([]tool, 0, len(b.Tools))
	for _, t := range b.Tools {
		tools = append(tools, t.Function)
	}
	if word(b.ToolChoice) != "none" && !answered {
		q.tool = chosen(tools, choice.Function.Name)
	}
	switch b.Format.Type {
	case "json_object":
		q.schema = anything
	case "json_schema":
		q.schema = orAnything(b.Format.JSONSchema.Schema)
	}
	return q, nil
}

// completion is around every answer and every chunk of both older APIs.
type completion struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Model   string `json:"model"`
	Choices []any  `json:"choices"`
	Usage   any    `json:"usage,omitempty"`
}

// openAIUsage are the counts in the older APIs.
func openAIUsage(a answer) object {
	n := a.tokens()
	return object{"prompt_tokens": a.prompt, "completion_tokens": n, "total_tokens": a.prompt + n}
}

func (openAIChat) whole(q question, a answer) any {
	whole := completion{ID: "chatcmpl-" + q.id, Object: "chat.completion", Created: a.created.Unix(), Model: q.model, Usage: openAIUsage(a)}
	for i, c := range a.choices {
		message, finish := object{"role": "assistant", "content": c.text, "refusal": nil}, "stop"
		if c.call != "" {
			message["content"], finish = nil, "tool_calls"
			message["tool_calls"] = []any{object{
				"id": callID(q, i), "type": "function", "function": object{"name": c.call, "arguments": string(c.args)},
			}}
		}
		whole.Choices = append(whole.Choices, object{"index": i, "message": message, "logprobs": nil, "finish_reason": finish})
	}
	return whole
}

// callID is the id of the call of a tool by one choice.
func callID(q question, choice int) string { return "call_" + q.id + strconv.Itoa(choice) }

// events are one choice after the other.
func (openAIChat) events(q question, a answer) []event {
	var events []event
	send := func(usage any, choices ...any) {
		events = append(events, event{data: completion{
			ID: "chatcmpl-" + q.id, Object: "chat.completion.chunk", Created: a.created.Unix(), Model: q.model,
			Choices: append([]any{}, choices...), Usage: usage,
		}})
	}
	var noUsage any
	if q.usage {
		noUsage = json.RawMessage("null")
	}
	for i, c := range a.choices {
		delta := func(delta object, finish any) {
			send(noUsage, object{"index": i, "delta": delta, "logprobs": nil, "finish_reason": finish})
		}
		if c.call == "" {
			delta(object{"role": "assistant", "content": "", "refusal": nil}, nil)
			for _, token := range c.pieces() {
				delta(object{"content": token}, nil)
			}
			delta(object{}, "stop")
			continue
		}
		delta(object{"role": "assistant", "content": nil, "tool_calls": []any{object{
			"index": 0, "id": callID(q, i), "type": "function", "function": object{"name": c.call, "arguments": ""},
		}}}, nil)
		for _, piece := range c.pieces() {
			delta(object{"tool_calls": []any{object{"index": 0, "function": object{"arguments": piece}}}}, nil)
		}
		delta(object{}, "tool_calls")
	}
	if q.usage {
		send(openAIUsage(a))
	}
	return append(events, event{data: done{}})
}

func (openAIChat) problem(status int, message string) any { return openAIProblem(status, message) }

// openAIProblem is the error of all of OpenAI's APIs.
func openAIProblem(status int, message string) any {
	kind := "invalid_request_error"
	switch {
	case status == http.StatusTooManyRequests:
		kind = "rate_limit_error"
	case status >= 500:
		kind = "server_error"
	}
	return object{"error": object{"message": message, "type": kind, "param": nil, "code": "simulated_" + strconv.Itoa(status)}}
}
