package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// client is one API of one SDK.
type client struct {
	name string
	api  api
	// stream asks a question, given as the JSON of the API, and gathers the
	// answer, with the SDK's own accumulator if it has one. The base is the URL
	// of the host.
	stream func(ctx context.Context, via *http.Client, base, question string) (said, error)
	// explain is what the SDK tells about an error.
	explain func(err error) failure
	// variants that the SDK can ask in; nil is every one of the API.
	variants []string
	hides    hides
}

// hides is what the SDK keeps from its user.
type hides struct {
	id, reasoning, finish, tokens bool
	kind, code, message           bool // of an error
	cut                           bool // that the answer was cut
	leaving                       bool // that the user's own context ended
}

// said is an answer as a user of the SDK has it in the end.
type said struct {
	id        string
	texts     []string // of each choice
	reasoning string
	calls     []call
	finish    string
	tokens    int64 // of the answer and the question, or of the answer
}

// call is the call of a tool.
type call struct{ name, args string }

// failure is what an SDK tells about an error.
type failure struct {
	status        int // of the response, as far as the SDK knows
	message, code string
	kind          string // the member "type"
}

// errorObject reads the error that an SDK shows as JSON in its text: OpenAI's
// object, or Anthropic's around it.
func errorObject(text string) failure {
	type object struct {
		Message string          `json:"message"`
		Type    string          `json:"type"`
		Code    json.RawMessage `json:"code"`
	}
	var e struct {
		object
		Error *object `json:"error"`
	}
	start := strings.IndexByte(text, '{')
	if start < 0 || json.NewDecoder(strings.NewReader(text[start:])).Decode(&e) != nil {
		return failure{message: text}
	}
	if e.Error != nil {
		e.object = *e.Error
	}
	return failure{message: e.Message, kind: e.Type, code: strings.Trim(string(e.Code), `"`)}
}

// api is what the SDKs of one API have in common.
type api struct {
	name string
	// questions by variant, as JSON with %s for the model's name. "stream" is
	// the SDK's to add.
	questions map[string]string
	// visible says that waiting text can be shown at all.
	visible bool
	idHead  string // of every id
	// finish is the reason why an answer ends, and toolFinish that of a call.
	finish, toolFinish string
	kinds              map[string]string // types of errors by status
	codes              bool              // errors have codes
}

const (
	plain      = "plain"
	tools      = "tools"
	structured = "structured"
	several    = "several"
	usage      = "usage"
)

const schema = `{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}`

var openAIKinds = map[string]string{"503": "server_error", "502": "server_error", "504": "server_error"}

var (
	chat = api{
		name:    "chat",
		visible: true, idHead: "chatcmpl-", finish: "stop", toolFinish: "tool_calls", kinds: openAIKinds, codes: true,
		questions: map[string]string{
			plain:      `{"model":"%s","messages":[{"role":"user","content":"Hello"}]}`,
			tools:      `{"model":"%s","messages":[{"role":"user","content":"Hello"}],"tools":[{"type":"function","function":{"name":"weather","parameters":` + schema + `}}]}`,
			structured: `{"model":"%s","messages":[{"role":"user","content":"Hello"}],"response_format":{"type":"json_schema","json_schema":{"name":"place","strict":true,"schema":` + schema + `}}}`,
			several:    `{"model":"%s","messages":[{"role":"user","content":"Hello"}],"n":2}`,
			usage:      `{"model":"%s","messages":[{"role":"user","content":"Hello"}],"stream_options":{"include_usage":true}}`,
		},
	}
	completions = api{
		name:   "completions",
		idHead: "cmpl-", finish: "stop", kinds: openAIKinds, codes: true,
		questions: map[string]string{
			plain:   `{"model":"%s","prompt":"Hello"}`,
			several: `{"model":"%s","prompt":"Hello","n":2}`,
			usage:   `{"model":"%s","prompt":"Hello","stream_options":{"include_usage":true}}`,
		},
	}
	responses = api{
		name:   "responses",
		idHead: "resp_", finish: "completed", toolFinish: "completed", kinds: openAIKinds, codes: true,
		questions: map[string]string{
			plain:      `{"model":"%s","input":"Hello"}`,
			tools:      `{"model":"%s","input":"Hello","tools":[{"type":"function","name":"weather","strict":true,"parameters":` + schema + `}]}`,
			structured: `{"model":"%s","input":"Hello","text":{"format":{"type":"json_schema","name":"place","schema":` + schema + `}}}`,
			usage:      `{"model":"%s","input":[{"role":"user","content":"Hello"}]}`,
		},
	}
	messages = api{
		name:   "messages",
		idHead: "msg_", finish: "end_turn", toolFinish: "tool_use",
		kinds: map[string]string{"503": "overloaded_error", "502": "api_error", "504": "overloaded_error"},
		questions: map[string]string{
			plain:      `{"model":"%s","max_tokens":100,"messages":[{"role":"user","content":"Hello"}]}`,
			tools:      `{"model":"%s","max_tokens":100,"messages":[{"role":"user","content":"Hello"}],"tools":[{"name":"weather","input_schema":` + schema + `}]}`,
			structured: `{"model":"%s","max_tokens":100,"messages":[{"role":"user","content":"Hello"}],"output_config":{"format":{"type":"json_schema","schema":` + schema + `}}}`,
			usage:      `{"model":"%s","max_tokens":100,"messages":[{"role":"user","content":[{"type":"text","text":"Hello"}]}]}`,
		},
	}
)

var (
	gemini = api{
		name: "gemini", finish: "STOP", toolFinish: "STOP",
		questions: map[string]string{
			plain: `{"model":"%s","contents":[{"role":"user","parts":[{"text":"Hello"}]}]}`,
			tools: `{"model":"%s","contents":[{"role":"user","parts":[{"text":"Hello"}]}],"tools":[{"functionDeclarations":[{"name":"weather","parametersJsonSchema":` + schema + `}]}]}`,
		},
	}
	ollamaChat = api{
		name: "ollama-chat", visible: true, finish: "stop", toolFinish: "stop",
		questions: map[string]string{
			plain:      `{"model":"%s","messages":[{"role":"user","content":"Hello"}]}`,
			tools:      `{"model":"%s","messages":[{"role":"user","content":"Hello"}],"tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}]}`,
			structured: `{"model":"%s","messages":[{"role":"user","content":"Hello"}],"format":` + schema + `}`,
		},
	}
	ollamaGenerate = api{
		name: "ollama-generate", visible: true, finish: "stop",
		questions: map[string]string{
			plain:      `{"model":"%s","prompt":"Hello"}`,
			structured: `{"model":"%s","prompt":"Hello","format":` + schema + `}`,
		},
	}
)

// answer is what the model says to the question "Hello".
const answer = `You said: "Hello". This is a simulated model; it was asleep, you asked, and now it answers, token by token.`

// wants returns what a variant's answer has to be, except for its id and counts.
func (a api) wants(variant string) said {
	want := said{texts: []string{answer}, finish: a.finish}
	switch variant {
	case tools:
		want.texts, want.finish = []string{""}, a.toolFinish
		want.calls = []call{{"weather", `{"city":"Berlin"}`}}
	case structured:
		want.texts = []string{`{"city":"Berlin"}`}
	case several:
		want.texts = append(want.texts, answer+" (choice 2)")
	}
	return want
}

// counts says that a variant's answer comes with counts of tokens.
func (a api) counts(variant string) bool {
	return variant == usage || a.name != chat.name && a.name != completions.name
}

// asks returns the variants that a client can ask in, in a steady order.
func (c client) asks() []string {
	if c.variants != nil {
		return c.variants
	}
	return slices.Sorted(maps.Keys(c.api.questions))
}

// clients are all APIs of all SDKs.
var clients = slices.Concat(openAIv3, openAIv1, goOpenAI, anthropicGo, azOpenAI, einoOpenAI, genkitOpenAI, langChainGo, genAI, ollamaGo)

// readFirst has a proxy of the standard library get requests with their bodies in memory. The
// server closes a body as the head of the answer goes out. The transport (Go 1.26) sends a body
// before it looks whether more of it comes. It closes the connection if the body was closed in
// between. A fast answer to a process that gets no processor is cut then.
func readFirst(proxy http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	})
}
