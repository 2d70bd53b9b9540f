package stream

import "strconv"

// isFirst says that a choice is number 0; one without an index is the only one.
func isFirst(choice []byte) bool {
	first := true
	members(choice, func(m member) {
		if string(m.key) == "index" {
			first = string(choice[m.value:m.end]) == "0"
		}
	})
	return first
}

// chatAnswer is a whole chat completion as one chunk and the end of the stream,
// for backends that ignore "stream". Its id, model and usage are the backend's;
// the message becomes the delta. An answer without a message, or without a choice, is one too,
// unless it is an error.
func chatAnswer(_ *Request, _ int, body []byte, to *events) bool {
	said, silent, failed := false, false, false
	to.begin("")
	to.out = appendObject(to.out, body, func(to []byte, f field) []byte {
		switch f.key {
		case "error":
			failed = isSet(f.value)
		case "object":
			return append(to, `"object":"chat.completion.chunk"`...)
		case "choices":
			silent = f.value[0] == '[' && !isSet(f.value)
			return appendArray(appendKey(to, f.key), f.value, func(to []byte, _ int, choice []byte) []byte {
				first := isFirst(choice) // once: a message may be there any number of times
				return appendObject(to, choice, func(to []byte, f field) []byte {
					switch {
					case f.key != "message":
						return appendCompact(to, f.text)
					case isNull(f.value):
						silent = true
						return append(to, `"delta":{}`...)
					}
					said = said || f.value[0] == '{'
					return appendDelta(appendKey(to, "delta"), f.value, first)
				})
			})
		}
		return appendCompact(to, f.text)
	})
	if !said && (!silent || failed) {
		return false
	}
	to.end()
	to.text(done)
	return true
}

// maxCalls is how many tool calls of a message get the index that streams give them. No
// message has as many.
const maxCalls = 1000

// appendDelta appends a message as a delta. It omits the role for the choice that has one from
// us, adds an index to tool calls, and drops null members except the content.
func appendDelta(to, message []byte, first bool) []byte {
	return appendObject(to, message, func(to []byte, f field) []byte {
		switch {
		case f.key == "role" && first, f.key != "content" && isNull(f.value):
			return to
		case f.key == "tool_calls":
			return appendArray(appendKey(to, f.key), f.value, appendCall)
		}
		return appendCompact(to, f.text)
	})
}

// appendCall appends the i-th tool call.
func appendCall(to []byte, i int, call []byte) []byte {
	if i >= maxCalls || call[0] != '{' || valueOf(call, "index") != nil {
		return appendCompact(to, call)
	}
	to = append(to, `{"index":`...)
	to = strconv.AppendInt(to, int64(i), 10)
	if isSet(call) {
		to = append(to, ',')
	}
	return appendCompact(to, call[1:])
}
