package stream

import "unicode/utf8"

// anthropicAnswer is a whole message as the events that Anthropic streams it in
// (docs.claude.com, "Streaming messages").
func anthropicAnswer(_ *Request, _ int, body []byte, to *events) bool {
	content, blocks := valueOf(body, "content"), 0
	elements(content, func(int, int) { blocks++ })
	if blocks > maxItems || text(valueOf(body, "type")) != "message" || content != nil && content[0] != '[' && !isNull(content) {
		return false
	}
	add := func(kind string, object raw) { to.add(kind, object.with("type", str(kind))) }
	add("message_start", raw{"message": {json: body, edit: anthropicStart}})
	i := 0
	elements(content, func(start, end int) {
		index, block := number(i), content[start:end]
		add("content_block_start", raw{"index": index, "content_block": {json: block, edit: anthropicEmpty}})
		anthropicDeltas(block, func(delta raw) {
			add("content_block_delta", raw{"index": index, "delta": {object: delta}})
		})
		add("content_block_stop", raw{"index": index})
		i++
	})
	end := raw{"stop_reason": {json: valueOf(body, "stop_reason")}, "stop_sequence": {json: valueOf(body, "stop_sequence")}}
	usage := valueOf(body, "usage")
	if usage == nil {
		usage = []byte(`{"output_tokens":0}`)
	}
	add("message_delta", raw{"delta": {object: end}, "usage": {json: usage}})
	add("message_stop", raw{})
	return true
}

// anthropicStart makes a message one that begins.
func anthropicStart(to []byte, f field) []byte {
	switch f.key {
	case "content":
		return append(to, `"content":[]`...)
	case "stop_reason", "stop_sequence":
		return appendMember(to, f.key, []byte("null"))
	case "usage": // message_delta has the final count
		return appendObject(appendKey(to, f.key), f.value, func(to []byte, f field) []byte {
			if f.key == "output_tokens" {
				return append(to, `"output_tokens":0`...)
			}
			return appendCompact(to, f.text)
		})
	}
	return appendCompact(to, f.text)
}

// anthropicEmpty makes a block one that begins. A block whose kind is not streamed in deltas
// begins complete.
func anthropicEmpty(to []byte, f field) []byte {
	if isNull(f.value) {
		return to
	}
	switch f.key {
	case "text", "thinking", "signature":
		return appendMember(to, f.key, []byte(`""`))
	case "input":
		return append(to, `"input":{}`...)
	}
	return appendCompact(to, f.text)
}

// anthropicDeltas calls add for each delta that fills a block. The input of a tool goes out
// in pieces, since its text is quoted.
func anthropicDeltas(block []byte, add func(delta raw)) {
	members(block, func(m member) {
		v := block[m.value:m.end]
		if isNull(v) {
			return
		}
		switch key := string(m.key); key {
		case "text", "thinking", "signature":
			add(raw{"type": str(key + "_delta"), key: {json: v}})
		case "input":
			for len(v) > 0 {
				end := min(len(v), piece/4)
				for end < len(v) && !utf8.RuneStart(v[end]) {
					end++
				}
				add(raw{"type": str("input_json_delta"), "partial_json": str(string(v[:end]))})
				v = v[end:]
			}
		}
	})
}
