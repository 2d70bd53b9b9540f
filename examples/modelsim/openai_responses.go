package main

import (
	"encoding/json"
	"maps"
	"net/http"
)

// openAIResponses is POST /v1/responses.
type openAIResponses struct{}

func (openAIResponses) read(_ *http.Request, body []byte) (question, error) {
	var b struct {
		Model      string          `json:"model"`
		Input      json.RawMessage `json:"input"`
		Stream     bool            `json:"stream"`
		Tools      []tool          `json:"tools"`
		ToolChoice json.RawMessage `json:"tool_choice"`
		Text       struct {
			Format struct {
				Type   string          `json:"type"`
				Schema json.RawMessage `json:"schema"`
			} `json:"format"`
		} `json:"text"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return question{}, err
	}
	q := question{model: b.Model, stream: b.Stream, text: word(b.Input)}
	var items []struct {
		Type    string          `json:"type"`
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	}
	_ = json.Unmarshal(b.Input, &items) // or it is a text
	answered := false                   // the tool has been called
	for _, item := range items {
		if item.Role == "user" {
			q.text = plain(item.Content)
		}
		answered = item.Type == "function_call_output"
	}
	var choice tool
	_ = json.Unmarshal(b.ToolChoice, &choice) // a word names no tool
	if word(b.ToolChoice) != "none" && !answered {
		q.tool = chosen(b.Tools, choice.Name)
	}
	switch b.Text.Format.Type {
	case "json_object":
		q.schema = anything
	case "json_schema":
		q.schema = orAnything(b.Text.Format.Schema)
	}
	return q, nil
}

// item is the output: a message or the call of a function.
func (openAIResponses) item(q question, a answer, status string) object {
	c := a.choices[0]
	if c.call != "" {
		return object{
			"id": "fc_" + q.id, "type": "function_call", "status": status,
			"call_id": callID(q, 0), "name": c.call, "arguments": string(c.args),
		}
	}
	return object{
		"id": "msg_" + q.id, "type": "message", "status": status, "role": "assistant",
		"content": []any{outputText(c.text)},
	}
}

func outputText(text string) object {
	return object{"type": "output_text", "text": text, "annotations": []any{}, "logprobs": []any{}}
}

// response is the Response object.
func (openAIResponses) response(q question, a answer, status string, usage any, output ...any) object {
	return object{
		"id": "resp_" + q.id, "object": "response", "created_at": a.created.Unix(), "status": status,
		"background": false, "error": nil, "incomplete_details": nil, "instructions": nil, "max_output_tokens": nil,
		"model": q.model, "output": append([]any{}, output...), "parallel_tool_calls": true, "previous_response_id": nil,
		"reasoning": object{"effort": nil, "summary": nil}, "store": false, "temperature": 1,
		"text": object{"format": object{"type": "text"}}, "tool_choice": "auto", "tools": []any{}, "top_p": 1,
		"truncation": "disabled", "usage": usage, "user": nil, "metadata": object{},
	}
}

func (f openAIResponses) whole(q question, a answer) any {
	n := a.tokens()
	return f.response(q, a, "completed", object{
		"input_tokens": a.prompt, "input_tokens_details": object{"cached_tokens": 0},
		"output_tokens": n, "output_tokens_details": object{"reasoning_tokens": 0}, "total_tokens": a.prompt + n,
	}, f.item(q, a, "completed"))
}

func (f openAIResponses) events(q question, a answer) []event {
	var events []event
	send := func(kind string, members object) {
		members["type"], members["sequence_number"] = kind, len(events)
		events = append(events, event{kind: kind, data: members})
	}
	// An item is filled by its deltas.
	full, empty := f.item(q, a, "completed"), f.item(q, a, "in_progress")
	part := func(members object) object {
		all := object{"item_id": full["id"], "output_index": 0}
		maps.Copy(all, members)
		return all
	}
	send("response.created", object{"response": f.response(q, a, "in_progress", nil)})
	send("response.in_progress", object{"response": f.response(q, a, "in_progress", nil)})
	if c := a.choices[0]; c.call != "" {
		empty["arguments"] = ""
		send("response.output_item.added", object{"output_index": 0, "item": empty})
		for _, piece := range c.pieces() {
			send("response.function_call_arguments.delta", part(object{"delta": piece}))
		}
		send("response.function_call_arguments.done", part(object{"name": c.call, "arguments": string(c.args)}))
	} else {
		empty["content"] = []any{}
		send("response.output_item.added", object{"output_index": 0, "item": empty})
		send("response.content_part.added", part(object{"content_index": 0, "part": outputText("")}))
		for _, token := range c.pieces() {
			send("response.output_text.delta", part(object{"content_index": 0, "delta": token, "logprobs": []any{}}))
		}
		send("response.output_text.done", part(object{"content_index": 0, "text": c.text, "logprobs": []any{}}))
		send("response.content_part.done", part(object{"content_index": 0, "part": outputText(c.text)}))
	}
	send("response.output_item.done", object{"output_index": 0, "item": full})
	send("response.completed", object{"response": f.whole(q, a)})
	return events
}

func (openAIResponses) problem(status int, message string) any {
	return openAIProblem(status, message)
}
