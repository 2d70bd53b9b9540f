package main

// shape is how one endpoint writes an answer.
type shape interface {
	prefix() string
	question(req request) string
	whole(req request, a answer) any
	chunks(req request, a answer, choice int) []any
	usage(req request, a answer) any
}

type object = map[string]any

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
	return object{
		"id": a.id, "object": "chat.completion", "created": a.created, "model": req.Model,
		"choices": choices, "usage": counts(a),
	}
}

func (chat) chunk(req request, a answer, choices ...any) object {
	chunk := object{
		"id": a.id, "object": "chat.completion.chunk", "created": a.created, "model": req.Model,
		"choices": append([]any{}, choices...),
	}
	if req.StreamOptions.IncludeUsage {
		chunk["usage"] = nil
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
	chunk["usage"] = counts(a)
	return chunk
}

// text is /v1/completions.
type text struct{}

func (text) prefix() string { return "cmpl" }

func (text) question(req request) string { return firstPrompt(req.Prompt) }

func (text) object(req request, a answer, choices ...any) object {
	return object{
		"id": a.id, "object": "text_completion", "created": a.created, "model": req.Model,
		"choices": append([]any{}, choices...),
	}
}

func (f text) whole(req request, a answer) any {
	choices := make([]any, 0, len(a.choices))
	for i, c := range a.choices {
		choices = append(choices, object{"index": i, "text": c.text + c.args, "logprobs": nil, "finish_reason": "stop"})
	}
	whole := f.object(req, a, choices...)
	whole["usage"] = counts(a)
	return whole
}

func (f text) chunks(req request, a answer, index int) []any {
	c := a.choices[index]
	var chunks []any
	for _, token := range tokens(c.text + c.args) {
		chunks = append(chunks, f.object(req, a, object{"index": index, "text": token, "logprobs": nil, "finish_reason": nil}))
	}
	return append(chunks, f.object(req, a, object{"index": index, "text": "", "logprobs": nil, "finish_reason": "stop"}))
}

func (f text) usage(req request, a answer) any {
	chunk := f.object(req, a)
	chunk["usage"] = counts(a)
	return chunk
}
