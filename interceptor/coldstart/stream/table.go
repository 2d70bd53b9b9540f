package stream

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/kedacore/http-add-on/interceptor/accept"
)

// rule is a row of the table that decides how to keep a cold request on the line: (path × body ×
// Accept) → dialect or silence. docs/cold-start.md is checked against it.
type rule struct {
	// path is what the request's path ends with, in whole segments, without a trailing
	// slash. The longest one wins.
	path string
	// exact means that path is the whole path, and that other APIs may use it too.
	exact bool
	// below matches the paths below path, not path itself. Unless it is shared, it wins over
	// longer paths.
	below bool
	// shared means that applications and other APIs use the path, too. The rule then decides only
	// how errors look; streams are recognized as without a rule.
	shared bool
	// speaks is the dialect of the API's streams; nil means that its answers must
	// arrive whole, so that the request is held silently.
	speaks *Dialect
	// query reports whether the URL asks for a stream; nil means that it need not.
	query func(r *http.Request) bool
	// body is what a body that asks for a stream has; nil means anything.
	body *condition
	// fails is the shape of the API's errors, if it is not that of speaks.
	fails *shape
}

// shape is how an API answers with an error.
type shape struct {
	words   string
	problem func(p *problem) []byte
}

var (
	openAIShape    = &shape{"OpenAI: `{\"error\": {\"message\", \"type\", \"param\", \"code\"}}`", openAIProblem}
	anthropicShape = &shape{"Anthropic: `{\"type\": \"error\", \"error\": {\"type\", \"message\"}}`", anthropicProblem}
	googleShape    = &shape{"Google: `{\"error\": {\"code\", \"message\", \"status\"}}`", geminiProblem}
	textShape      = &shape{"Ollama, TGI: `{\"error\": \"…\"}`", ollamaProblem}
	twirpShape     = &shape{"Twirp: `{\"code\", \"msg\"}`", twirpProblem}
	flatShape      = &shape{"Mistral, Cohere, Bedrock: `{\"message\", \"type\", \"code\"}`", flatProblem}
)

// whole returns the rules of paths whose answers arrive whole. A path that ends with a slash
// matches the paths below it.
func whole(fails *shape, paths ...string) []rule {
	all := make([]rule, len(paths))
	for i, name := range paths {
		end := strings.TrimSuffix(name, "/")
		all[i] = rule{path: end, below: end != name, fails: fails}
	}
	return all
}

// errorsOf is whole for paths that are shared.
func errorsOf(fails *shape, paths ...string) []rule {
	all := whole(fails, paths...)
	for i := range all {
		all[i].shared = true
	}
	return all
}

// condition is a condition on a body, in code and in words for the documentation.
type condition struct {
	words string
	holds func(f *facts) bool
}

var (
	// chats recognizes a chat by its body. The feature was first defined as a list of
	// messages on any path, which may be empty.
	chats = &condition{"`\"stream\": true`, and `messages` is a list of objects with a `role`",
		func(f *facts) bool { return f.stream == isTrue && f.messages }}

	askedOnVertex = &condition{"`\"stream\": true` and `anthropic_version`", func(f *facts) bool { return f.stream == isTrue && f.anthropic }}
	askedInputs   = &condition{"`\"stream\": true` and `inputs`", func(f *facts) bool { return f.stream == isTrue && f.inputs }}
	anyInputs     = &condition{"`inputs`, or `\"stream\": true`", func(f *facts) bool { return f.stream == isTrue || f.inputs }}
	// generates recognizes SGLang and TGI by more than the text, which other servers turn into
	// speech at the same path.
	generates = &condition{"`\"stream\": true`, and `input_ids` is a list, or an object `sampling_params` is beside `text` or `parameters` beside `inputs`",
		func(f *facts) bool {
			return f.stream == isTrue && (f.given[memberInputIDs]&list != 0 ||
				f.given[memberText]&(someText|list) != 0 && f.given[memberSamplingParams]&object != 0 ||
				f.given[memberInputs]&someText != 0 && f.given[memberParameters]&object != 0)
		}}
	ollamaChats = &condition{"not `\"stream\": false`; `model` and the content of the first message are texts; no message has `parts`, nothing an `id`",
		func(f *facts) bool {
			return f.stream != isFalse && f.model != "" && f.content && !f.parts && !f.useChat
		}}
	ollamaPrompts = &condition{"not `\"stream\": false`; `model` and `prompt` are texts",
		func(f *facts) bool { return f.stream != isFalse && f.model != "" && f.given[memberPrompt] == someText }}
)

// required is a member that an API requires, as one of some kinds.
type required struct {
	member given
	kinds  kind
}

// asks is the condition of an API that streams on request, and requires one of some
// members. Applications use paths and a member "stream" like those of APIs.
func asks(needed ...required) *condition {
	words := make([]string, len(needed))
	for i, n := range needed {
		words[i] = "`" + givenNames[n.member] + "`"
	}
	return &condition{"`\"stream\": true` and " + strings.Join(words, " or "), func(f *facts) bool {
		return f.stream == isTrue && slices.ContainsFunc(needed, func(n required) bool { return f.given[n.member]&n.kinds != 0 })
	}}
}

// orBare is c, or a body that names only the model. The backend knows what is missing; no
// application uses such a body for something else.
func orBare(c *condition) *condition {
	return &condition{c.words + "; or no member beside `model` and `messages`", func(f *facts) bool {
		return c.holds(f) || f.stream == isTrue && !f.other
	}}
}

// orModel is orBare on a path that applications use, too: the model must be there.
func orModel(c *condition) *condition {
	bare := orBare(c)
	return &condition{c.words + "; or `model`, and no member beside it and `messages`", func(f *facts) bool {
		return c.holds(f) || f.model != "" && bare.holds(f)
	}}
}

// rules know the paths of APIs. A path that is missing here belongs to an unknown API: then chats
// decides. A rule that speaks eventSource belongs to an API with its own events: its client gets
// comments only, and a failure cuts.
var rules = slices.Concat([]rule{
	// OpenAI, and everybody who speaks its API below some prefix. These are Azure
	// (/openai/deployments/NAME), Groq (/openai), LiteLLM, vLLM, SGLang, TGI, llama.cpp, Ollama
	// (/v1), LM Studio (/v1, /api/v0), Mistral, Vertex (/endpoints/openapi).
	{path: "/chat/completions", speaks: &openAIChat, body: orBare(chats), fails: openAIShape},
	{path: "/completions", speaks: &openAICompletions, fails: openAIShape,
		body: orModel(asks(required{memberPrompt, anyText | list}, required{memberPromptEmbeds, anyText | list}))},
	{path: "/responses", speaks: &openAIResponses, fails: openAIShape, body: orModel(asks(required{memberInput, anyText | list}, required{memberPrompt, object},
		required{memberConversation, someText | object}, required{memberPreviousResponse, someText}))},
	{path: "/images/generations", speaks: &eventSource, body: asks(required{memberPrompt, someText}), fails: openAIShape},

	// Anthropic, on Vertex too.
	{path: "/messages", speaks: &anthropic, body: orModel(chats), fails: anthropicShape},
	{path: ":streamRawPredict", speaks: &anthropic, body: askedOnVertex, fails: anthropicShape},

	// Gemini. Without alt=sse it streams a JSON list.
	{path: ":streamGenerateContent", speaks: &gemini, query: func(r *http.Request) bool { return r.URL.Query().Get("alt") == "sse" }, fails: googleShape},

	// Ollama streams by default. Its paths are common. AI SDK's useChat posts to /api/chat too,
	// with a model if its user picks one and with an id of the chat. From version 4 on, its
	// messages have parts.
	{path: "/api/chat", speaks: &ollamaChat, body: ollamaChats, fails: textShape},
	{path: "/api/generate", speaks: &ollamaGenerate, body: ollamaPrompts, fails: textShape},

	// Mistral streams chat chunks where its paths look like OpenAI's completions.
	{path: "/fim/completions", speaks: &eventSource, body: asks(required{memberPrompt, anyText}), fails: flatShape},
	{path: "/agents/completions", speaks: &eventSource, body: chats, fails: flatShape},
	{path: "/conversations", speaks: &eventSource, body: askedInputs, fails: flatShape},
	// Cohere.
	{path: "/v2/chat", speaks: &eventSource, body: chats, fails: flatShape},
	// llama.cpp's own API. Its /completions without /v1 is OpenAI's to most clients.
	{path: "/completion", speaks: &eventSource, body: asks(required{memberPrompt, anyText | list | object}), fails: openAIShape},
	{path: "/infill", speaks: &eventSource, fails: openAIShape,
		body: asks(required{memberInputPrefix, anyText}, required{memberInputSuffix, anyText}, required{memberPrompt, anyText})},
	// SGLang and TGI have a generate_stream that always streams; KServe and Triton have it too.
	// Speech and pictures are generated at this path, too: a text alone is not enough. vLLM's own
	// /generate takes a prompt, and streams lines of JSON.
	{path: "/generate", speaks: &eventSource, fails: textShape,
		body: generates},
	{path: "/generate_stream", speaks: &eventSource, body: anyInputs, fails: textShape},
	{path: "/", exact: true, speaks: &eventSource, body: askedInputs},
	// vLLM and SageMaker: chat or completion, by the body.
	{path: "/invocations", speaks: &openAIChat, body: chats, fails: openAIShape},
},
	whole(openAIShape, "/audio/speech", "/audio/transcriptions", "/audio/translations", "/images/edits", "/images/variations",
		"/embeddings", "/moderations", "/rerank", "/classify", "/pooling",
		// What a chat or a prompt becomes, and how long it is: vLLM, SGLang, llama.cpp, LiteLLM.
		"/tokenize", "/detokenize", "/apply-template", "/completions/render", "/input_tokens", "/utils/token_counter"),
	whole(anthropicShape, "/messages/count_tokens", "/messages/batches", ":rawPredict"),
	whole(googleShape, ":generateContent", ":countTokens", ":embedContent", ":batchEmbedContents"),
	whole(textShape, "/api/pull", "/api/push", "/api/create", "/api/embed", "/api/embeddings"),
	// Twirp's calls, whatever their methods are named like.
	whole(twirpShape, "/twirp/"),
	// Bedrock's event streams are binary.
	whole(flatShape, "/v2/embed", "/v2/rerank", "/invoke", "/invoke-with-response-stream", "/converse", "/converse-stream"),

	errorsOf(openAIShape, "/v1/models", "/v1/models/", "/api/v0/models", "/api/v0/models/", "/v1/files", "/v1/files/", "/v1/batches", "/v1/batches/",
		"/v1/responses/", "/score"),
	errorsOf(anthropicShape, "/messages/batches/"),
	errorsOf(googleShape, "/v1beta/models", "/v1beta/models/"),
	errorsOf(textShape, "/api/tags", "/api/show", "/api/copy", "/api/delete", "/api/ps", "/api/version", "/api/blobs/"),
)

// other is what tells a request with the body of a chat, on a path of no known API, from a chat
// of OpenAI's API. Such a request is held.
type other struct {
	words string
	holds func(r *http.Request, f *facts) bool
}

var others = []other{
	{"has a `Content-Type` other than `application/json`", func(r *http.Request, _ *facts) bool { return otherType(r) }},
	{"is JSON-RPC: its body has a member `jsonrpc`", func(_ *http.Request, f *facts) bool { return f.jsonRPC }},
	{"is from AI SDK's `useChat`: its body has `id` or `trigger`, or a message has `parts`", func(_ *http.Request, f *facts) bool { return f.useChat || f.parts }},
	{"is a webhook: the name of a header contains `signature`, `webhook` or `hmac`, ends in `-event` or begins with `ce-`", func(r *http.Request, _ *facts) bool {
		for name := range r.Header {
			name = strings.ToLower(name)
			if strings.HasPrefix(name, "ce-") || strings.HasSuffix(name, "-event") ||
				strings.Contains(name, "signature") || strings.Contains(name, "webhook") || strings.Contains(name, "hmac") {
				return true
			}
		}
		return false
	}},
}

// otherType reports whether a request says that its body is not JSON.
func otherType(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	kind = strings.TrimSpace(kind)
	return kind != "" && !strings.EqualFold(kind, "application/json")
}

// misspelt is the rule of a path that is nearly one of an API: in another case, with empty
// segments, or with encoded slashes. Servers answer it with 404 or a redirect, and its end may be the path of another API.
var misspelt rule

// ruleOf returns the rule of a path, nil if it belongs to no API that is known.
func ruleOf(u *url.URL) *rule {
	asked := u.Path
	if asked != "/" {
		asked = strings.TrimRight(asked, "/")
	}
	clean := path.Clean(asked)
	found, meant := longest(withoutSlashes(u, asked), false), longest(clean, true)
	if meant != nil && (meant != found || clean != asked) {
		return &misspelt
	}
	return found
}

// withoutSlashes returns the path asked of u in which encoded slashes do not separate segments:
// servers disagree about them (RFC 3986, 2.2).
func withoutSlashes(u *url.URL, asked string) string {
	if !strings.Contains(u.RawPath, "%2F") && !strings.Contains(u.RawPath, "%2f") {
		return asked
	}
	kept, err := url.PathUnescape(strings.NewReplacer("%2F", "%252F", "%2f", "%252F").Replace(strings.TrimRight(u.RawPath, "/")))
	if err != nil {
		return asked // net/url has decoded it already
	}
	return kept
}

// longest returns the rule with the longest path that a request's path ends with. Without one, it
// returns the longest rule for paths below its own. anyCase ignores case.
func longest(asked string, anyCase bool) (found *rule) {
	if anyCase {
		asked = strings.ToLower(asked)
	}
	for i := range rules {
		r := &rules[i]
		end := r.path
		if anyCase {
			end = strings.ToLower(end)
		}
		fits := strings.HasSuffix(asked, end)
		switch {
		case r.exact:
			fits = asked == end
		case r.below:
			fits = strings.Contains(asked, end+"/")
		}
		if fits && r.below && !r.shared {
			return r // all of it belongs to that API, whatever its end
		}
		if fits && (found == nil || found.below && !r.below || found.below == r.below && len(end) > len(found.path)) {
			found = r
		}
	}
	return found
}

// holdsIfAsked reports whether a body would ask for the API's stream if it said so.
func (r *rule) holdsIfAsked(f facts) bool {
	f.stream = isTrue
	return r.body == nil || r.body.holds(&f)
}

// Candidate is a request that may be a streaming one, by its method, path and headers
// alone. Its body has the last word.
type Candidate struct {
	rule    *rule // nil on a path of no known API
	events  bool  // Accept is exactly text/event-stream
	browser bool  // a script of a page sent it
}

// Detect returns the candidate that a request is, or nil.
func Detect(r *http.Request) *Candidate {
	if r.Method != http.MethodPost && r.Method != http.MethodGet || !eligible(r) {
		return nil
	}
	accepted := r.Header["Accept"]
	c := Candidate{
		events:  len(accepted) == 1 && accepted[0] == eventStream,
		browser: r.Header["Origin"] != nil || r.Header["Sec-Fetch-Mode"] != nil,
	}
	if r.Method == http.MethodPost {
		if c.rule = ruleOf(r.URL); c.rule != nil && c.rule.shared {
			c.rule = nil
		}
		switch known := c.rule; {
		case known == nil && !c.events && otherType(r):
			return nil // only JSON asks for a stream there
		case known == nil, known.exact:
			return &c
		case known.speaks == nil, known.query != nil && !known.query(r):
			// The answer is whole, whatever the client accepts.
			return nil
		}
		return &c
	}
	if !c.events {
		return nil
	}
	return &c
}

// accepted reports whether a client accepts the dialect's streams. By RFC 9110, section 12.5.1,
// the range that fits them best decides. Where none fits, SDKs that want a stream ask for JSON.
func (d *Dialect) accepted(header http.Header) bool {
	kind, _, _ := strings.Cut(d.mediaType(), "/")
	ranges := []string{"*", "*/*", kind + "/*", d.mediaType()}
	precedence, stream, none, inJSON := -1, 0.0, true, false
	for name, weight := range accept.Ranges(header) {
		none = false
		if i := slices.Index(ranges, name); i >= 0 && i >= precedence {
			precedence, stream = i, weight
		}
		inJSON = inJSON || weight > 0 && (name == "application/json" || name == "application/*")
	}
	if precedence >= 0 {
		return stream > 0
	}
	return none || inJSON
}

// Object reports whether only a JSON object can ask for the stream, so that no other body
// has to be read as a whole.
func (c *Candidate) Object() bool { return !c.events }

// known reports whether the path belongs to an API that is known, and to no other.
func (c *Candidate) known() bool { return c.rule != nil && !c.rule.exact }

// dialect returns the dialect that r is served in, nil for silence. f is nil if the body is not
// a JSON object.
func (c *Candidate) dialect(r *http.Request, f *facts) *Dialect {
	known := c.known()
	switch {
	case f != nil && f.chatID && f.sessionID:
		return nil // Open WebUI's own page, which gets its answer by a WebSocket
	case c.rule != nil && f != nil && (c.rule.body == nil || c.rule.body.holds(f)):
		if c.rule.speaks.ndjson && c.events {
			return &eventSource // no client of the API accepts that
		}
		if c.rule.speaks.ndjson && c.browser && f.stream != isTrue {
			return nil // Ollama's library states what it wants, and applications use its paths
		}
		return c.rule.speaks
	case f != nil && (f.stream == isFalse || known && c.rule.holdsIfAsked(*f)):
		return nil // the answer is whole, whatever the client accepts
	case c.events:
		// The client reads any event stream, and the interceptor knows no more of the backend's.
		return &eventSource
	case !known && f != nil && chats.holds(f) && !slices.ContainsFunc(others, func(o other) bool { return o.holds(r, f) }):
		return &openAIChat
	}
	return nil
}

// WriteError answers r with the error of the API that its path belongs to, before anything was
// committed. It reports whether there is such an API. Headers that are set already, Retry-After
// for one, are kept.
func WriteError(w http.ResponseWriter, r *http.Request, status int, message string) bool {
	rule := ruleOf(r.URL)
	if rule == nil || rule.fails == nil {
		return false
	}
	body := rule.fails.problem(&problem{status: status, message: message})
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that has left is noticed by the server
	}
	return true
}
