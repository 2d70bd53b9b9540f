package main

import (
	"encoding/json"
	"net/http"
)

// cohere is POST /v2/chat.
type cohere struct{}

func (cohere) read(_ *http.Request, body []byte) (question, error) {
	var b struct {
		Model    string `json:"model"`
		Messages []struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
		Stream bool `json:"stream"`
		Tools  []struct {
			Function tool `json:"function"`
		} `json:"tools"`
		ToolChoice string `json:"tool_choice"`
		Format     struct {
			Type   string          `json:"type"`
			Schema json.RawMessage `json:"json_schema"`
		} `json:"response_format"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return question{}, err
	}
	q := question{model: b.Model, stream: b.Stream}
	answered := false // the tool has been called
	for _, m := range b.Messages {
		if m.Role == "user" {
			q.text = plain(m.Content)
		}
		answered = m.Role == "tool"
	}
	tools := make([]tool, 0, len(b.Tools))
	for _, t := range b.Tools {
		tools = append(tools, t.Function)
	}
	if b.ToolChoice != "NONE" && !answered {
		q.tool = chosen(tools, "")
	}
	if b.Format.Type == "json_object" {
		q.schema = orAnything(b.Format.Schema)
	}
	return q, nil
}

// usage are the counts.
func (cohere) usage(a answer) object {
	counts := object{"input_tokens": a.prompt, "output_tokens": a.tokens()}
	return object{"billed_units": counts, "tokens": counts}
}

// finish is the reason why a choice ends.
func (cohere) finish(c choice) string {
	if c.call != "" {
		return "TOOL_CALL"
	}
	return "COMPLETE"
}

func (cohere) call(q question, c choice, args string) object {
	return object{"id": callID(q, 0), "type": "function", "function": object{"name": c.call, "arguments": args}}
}

func (f cohere) whole(q question, a answer) any {
	c := a.choices[0]
	message := object{"role": "assistant", "content": []any{object{"type": "text", "text": c.text}}}
	if c.call != "" {
		message = object{"role": "assistant", "tool_plan": "I call it.", "tool_calls": []any{f.call(q, c, string(c.args))}}
	}
	return object{"id": q.id, "finish_reason": f.finish(c), "message": message, "usage": f.usage(a)}
}

func (f cohere) events(q question, a answer) []event {
	var events []event
	send := func(kind string, members object) {
		members["type"] = kind
		events = append(events, event{kind: kind, data: members})
	}
	message := func(message object) object { return object{"index": 0, "delta": object{"message": message}} }
	c := a.choices[0]
	start := message(object{"role": "assistant", "content": []any{}, "tool_plan": "", "tool_calls": []any{}, "citations": []any{}})
	start["id"] = q.id
	send("message-start", start)
	if c.call != "" {
		send("tool-plan-delta", message(object{"tool_plan": "I call it."}))
		send("tool-call-start", message(object{"tool_calls": f.call(q, c, "")}))
		for _, piece := range c.pieces() {
			send("tool-call-delta", message(object{"tool_calls": object{"function": object{"arguments": piece}}}))
		}
		send("tool-call-end", object{"index": 0})
	} else {
		send("content-start", message(object{"content": object{"type": "text", "text": ""}}))
		for _, piece := range c.pieces() {
			send("content-delta", message(object{"content": object{"text": piece}}))
		}
		send("content-end", object{"index": 0})
	}
	send("message-end", object{"delta": object{"finish_reason": f.finish(c), "usage": f.usage(a)}})
	return append(events, event{data: done{}})
}

func (cohere) problem(_ int, message string) any { return object{"message": message} }
