package main

import (
	"encoding/json"
	"net/http"
)

// openAICompletions is POST /v1/completions.
type openAICompletions struct{}

func (openAICompletions) read(_ *http.Request, body []byte) (question, error) {
	var b struct {
		Model         string          `json:"model"`
		Prompt        json.RawMessage `json:"prompt"`
		Stream        bool            `json:"stream"`
		StreamOptions struct {
			IncludeUsage bool `json:"include_usage"`
		} `json:"stream_options"`
		N int `json:"n"`
	}
	err := json.Unmarshal(body, &b)
	return question{model: b.Model, text: firstOf(b.Prompt), stream: b.Stream, usage: b.StreamOptions.IncludeUsage, n: b.N}, err
}

// part is a choice, or a part of one.
func (openAICompletions) part(q question, a answer, usage any, choices ...any) completion {
	return completion{
		ID: "cmpl-" + q.id, Object: "text_completion", Created: a.created.Unix(), Model: q.model,
		Choices: append([]any{}, choices...), Usage: usage,
	}
}

func (openAICompletions) choice(index int, text string, finish any) object {
	return object{"index": index, "text": text, "logprobs": nil, "finish_reason": finish}
}

func (f openAICompletions) whole(q question, a answer) any {
	whole := f.part(q, a, openAIUsage(a))
	for i, c := range a.choices {
		whole.Choices = append(whole.Choices, f.choice(i, c.text, "stop"))
	}
	return whole
}

func (f openAICompletions) events(q question, a answer) []event {
	var events []event
	for i, c := range a.choices {
		for _, token := range c.pieces() {
			events = append(events, event{data: f.part(q, a, nil, f.choice(i, token, nil))})
		}
		events = append(events, event{data: f.part(q, a, nil, f.choice(i, "", "stop"))})
	}
	if q.usage {
		events = append(events, event{data: f.part(q, a, openAIUsage(a))})
	}
	return append(events, event{data: done{}})
}

func (openAICompletions) problem(status int, message string) any {
	return openAIProblem(status, message)
}
