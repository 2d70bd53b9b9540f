package main

import (
	"encoding/json"
	"net/http"
	"time"
)

// ollama is POST /api/chat, and POST /api/generate.
type ollama struct{ generate bool }

func (ollama) read(_ *http.Request, body []byte) (question, error) {
	var b struct {
		Model    string `json:"model"`
		Prompt   string `json:"prompt"`
		Messages []struct {
			Role    string `json:"role"`
			Content string `json:"content"`
		} `json:"messages"`
		Stream *bool `json:"stream"`
		Tools  []struct {
			Function tool `json:"function"`
		} `json:"tools"`
		Format json.RawMessage `json:"format"` // "json" or a schema
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return question{}, err
	}
	q := question{model: b.Model, text: b.Prompt, stream: b.Stream == nil || *b.Stream}
	answered := false // the tool has been called
	for _, m := range b.Messages {
		if m.Role == "user" {
			q.text = m.Content
		}
		answered = m.Role == "tool"
	}
	if len(b.Tools) > 0 && !answered {
		q.tool = &b.Tools[0].Function
	}
	switch {
	case len(b.Format) > 0 && b.Format[0] == '{':
		q.schema = b.Format
	case word(b.Format) == "json":
		q.schema = anything
	}
	return q, nil
}

// line is one line of a stream.
func (f ollama) line(q question, a answer, text string, calls []any) object {
	line := object{"model": q.model, "created_at": a.created.Format(time.RFC3339Nano), "done": false}
	if f.generate {
		line["response"] = text
		return line
	}
	message := object{"role": "assistant", "content": text}
	if calls != nil {
		message["tool_calls"] = calls
	}
	line["message"] = message
	return line
}

// end makes a line the last one.
func (ollama) end(line object, a answer) object {
	line["done"], line["done_reason"] = true, "stop"
	line["total_duration"], line["load_duration"] = 2_000_000, 1_000_000
	line["prompt_eval_count"], line["prompt_eval_duration"] = a.prompt, 500_000
	line["eval_count"], line["eval_duration"] = a.tokens(), 500_000
	return line
}

// calls are the tool calls of a choice.
func (ollama) calls(c choice) []any {
	if c.call == "" {
		return nil
	}
	return []any{object{"function": object{"name": c.call, "arguments": c.args}}}
}

func (f ollama) whole(q question, a answer) any {
	c := a.choices[0]
	return f.end(f.line(q, a, c.text, f.calls(c)), a)
}

func (f ollama) events(q question, a answer) []event {
	var events []event
	c := a.choices[0]
	if c.call != "" {
		events = append(events, event{data: f.line(q, a, "", f.calls(c))})
	} else {
		for _, token := range c.pieces() {
			events = append(events, event{data: f.line(q, a, token, nil)})
		}
	}
	return append(events, event{data: f.end(f.line(q, a, "", nil), a)})
}

func (ollama) problem(_ int, message string) any { return object{"error": message} }
