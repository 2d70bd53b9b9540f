package stream

import (
	"encoding/json"
	"time"
)

// openAIResponses is OpenAI's Responses API. A typed event before response.created breaks
// openai-node's helper. So there are only comments until the event timers of clients come near;
// then the response is created.
var openAIResponses = Dialect{
	name:    "openai-responses",
	script:  responsesScript,
	failure: responsesFailure,
	answer:  responsesAnswer,
}

func responsesScript(q *Request, _ texts, _ bool, now time.Time) script {
	s := script{first: []byte(comment), tick: []byte(comment)}
	if q.background || q.needs&commentsOnly != 0 {
		// A client may fetch a background response by its id, which is not known yet.
		return s
	}
	s.data = func(n int) []byte {
		kind := "response.in_progress"
		if n == 0 {
			kind = "response.created"
		}
		return typedEvent(kind, responseEvent{Type: kind, Sequence: n, Response: newResponse(q, now, "in_progress", nil)})
	}
	return s
}

// responsesFailure is an error event, in the flat shape of the API and in the nested one that
// SDKs read. The response as a failed one follows.
func responsesFailure(q *Request, p *problem, sent int, opened time.Time) []byte {
	code := p.codeOrStatus()
	b := typedEvent("error", struct {
		Type     string          `json:"type"`
		Code     json.RawMessage `json:"code"`
		Message  string          `json:"message"`
		Param    json.RawMessage `json:"param"`
		Sequence int             `json:"sequence_number"`
		Error    json.RawMessage `json:"error"`
	}{"error", code, p.message, p.param, sent, openAIObject(p)})
	return append(b, typedEvent("response.failed", responseEvent{
		Type:     "response.failed",
		Sequence: sent + 1,
		Response: newResponse(q, opened, "failed", &responseError{Code: code, Message: p.message}),
	})...)
}

// responseEvent is an event that carries the whole response.
type responseEvent struct {
	Type     string         `json:"type"`
	Sequence int            `json:"sequence_number"`
	Response responseObject `json:"response"`
}

type responseError struct {
	Code    json.RawMessage `json:"code"`
	Message string          `json:"message"`
}

// responseObject is the Response object with every member that SDKs validate.
type responseObject struct {
	ID                 string         `json:"id"`
	Object             string         `json:"object"`
	CreatedAt          int64          `json:"created_at"`
	Status             string         `json:"status"`
	Background         bool           `json:"background"`
	Error              *responseError `json:"error"`
	IncompleteDetails  *string        `json:"incomplete_details"`
	Instructions       *string        `json:"instructions"`
	MaxOutputTokens    *int           `json:"max_output_tokens"`
	Model              string         `json:"model"`
	Output             []string       `json:"output"`
	ParallelToolCalls  bool           `json:"parallel_tool_calls"`
	PreviousResponseID *string        `json:"previous_response_id"`
	Reasoning          struct {
		Effort  *string `json:"effort"`
		Summary *string `json:"summary"`
	} `json:"reasoning"`
	Store       bool     `json:"store"`
	Temperature *float64 `json:"temperature"`
	Text        struct {
		Format struct {
			Type string `json:"type"`
		} `json:"format"`
	} `json:"text"`
	ToolChoice string   `json:"tool_choice"`
	Tools      []string `json:"tools"`
	TopP       *float64 `json:"top_p"`
	Truncation string   `json:"truncation"`
	Usage      *string  `json:"usage"`
	User       *string  `json:"user"`
	Metadata   struct{} `json:"metadata"`
}

// newResponse is a response that has no output. Its id is empty: the backend
// gives it one, and clients report an invented one.
func newResponse(q *Request, opened time.Time, status string, failed *responseError) responseObject {
	r := responseObject{
		Object:            "response",
		CreatedAt:         opened.Unix(),
		Status:            status,
		Background:        q.background,
		Error:             failed,
		Model:             q.model,
		Output:            []string{},
		ParallelToolCalls: true,
		ToolChoice:        "auto",
		Tools:             []string{},
		Truncation:        "disabled",
	}
	r.Text.Format.Type = "text"
	return r
}

// typedEvent is an event with a type line.
func typedEvent(kind string, document any) []byte {
	return append([]byte("event: "+kind+"\n"), event(marshal(document))...)
}
