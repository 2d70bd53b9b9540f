package stream

import (
	"slices"
	"strconv"
)

// maxCalls is how many tool calls of a message get the index that streams give them. No
// message has as many.
const maxCalls = 1000

// chatHolders are what the message of a choice is called: in chats, in their chunks, and in
// completions, where it is only a text.
var chatHolders = []string{"message", "delta", "text"}

// chatAnswer is a whole chat completion as one chunk and the end of the stream, for backends
// that ignore "stream". An answer without a message, or without a choice, is one too, unless it
// is an error.
func chatAnswer(_ *Request, _ int, body []byte, to *events) bool {
	choices := choicesOf(body)
	silent := choices != nil && choices[0] == '[' && !isSet(choices)
	best := len(chatHolders)
	elements(choices, func(start, end int) {
		members(choices[start:end], func(m member) {
			value := choices[start+m.value : start+m.end]
			switch i := slices.Index(chatHolders, string(m.key)); {
			case i < 0:
			case isNull(value):
				silent = true
			case value[0] == '{' || chatHolders[i] == "text" && value[0] == '"':
				best = min(best, i)
			}
		})
	})
	if best == len(chatHolders) {
		if !silent || isError(body) {
			return false
		}
		best = 0
	}
	return to.rewrite(func() *pieces { return chatIn(chatHolders[best]) }, body)
}

// chatPieces is chatAnswer for an answer that is not held.
func chatPieces() *pieces { return chatIn(chatHolders[0]) }

// chatIn makes a chat completion a chunk. Its id, model and usage are the backend's; what is in
// the holder becomes the delta. The delta has no role if it is that of choice 0, which has one
// from the interceptor, and no member that is null except the content. Tool calls get the index
// that they have in streams.
func chatIn(holder string) *pieces {
	zero := false // the choice is number 0: by its place, until it gives its index
	return &pieces{end: done, edit: func(p *pieces, key string, first byte) rewrite {
		depth := len(p.at)
		inChoice := depth >= 3 && p.at[1].key == "choices"
		inMessage := depth >= 4 && inChoice && p.at[3].key == holder
		inCalls := depth >= 5 && inMessage && p.at[4].key == "tool_calls"
		switch {
		case depth == 1 && key == "object":
			return rewrite{replace: `"chat.completion.chunk"`}
		case depth == 1 && key == "error":
			p.failed = p.failed || !p.found && first != 'n'
			return rewrite{drop: first == 'n'}
		case depth == 2 && p.at[1].key == "choices":
			zero = p.at[1].n == 0
		case depth == 3 && inChoice && key == "index":
			zero = first == '0'
		case depth == 3 && inChoice && key == holder:
			p.found = p.found || first == '{'
			switch first {
			case 'n':
				return rewrite{name: `"delta"`, replace: "{}"}
			case '"':
				return rewrite{name: `"delta":{"content"`, after: "}"}
			}
			return rewrite{name: `"delta"`}
		case depth == 3 && inChoice && key == "delta":
			return rewrite{drop: true} // there is one
		case depth == 4 && inMessage:
			return rewrite{drop: key == "role" && zero || key != "content" && first == 'n'}
		case depth == 5 && inCalls && first == '{' && p.at[4].n < maxCalls:
			return rewrite{inject: `"index":` + strconv.Itoa(p.at[4].n)}
		case depth == 6 && inCalls && key == "index":
			return rewrite{drop: p.at[4].n <= maxCalls} // it has one already
		}
		return rewrite{}
	}}
}
