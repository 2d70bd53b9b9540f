package stream

import "strconv"

// maxCalls is how many tool calls of a message get the index that streams give them. No
// message has as many.
const maxCalls = 1000

// chatAnswer is a whole chat completion as one chunk and the end of the stream, for backends
// that ignore "stream". An answer without a message, or without a choice, is one too, unless it
// is an error.
func chatAnswer(_ *Request, _ int, body []byte, to *events) bool {
	said, silent := false, false
	choices := choicesOf(body)
	elements(choices, func(start, end int) {
		members(choices[start:end], func(m member) {
			if string(m.key) == "message" {
				value := choices[start+m.value : start+m.end]
				said, silent = said || value[0] == '{', silent || isNull(value)
			}
		})
	})
	silent = silent || choices != nil && choices[0] == '[' && !isSet(choices)
	if !said && (!silent || isError(body)) {
		return false
	}
	return to.rewrite(chatPieces, body)
}

// chatPieces makes a chat completion a chunk. Its id, model and usage are the backend's; the
// message becomes the delta. The delta has no role if it is that of choice 0, which has one from
// the interceptor, and no member that is null except the content. Tool calls get the index that
// they have in streams.
func chatPieces() *pieces {
	first0 := false // the choice is number 0: by its place until it has told its index
	return &pieces{end: done, edit: func(p *pieces, key string, first byte) rewrite {
		depth := len(p.at)
		inChoice := depth >= 3 && p.at[1].key == "choices"
		inMessage := depth >= 4 && inChoice && p.at[3].key == "message"
		inCalls := depth >= 5 && inMessage && p.at[4].key == "tool_calls"
		switch {
		case depth == 1 && key == "object":
			return rewrite{replace: `"chat.completion.chunk"`}
		case depth == 1 && key == "error":
			p.failed = p.failed || !p.found && first != 'n'
		case depth == 2 && p.at[1].key == "choices":
			first0 = p.at[1].n == 0
		case depth == 3 && inChoice && key == "index":
			first0 = first == '0'
		case depth == 3 && inChoice && key == "message":
			p.found = p.found || first == '{'
			if first == 'n' {
				return rewrite{name: `"delta"`, replace: "{}"}
			}
			return rewrite{name: `"delta"`}
		case depth == 4 && inMessage:
			return rewrite{drop: key == "role" && first0 || key != "content" && first == 'n'}
		case depth == 5 && inCalls && first == '{' && p.at[4].n < maxCalls:
			return rewrite{inject: `"index":` + strconv.Itoa(p.at[4].n)}
		case depth == 6 && inCalls && key == "index":
			return rewrite{drop: p.at[4].n <= maxCalls} // it has one already
		}
		return rewrite{}
	}}
}
