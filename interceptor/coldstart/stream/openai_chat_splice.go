package stream

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// maxDelta bounds the lines that are looked into for a role. The first deltas of
// an answer are short; a longer line ends the search.
const maxDelta = 16 << 10

// roleFilter takes the role out of the first delta of the choice for which we
// have sent one: openai-python's helper joins the roles of all deltas. Choices
// other than 0 keep theirs, we sent none for them. Everything else passes as it
// is, and once the delta was seen nothing is looked at any more.
type roleFilter struct {
	line  []byte // the beginning of a line whose end has not come
	ended bool
}

func (f *roleFilter) next(b []byte) []byte {
	if f.ended {
		return b
	}
	var out []byte
	for !f.ended {
		end := bytes.IndexAny(b, "\r\n") + 1 // a line may end with either, or both
		if end == 0 {
			end = len(b)
		}
		f.line = append(f.line, b[:end]...)
		b = b[end:]
		switch {
		case len(f.line) > maxDelta:
			f.ended = true
			out = append(out, f.rest()...)
		case len(f.line) > 0 && (f.line[len(f.line)-1] == '\n' || f.line[len(f.line)-1] == '\r'):
			line, found := withoutRole(f.line)
			f.ended = found
			out = append(out, line...)
			f.line = f.line[:0]
		default:
			return out // the rest of the line is yet to come
		}
	}
	return append(out, b...)
}

func (f *roleFilter) rest() []byte {
	rest := f.line
	f.line = nil
	return rest
}

// withoutRole is a line of the stream without the role of choice 0, and whether
// it has a delta of that choice at all.
func withoutRole(line []byte) ([]byte, bool) {
	document, isData := bytes.CutPrefix(line, []byte("data:"))
	if !isData || !json.Valid(document) {
		return line, false
	}
	role, found := roleOf(document)
	if role.end == 0 {
		return line, found
	}
	at := len(line) - len(document)
	out := append([]byte(nil), line[:at+role.start]...)
	return append(out, line[at+role.end:]...), found
}

// span is a part of a text.
type span struct{ start, end int }

// roleOf finds the role, with one comma, in the delta of choice 0, and says
// whether there is such a delta.
func roleOf(chunk []byte) (role span, found bool) {
	members(chunk, func(m member) {
		if string(m.key) != "choices" {
			return
		}
		choices := chunk[m.value:m.end]
		elements(choices, func(start, end int) {
			delta, ok := deltaOf(choices[start:end])
			if !ok || found {
				return
			}
			found = true
			at := m.value + start + delta.start
			if r := memberSpan(choices[start+delta.start:start+delta.end], "role"); r.end != 0 {
				role = span{at + r.start, at + r.end}
			}
		})
	})
	return role, found
}

// deltaOf finds the delta of a choice, if the choice is number 0.
func deltaOf(choice []byte) (delta span, ok bool) {
	members(choice, func(m member) {
		if string(m.key) == "delta" {
			delta, ok = span{m.value, m.end}, choice[m.value] == '{'
		}
	})
	return delta, ok && isFirst(choice)
}

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

// memberSpan is where an object has a member, with the comma that parts it from
// its neighbor; the zero span if it has none.
func memberSpan(object []byte, key string) (at span) {
	before := 0 // the end of the member before, if there is one
	members(object, func(m member) {
		if string(m.key) == key {
			at = span{m.start, m.end}
			if next := skipSpace(object, m.end); object[next] == ',' {
				at.end = skipSpace(object, next+1)
			} else if before != 0 {
				at.start = before
			}
		}
		before = m.end
	})
	return at
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

// appendDelta appends a message as a delta: without the role for the choice that
// has one by us, tool calls with their index, and nothing that is null but the content.
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
