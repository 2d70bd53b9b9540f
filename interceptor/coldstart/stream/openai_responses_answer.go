package stream

import "strconv"

// responsesAnswer is a whole response as the events that OpenAI streams it in (API
// reference, "Streaming events").
func responsesAnswer(_ *Request, sent int, body []byte, to *events) bool {
	end := "response.completed"
	switch status := text(valueOf(body, "status")); status {
	case "", "completed":
	case "incomplete", "failed", "queued", "in_progress":
		end = "response." + status
	default: // canceled, and unknown values
		return false
	}
	output := valueOf(body, "output")
	if text(valueOf(body, "object")) != "response" || output != nil && output[0] != '[' && !isNull(output) {
		return false
	}
	w := responseEvents{to: to, sequence: sent, last: sent + 2*maxItems}
	begun := value{json: body, edit: func(to []byte, f field) []byte {
		switch f.key {
		case "status":
			return append(to, `"status":"in_progress"`...)
		case "output":
			return append(to, `"output":[]`...)
		case "usage", "error", "incomplete_details", "completed_at":
			return appendMember(to, f.key, []byte("null"))
		}
		return appendCompact(to, f.text)
	}}
	w.add("response.created", raw{"response": begun})
	w.add("response.in_progress", raw{"response": begun})
	i := 0
	elements(output, func(start, end int) {
		if w.sequence < w.last { // the last event has them all
			w.item(i, output[start:end])
		}
		i++
	})
	w.add(end, raw{"response": {json: body}})
	return true
}

// responseEvents writes events with their sequence numbers.
type responseEvents struct {
	to       *events
	sequence int
	last     int // where items end
}

func (w *responseEvents) add(kind string, members raw) {
	members["type"] = str(kind)
	members["sequence_number"] = number(w.sequence)
	w.sequence++
	w.to.add(kind, members)
}

// number is a number as a value.
func number(n int) value { return value{json: []byte(strconv.Itoa(n))} }

// item writes one item of the output: a message part by part, the arguments of a call, and
// anything else at once. An item that is not an object has no events.
func (w *responseEvents) item(i int, item []byte) {
	if item[0] != '{' {
		return
	}
	kind := text(valueOf(item, "type"))
	added := value{json: item, edit: func(to []byte, f field) []byte {
		switch {
		case f.key == "status":
			return append(to, `"status":"in_progress"`...)
		case f.key == "content" && kind == "message":
			return append(to, `"content":[]`...)
		case f.key == "arguments" && kind == "function_call":
			return append(to, `"arguments":""`...)
		}
		return appendCompact(to, f.text)
	}}
	w.add("response.output_item.added", raw{"output_index": number(i), "item": added})
	at := raw{"item_id": {json: valueOf(item, "id")}, "output_index": number(i)}
	switch kind {
	case "message":
		j, content := 0, valueOf(item, "content")
		elements(content, func(start, end int) {
			if w.sequence >= w.last {
				return
			}
			w.part(at.with("content_index", number(j)), content[start:end])
			j++
		})
	case "function_call":
		arguments := value{json: valueOf(item, "arguments")}
		w.add("response.function_call_arguments.delta", at.with("delta", arguments))
		w.add("response.function_call_arguments.done", at.with("arguments", arguments).with("name", value{json: valueOf(item, "name")}))
	}
	w.add("response.output_item.done", raw{"output_index": number(i), "item": {json: item}})
}

// part writes one part of a message.
func (w *responseEvents) part(at raw, part []byte) {
	var said value
	kind := ""
	members(part, func(m member) {
		switch string(m.key) {
		case "text", "refusal":
			kind, said = string(m.key), value{json: part[m.value:m.end]}
		}
	})
	w.add("response.content_part.added", at.with("part", value{json: part, edit: func(to []byte, f field) []byte {
		if f.key == "text" || f.key == "refusal" {
			return appendMember(to, f.key, []byte(`""`))
		}
		return appendCompact(to, f.text)
	}}))
	none := value{json: []byte("[]")}
	switch kind {
	case "text":
		w.add("response.output_text.delta", at.with("delta", said).with("logprobs", none))
		w.add("response.output_text.done", at.with("text", said).with("logprobs", none))
	case "refusal":
		w.add("response.refusal.delta", at.with("delta", said))
		w.add("response.refusal.done", at.with("refusal", said))
	}
	w.add("response.content_part.done", at.with("part", value{json: part}))
}
