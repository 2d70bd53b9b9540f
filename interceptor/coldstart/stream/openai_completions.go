package stream

import (
	"strconv"
	"time"
)

// openAICompletions is OpenAI's older completions API. Its text is the continuation of a prompt,
// so we never show any text.
var openAICompletions = Dialect{
	name:    "openai-completions",
	script:  completionsScript,
	failure: openAIFailure,
	answer:  completionsAnswer,
	pieces:  completionsPieces,
	chunk:   func(value []byte) bool { return choicesOf(value) != nil && !isError(value) },
	plain:   completionsText,
}

func completionsScript(q *Request, _ texts, _ bool, now time.Time) script {
	chunk := completionsChunk(q.model, now, quote(""), "null")
	return script{first: chunk, tick: chunk, sent: 1}
}

// completionsChunk is an event with a text and a reason to finish, both JSON.
func completionsChunk(model string, now time.Time, text []byte, reason string) []byte {
	chunk := []byte(`data: {"id":"","object":"text_completion","created":`)
	chunk = strconv.AppendInt(chunk, now.Unix(), 10)
	chunk = append(append(chunk, `,"model":`...), quote(model)...)
	chunk = append(append(chunk, `,"choices":[{"index":0,"text":`...), text...)
	return append(chunk, `,"logprobs":null,"finish_reason":`+reason+"}]}\n\n"...)
}

// completionsText is a text as a completion.
func completionsText(q *Request, now time.Time) plain {
	return plain{
		delta: func(text []byte) []byte { return completionsChunk(q.model, now, text, "null") },
		end:   append(completionsChunk(q.model, now, quote(""), `"stop"`), done...),
	}
}

// completionsAnswer is a whole completion as one chunk: they have the same shape.
func completionsAnswer(_ *Request, _ int, body []byte, to *events) bool {
	if choices := valueOf(body, "choices"); choices == nil || choices[0] != '[' {
		return false
	}
	return to.rewrite(completionsPieces, body)
}

// completionsPieces keeps a completion as it is.
func completionsPieces() *pieces {
	return &pieces{end: done, edit: func(p *pieces, key string, first byte) rewrite {
		p.found = p.found || len(p.at) == 1 && key == "choices" && first == '['
		return rewrite{drop: len(p.at) == 1 && key == "error" && first == 'n'}
	}}
}
