package main

import (
	"encoding/json"
	"net/http"
)

// anthropic is POST /v1/messages.
type anthropic struct{}

func (anthropic) read(_ *http.Request, body []byte) (question, error) {
	type format struct {
		Type   string          `json:"type"`
		Schema json.RawMessage `json:"schema"`
	}
	var b struct {
		Model    string `json:"model"`
		Messages []struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
		Stream bool `json:"stream"`
		Tools  []struct {
			Name   string          `json:"name"`
			Schema json.RawMessage `json:"input_schema"`
		} `json:"tools"`
		ToolChoice struct {
			Type string `json:"type"`
			Name string `json:"name"`
		} `json:"tool_choice"`
		OutputFormat format `json:"output_format"` // as the beta had it
		OutputConfig struct {
			Format format `json:"format"`
		} `json:"output_config"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return question{}, err
	}
	q := question{model: b.Model, stream: b.Stream}
	answered := false // the tool has been called
	for _, m := range b.Messages {
		if m.Role != "user" {
			continue
		}
		var parts []struct {
			Type string `json:"type"`
		}
		_ = json.Unmarshal(m.Content, &parts) // or it is a text
		if answered = len(parts) > 0 && parts[0].Type == "tool_result"; !answered {
			q.text = plain(m.Content)
		}
	}
	tools := make([]tool, 0, len(b.Tools))
	for _, t := range b.Tools {
		tools = append(tools, tool{Name: t.Name, Parameters: t.Schema})
	}
	if b.ToolChoice.Type != "none" && !answered {
		q.tool = chosen(tools, b.ToolChoice.Name)
	}
	for _, f := range []format{b.OutputFormat, b.OutputConfig.Format} {
		if f.Type == "json_schema" {
			q.schema = orAnything(f.Schema)
		}
	}
	return q, nil
}

// message is the answer with the given content.
func (anthropic) message(q question, a answer, content []any, stop any, tokens int) object {
	return object{
		"id": "msg_" + q.id, "type": "message", "role": "assistant", "model": q.model, "content": content,
		"stop_reason": stop, "stop_sequence": nil, "usage": object{"input_tokens": a.prompt, "output_tokens": tokens},
	}
}

// stopReason of a choice.
func (anthropic) stopReason(c choice) string {
	if c.call != "" {
		return "tool_use"
	}
	return "end_turn"
}

// block is the content of a choice.
func (anthropic) block(q question, c choice) object {
	if c.call != "" {
		return object{"type": "tool_use", "id": "toolu_" + q.id, "name": c.call, "input": c.args}
	}
	return object{"type": "text", "text": c.text}
}

func (f anthropic) whole(q question, a answer) any {
	c := a.choices[0]
	return f.message(q, a, []any{f.block(q, c)}, f.stopReason(c), a.tokens())
}

func (f anthropic) events(q question, a answer) []event {
	var events []event
	send := func(kind string, members object) {
		members["type"] = kind
		events = append(events, event{kind: kind, data: members})
	}
	c := a.choices[0]
	// A block is filled by its deltas.
	block, delta, member := object{"type": "text", "text": ""}, "text_delta", "text"
	if c.call != "" {
		block, delta, member = f.block(q, c), "input_json_delta", "partial_json"
		block["input"] = object{}
	}
	send("message_start", object{"message": f.message(q, a, []any{}, nil, 1)})
	send("content_block_start", object{"index": 0, "content_block": block})
	send("ping", object{})
	for _, piece := range c.pieces() {
		send("content_block_delta", object{"index": 0, "delta": object{"type": delta, member: piece}})
	}
	send("content_block_stop", object{"index": 0})
	send("message_delta", object{
		"delta": object{"stop_reason": f.stopReason(c), "stop_sequence": nil}, "usage": object{"output_tokens": a.tokens()},
	})
	send("message_stop", object{})
	return events
}

func (anthropic) problem(status int, message string) any {
	kinds := map[int]string{
		400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
		413: "request_too_large", 429: "rate_limit_error", 503: "overloaded_error", 529: "overloaded_error",
	}
	kind, ok := kinds[status]
	if !ok {
		kind = "api_error"
	}
	return object{"type": "error", "error": object{"type": kind, "message": message}}
}
