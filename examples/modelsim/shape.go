package main

import "encoding/json"

// shape is how one endpoint writes an answer.
type shape interface {
	prefix() string
	question(req request) string
	whole(req request, a answer) any
	chunks(req request, a answer, choice int) []any
	usage(req request, a answer) any
}

type object = map[string]any

// envelope is around every answer and every chunk.
type envelope struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Model   string `json:"model"`
	Choices []any  `json:"choices"`
	Usage   any    `json:"usage,omitempty"`
}

// wrap keeps an empty list of choices a list.
func wrap(kind string, req request, a answer, choices []any) envelope {
	return envelope{ID: a.id, Object: kind, Created: a.created, Model: req.Model, Choices: append([]any{}, choices...)}
}

func counts(a answer) object {
	n := a.tokens()
	return object{"prompt_tokens": a.prompt, "completion_tokens": n, "total_tokens": a.prompt + n}
}

// chat is /v1/chat/completions.
type chat struct{}

func (chat) prefix() string { return "chatcmpl" }

func (chat) question(req request) string {
	for i := len(req.Messages) - 1; i >= 0; i-- {
		if req.Messages[i].Role == "user" {
			return plain(req.Messages[i].Content)
		}
	}
	return ""
}

func (chat) whole(req request, a answer) any {
	choices := make([]any, 0, len(a.choices))
	for i, c := range a.choices {
		message := object{"role": "assistant", "content": c.text}
		finish := "stop"
		if c.call != "" {
			message["content"] = nil
			message["tool_calls"] = []any{object{
				"id": "call_1", "type": "function", "function": object{"name": c.call, "arguments": c.args},
			}}
			finish = "tool_calls"
		}
		choices = append(choices, object{"index": i, "message": message, "logprobs": nil, "finish_reason": finish})
	}
	whole := wrap("chat.completion", req, a, choices)
	whole.Usage = counts(a)
	return whole
}

func (chat) chunk(req request, a answer, choices ...any) envelope {
	chunk := wrap("chat.completion.chunk", req, a, choices)
	if req.StreamOptions.IncludeUsage {
		chunk.Usage = json.RawMessage("null")
	}
	return chunk
}

func (f chat) chunks(req request, a answer, index int) []any {
	delta := func(delta object, finish any) any {
		return f.chunk(req, a, object{"index": index, "delta": delta, "logprobs": nil, "finish_reason": finish})
	}
	c := a.choices[index]
	if c.call == "" {
		chunks := []any{delta(object{"role": "assistant", "content": ""}, nil)}
		for _, token := range tokens(c.text) {
			chunks = append(chunks, delta(object{"content": token}, nil))
		}
		return append(chunks, delta(object{}, "stop"))
	}
	call := func(rest object) object {
		rest["index"] = 0
		return object{"tool_calls": []any{rest}}
	}
	first := call(object{"id": "call_1", "type": "function", "function": object{"name": c.call, "arguments": ""}})
	first["role"], first["content"] = "assistant", nil
	middle := len(c.args) / 2
	return []any{
		delta(first, nil),
		delta(call(object{"function": object{"arguments": c.args[:middle]}}), nil),
		delta(call(object{"function": object{"arguments": c.args[middle:]}}), nil),
		delta(object{}, "tool_calls"),
	}
}

func (f chat) usage(req request, a answer) any {
	chunk := f.chunk(req, a)
	chunk.Usage = counts(a)
	return chunk
}

// text is /v1/completions.
type text struct{}

func (text) prefix() string { return "cmpl" }

func (text) question(req request) string { return firstPrompt(req.Prompt) }

func (text) whole(req request, a answer) any {
	choices := make([]any, 0, len(a.choices))
	for i, c := range a.choices {
		choices = append(choices, object{"index": i, "text": c.text + c.args, "logprobs": nil, "finish_reason": "stop"})
	}
	whole := wrap("text_completion", req, a, choices)
	whole.Usage = counts(a)
	return whole
}

func (text) chunks(req request, a answer, index int) []any {
	chunk := func(text string, finish any) any {
		return wrap("text_completion", req, a, []any{object{"index": index, "text": text, "logprobs": nil, "finish_reason": finish}})
	}
	c := a.choices[index]
	var chunks []any
	for _, token := range tokens(c.text + c.args) {
		chunks = append(chunks, chunk(token, nil))
	}
	return append(chunks, chunk("", "stop"))
}

func (text) usage(req request, a answer) any {
	chunk := wrap("text_completion", req, a, nil)
	chunk.Usage = counts(a)
	return chunk
}
