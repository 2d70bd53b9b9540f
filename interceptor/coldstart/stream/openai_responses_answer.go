package stream

import (
	"encoding/json"
	"strconv"
)

// responsesAnswer is a whole response as the events that OpenAI streams it in (API
// reference, "Streaming events").
func responsesAnswer(_ *Request, sent int, body []byte) ([]byte, bool) {
	var response struct {
		Object string            `json:"object"`
		Status string            `json:"status"`
		Output []json.RawMessage `json:"output"`
	}
	if json.Unmarshal(body, &response) != nil || response.Object != "response" || len(response.Output) > maxItems {
		return nil, false
	}
	end := "response.completed"
	switch response.Status {
	case "", "completed":
	case "incomplete", "failed", "queued", "in_progress":
		end = "response." + response.Status
	default: // cancelled, and what is not known
		return nil, false
	}
	w := responseEvents{sequence: sent}
	begun := rewriteObject(body, func(key string, value []byte) (string, []byte) {
		switch key {
		case "status":
			value = quote("in_progress")
		case "output":
			value = []byte("[]")
		case "usage", "error", "incomplete_details", "completed_at":
			value = []byte("null")
		}
		return key, value
	})
	w.add("response.created", raw{"response": begun})
	w.add("response.in_progress", raw{"response": begun})
	for i, item := range response.Output {
		w.item(i, item)
	}
	w.add(end, raw{"response": appendCompact(nil, body)})
	return w.out, true
}

// responseEvents writes events with their sequence numbers.
type responseEvents struct {
	out      []byte
	sequence int
}

func (w *responseEvents) add(kind string, members raw) {
	members["type"] = quote(kind)
	members["sequence_number"] = []byte(strconv.Itoa(w.sequence))
	w.sequence++
	w.out = append(w.out, rawEvent(kind, members)...)
}

// item writes one item of the output: a message part by part, the arguments of a call, and
// anything else at once.
func (w *responseEvents) item(i int, item []byte) {
	index := json.RawMessage(strconv.Itoa(i))
	var fields struct {
		Type      string          `json:"type"`
		ID        json.RawMessage `json:"id"`
		Content   json.RawMessage `json:"content"`
		Arguments json.RawMessage `json:"arguments"`
		Name      json.RawMessage `json:"name"`
	}
	if json.Unmarshal(item, &fields) != nil {
		return // an item that is no object has no events
	}
	added := rewriteObject(item, func(key string, value []byte) (string, []byte) {
		switch {
		case key == "status":
			value = quote("in_progress")
		case key == "content" && fields.Type == "message":
			value = []byte("[]")
		case key == "arguments" && fields.Type == "function_call":
			value = quote("")
		}
		return key, value
	})
	w.add("response.output_item.added", raw{"output_index": index, "item": added})
	switch fields.Type {
	case "message":
		j := 0
		elements(fields.Content, func(start, end int) {
			w.part(raw{"item_id": fields.ID, "output_index": index, "content_index": json.RawMessage(strconv.Itoa(j))}, fields.Content[start:end])
			j++
		})
	case "function_call":
		at := raw{"item_id": fields.ID, "output_index": index}
		w.add("response.function_call_arguments.delta", at.with("delta", fields.Arguments))
		w.add("response.function_call_arguments.done", at.with("arguments", fields.Arguments).with("name", fields.Name))
	}
	w.add("response.output_item.done", raw{"output_index": index, "item": appendCompact(nil, item)})
}

// part writes one part of a message.
func (w *responseEvents) part(at raw, part []byte) {
	var text json.RawMessage
	kind := ""
	added := rewriteObject(part, func(key string, value []byte) (string, []byte) {
		switch key {
		case "text":
			kind, text, value = "output_text", value, quote("")
		case "refusal":
			kind, text, value = "refusal", value, quote("")
		}
		return key, value
	})
	w.add("response.content_part.added", at.with("part", added))
	switch kind {
	case "output_text":
		w.add("response.output_text.delta", at.with("delta", text).with("logprobs", []byte("[]")))
		w.add("response.output_text.done", at.with("text", text).with("logprobs", []byte("[]")))
	case "refusal":
		w.add("response.refusal.delta", at.with("delta", text))
		w.add("response.refusal.done", at.with("refusal", text))
	}
	w.add("response.content_part.done", at.with("part", appendCompact(nil, part)))
}

// with returns the object with one more member.
func (r raw) with(key string, value []byte) raw {
	more := raw{key: value}
	for k, v := range r {
		more[k] = v
	}
	return more
}
