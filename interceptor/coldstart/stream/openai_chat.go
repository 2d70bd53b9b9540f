package stream

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// openAIChat is OpenAI's chat completions API, which most model servers speak.
var openAIChat = Dialect{
	name:     "openai-chat",
	script:   chatScript,
	failure:  openAIFailure,
	answer:   chatAnswer,
	pieces:   chatPieces,
	chunk:    isChatChunk,
	plain:    chatText,
	dropRole: true,
}

// isChatChunk reports whether a JSON value is a chunk of a chat, not a whole one.
func isChatChunk(value []byte) (is bool) {
	choices := choicesOf(value)
	elements(choices, func(start, end int) {
		is = is || valueOf(choices[start:end], "delta") != nil
	})
	return is
}

// choicesOf returns the choices of an answer.
func choicesOf(value []byte) []byte { return valueOf(value, "choices") }

// chatText is a text as a chat.
func chatText(q *Request, now time.Time) plain {
	const open = `"finish_reason":null`
	last := chatChunk(q.model, now, false, nil, nil)
	return plain{
		delta: func(text []byte) []byte { return chatChunk(q.model, now, false, text, nil) },
		end:   append(bytes.Replace(last, []byte(open), []byte(`"finish_reason":"stop"`), 1), done...),
	}
}

// comment is a keepalive that no client shows. One newline, not two: the blank
// line after a comment ends the stream for openai-go before 3.43.
const comment = ": keepalive\n"

// done ends a stream of OpenAI's older APIs.
const done = "data: [DONE]\n\n"

func chatScript(q *Request, t texts, visible bool, now time.Time) script {
	chunk := func(role bool, content, reasoning []byte) []byte {
		return chatChunk(q.model, now, role, content, reasoning)
	}
	if !visible {
		empty := chunk(false, nil, nil)
		if q.needs&dataOnly != 0 {
			return script{first: chunk(true, nil, nil), tick: empty, sent: 1}
		}
		return script{
			first: []byte(comment),
			tick:  []byte(comment),
			data: func(n int) []byte {
				if n == 0 {
					return chunk(true, nil, nil)
				}
				return empty
			},
			endComments: true,
		}
	}
	show := func(role bool, text []byte) []byte {
		if t.reasoning {
			return chunk(role, nil, text)
		}
		return chunk(role, text, nil)
	}
	s := script{first: show(true, t.message), sent: 1}
	if string(t.keepalive) == `""` {
		s.tick = chunk(false, nil, nil)
	} else {
		s.tick = show(false, t.keepalive)
	}
	if t.separator != nil {
		s.separator = show(false, t.separator)
	}
	return s
}

// chatChunk is one event of the stream. The id is empty because openai-go drops
// every chunk whose id differs from the first one's, and others report an
// invented id. There is always one choice: clients read choices[0] unasked.
// Texts are JSON strings.
func chatChunk(model string, now time.Time, role bool, content, reasoning []byte) []byte {
	b := append([]byte(nil), `data: {"id":"","object":"chat.completion.chunk","created":`...)
	b = strconv.AppendInt(b, now.Unix(), 10)
	b = append(b, `,"model":`...)
	b = append(b, quote(model)...)
	b = append(b, `,"choices":[{"index":0,"delta":{`...)
	if role {
		b = append(b, `"role":"assistant",`...)
	}
	b = append(b, `"content":`...)
	if content == nil {
		content = []byte(`""`)
	}
	b = append(b, content...)
	if reasoning != nil {
		b = append(b, `,"reasoning_content":`...)
		b = append(b, reasoning...)
	}
	return append(b, "},\"finish_reason\":null}]}\n\n"...)
}

// openAIFailure is an error event: SDKs raise on the member "error". [DONE] does not follow,
// as azopenai takes it for the end of a complete answer.
func openAIFailure(_ *Request, p *problem, _ int, _ time.Time) []byte {
	return event(openAIProblem(p))
}

// openAIProblem is OpenAI's error object.
func openAIProblem(p *problem) []byte {
	return extended(marshal(struct {
		Error json.RawMessage `json:"error"`
	}{openAIObject(p)}), p.document)
}

// openAIObject is what stands in it.
func openAIObject(p *problem) []byte {
	return extended(marshal(struct {
		Message string          `json:"message"`
		Type    string          `json:"type"`
		Param   json.RawMessage `json:"param"`
		Code    json.RawMessage `json:"code"`
	}{p.message, openAIType(p), p.param, p.codeOrStatus()}), p.object)
}

// openAIType is the error's type: the backend's, or by class of status.
func openAIType(p *problem) string {
	switch {
	case p.kind != "":
		return p.kind
	case p.status < 500:
		return "invalid_request_error"
	}
	return "server_error"
}

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
// the holder becomes the delta. Choice 0 has its role from the interceptor, and gets no other.
// Members that are null are left out, except the content. Tool calls get the index that they have
// in streams.
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
