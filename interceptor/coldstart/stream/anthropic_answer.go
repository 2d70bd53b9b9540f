package stream

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// anthropicAnswer is a whole message as the events that Anthropic streams it in
// (docs.claude.com, "Streaming messages").
func anthropicAnswer(_ *Request, _ int, body []byte) ([]byte, bool) {
	var message struct {
		Type         string            `json:"type"`
		Content      []json.RawMessage `json:"content"`
		StopReason   json.RawMessage   `json:"stop_reason"`
		StopSequence json.RawMessage   `json:"stop_sequence"`
		Usage        json.RawMessage   `json:"usage"`
	}
	if json.Unmarshal(body, &message) != nil || message.Type != "message" || len(message.Content) > maxItems {
		return nil, false
	}
	start := rewriteObject(body, func(key string, value []byte) (string, []byte) {
		switch key {
		case "content":
			value = []byte("[]")
		case "stop_reason", "stop_sequence":
			value = []byte("null")
		case "usage": // message_delta has the final count
			value = rewriteObject(value, func(key string, value []byte) (string, []byte) {
				if key == "output_tokens" {
					value = []byte("0")
				}
				return key, value
			})
		}
		return key, value
	})
	out := rawEvent("message_start", raw{"type": quote("message_start"), "message": start})
	for i, block := range message.Content {
		index := []byte(strconv.Itoa(i))
		empty, deltas := anthropicBlock(block)
		out = append(out, rawEvent("content_block_start", raw{"type": quote("content_block_start"), "index": index, "content_block": empty})...)
		for _, delta := range deltas {
			out = append(out, rawEvent("content_block_delta", raw{"type": quote("content_block_delta"), "index": index, "delta": delta.bytes()})...)
		}
		out = append(out, rawEvent("content_block_stop", raw{"type": quote("content_block_stop"), "index": index})...)
	}
	end := raw{"type": quote("message_delta"), "delta": raw{"stop_reason": message.StopReason, "stop_sequence": message.StopSequence}.bytes()}
	if end["usage"] = message.Usage; message.Usage == nil {
		end["usage"] = []byte(`{"output_tokens":0}`)
	}
	out = append(out, rawEvent("message_delta", end)...)
	return append(out, rawEvent("message_stop", raw{"type": quote("message_stop")})...), true
}

// anthropicBlock returns a block as it begins, and the deltas that fill it. A block whose
// kind is not streamed in deltas begins complete.
func anthropicBlock(block []byte) (empty []byte, deltas []raw) {
	emptied := func(key string, value []byte) (string, []byte) {
		if isNull(value) {
			return "", nil
		}
		var delta raw
		switch key {
		case "text":
			delta = raw{"type": quote("text_delta"), "text": value}
			value = quote("")
		case "thinking":
			delta = raw{"type": quote("thinking_delta"), "thinking": value}
			value = quote("")
		case "signature":
			delta = raw{"type": quote("signature_delta"), "signature": value}
			value = quote("")
		case "input":
			delta = raw{"type": quote("input_json_delta"), "partial_json": quote(string(appendCompact(nil, value)))}
			value = []byte("{}")
		default:
			return key, value
		}
		deltas = append(deltas, delta)
		return key, value
	}
	return rewriteObject(block, emptied), deltas
}

// maxItems is how many parts a whole answer may have that becomes a stream: each of them
// becomes several events.
const maxItems = 1000

// raw is a JSON object whose values are JSON already. Absent ones are null.
type raw map[string]json.RawMessage

// bytes renders the object, with its values as they are.
func (r raw) bytes() []byte {
	out := []byte{'{'}
	for _, key := range slices.Sorted(maps.Keys(r)) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(out, quote(key)...), ':')
		if r[key] == nil {
			out = append(out, "null"...)
		}
		out = append(out, r[key]...)
	}
	return append(out, '}')
}

// rawEvent is an event with a type line.
func rawEvent(kind string, r raw) []byte {
	return append([]byte("event: "+kind+"\n"), event(r.bytes())...)
}
