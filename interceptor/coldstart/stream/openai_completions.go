package stream

import (
	"strconv"
	"time"
)

// openAICompletions is OpenAI's older completions API. Its text is the
// continuation of a prompt, so nothing of ours is ever shown.
var openAICompletions = Dialect{
	name:    "openai-completions",
	script:  completionsScript,
	failure: openAIFailure,
	answer:  completionsAnswer,
	pieces:  completionsPieces,
}

func completionsScript(q *Request, _ texts, _ bool, now time.Time) script {
	chunk := []byte(`data: {"id":"","object":"text_completion","created":`)
	chunk = strconv.AppendInt(chunk, now.Unix(), 10)
	chunk = append(append(chunk, `,"model":`...), quote(q.model)...)
	chunk = append(chunk, `,"choices":[{"index":0,"text":"","logprobs":null,"finish_reason":null}]}`+"\n\n"...)
	return script{first: chunk, tick: chunk, sent: 1}
}

// completionsAnswer is a whole completion as one chunk: they have the same shape.
func completionsAnswer(_ *Request, _ int, body []byte, to *events) bool {
	if choices := valueOf(body, "choices"); choices == nil || choices[0] != '[' {
		return false
	}
	to.whole(body)
	to.text(done)
	return true
}
