package stream

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// maxModel bounds the model name that is repeated to the client; a longer one
// is left out.
const maxModel = 256

// Request is what a streaming request says about how its client waits. It keeps a few small
// facts and nothing of the body.
type Request struct {
	dialect    *Dialect
	model      string
	harmless   bool // waiting text does no harm
	background bool // openai-responses: the client will poll
	needs      need // of the client
	http1      bool // the protocol of its connection

	open       bool // the path belongs to no known API
	reconnects bool // asks again after a cut
}

// Parse reads the facts from a request's whole body. It reports false when the client did not ask
// for a known kind of stream. Such a request is held silently, and its backend reports what is
// wrong. Parse neither keeps nor changes the body.
func (c *Candidate) Parse(r *http.Request, body []byte) (Request, bool) {
	f, ok := parseFacts(body)
	known := &f
	if !ok {
		known = nil
	}
	d := c.dialect(r, known)
	if d == nil || !d.accepted(r.Header) || d == &eventSource && !r.ProtoAtLeast(1, 1) {
		return Request{}, false // HTTP/1.0 ends every answer by a close, so that a cut looks like an end
	}
	request := d.request(r, &f)
	request.open = d == &openAIChat && !c.known()
	return request, true
}

// request returns the request of a client that is served in the dialect.
func (d *Dialect) request(r *http.Request, f *facts) Request {
	return Request{
		dialect: d, model: f.model, harmless: f.restricted == 0, background: f.background,
		needs: needsOf(r, d, f), http1: r.ProtoMajor == 1, reconnects: r.Method == http.MethodGet,
	}
}

// facts are the top-level members of a request body that matter.
type facts struct {
	stream     ternary
	model      string
	messages   bool // a list of objects with a role
	content    bool // the first message has a text
	parts      bool // as of AI SDK's useChat
	useChat    bool // only AI SDK's useChat
	jsonRPC    bool
	chatID     bool
	sessionID  bool
	inputs     bool
	given      [len(givenNames)]kind
	anthropic  bool // the version that Anthropic's API on Vertex asks for
	other      bool // a member unrelated to streaming, the model or a chat
	background bool
	usage      bool // stream_options ask for the counts of tokens
	restricted restriction
}

// given is a member that an API requires.
type given uint8

const (
	memberPrompt given = iota
	memberPromptEmbeds
	memberInput
	memberInputs
	memberInputIDs
	memberInputPrefix
	memberInputSuffix
	memberText
	memberConversation
	memberPreviousResponse
	memberSamplingParams
	memberParameters
)

var givenNames = [...]string{
	memberPrompt: "prompt", memberPromptEmbeds: "prompt_embeds", memberInput: "input", memberInputs: "inputs",
	memberInputIDs: "input_ids", memberInputPrefix: "input_prefix", memberInputSuffix: "input_suffix", memberText: "text",
	memberConversation: "conversation", memberPreviousResponse: "previous_response_id",
	memberSamplingParams: "sampling_params", memberParameters: "parameters",
}

// kind is a set of kinds of values; null counts as none.
type kind uint8

const (
	someText kind = 1 << iota
	emptyText
	list
	object
	scalar
	anyText = someText | emptyText
)

func kindOf(value []byte) kind {
	switch {
	case isText(value):
		return someText
	case value[0] == '"':
		return emptyText
	case value[0] == '[':
		return list
	case value[0] == '{':
		return object
	case isNull(value):
		return 0
	}
	return scalar
}

// ternary is what "stream" may be: a boolean, absent, or something else.
type ternary uint8

const (
	absent ternary = iota
	isTrue
	isFalse
	isOther
)

// restriction is a set of reasons for which text of the interceptor would harm the answer. The
// client parses it, counts it, continues it, or shows another choice beside it.
type restriction uint32

const (
	byPresence restriction = 1 << iota // a member of restrictive
	byResponseFormat
	byChoices
	byModalities
	byGeneration // add_generation_prompt is false: the answer continues the last message
	byLastMessage
	byExtension
	bySearch
)

// restrictive are the members that restrict by asking for something. They are from the
// request schemas of OpenAI, Azure, OpenRouter, xAI, Cohere, vLLM, SGLang, llama.cpp, TGI,
// TabbyAPI, Mistral, DeepSeek and Ollama.
// An object asks even if it is empty, as any JSON matches {}, and so does an empty text where
// this says true.
var restrictive = map[string]bool{
	// The answer is parsed.
	"tools": true, "functions": true, "structured_outputs": true, "structural_tag": true, "response_schema": true,
	"grammar": true, "ebnf": true, "json_schema": true, "regex": true, "choice": true,
	"regex_pattern": true, "grammar_string": true, "json_mode": true, "allowed_token_ids": true,
	// Its tokens or characters are counted.
	"logprobs": true, "top_logprobs": true, "prompt_logprobs": true, "n_probs": true, "return_token_ids": true,
	"return_tokens_as_token_ids": true, "web_search_options": true, "prediction": true,
	"plugins": true, "search_parameters": true, "data_sources": true, "citation_options": true,
	// It is more than text, or one of several.
	"audio": true, "best_of": true, "use_beam_search": true,
	// Or it continues a text of the client's. Ollama's own client sends these empty.
	"format": false, "continue_final_message": false, "echo": false, "suffix": false, "raw": false, "template": false,
	"response_prefix": false,
}

// parseFacts reads the top level of a JSON object: keys in exact case, the last
// duplicate wins. Anything else than one JSON object is false.
func parseFacts(body []byte) (facts, bool) {
	var f facts
	if i := skipSpace(body, 0); i >= len(body) || body[i] != '{' || !json.Valid(body) {
		return f, false
	}
	members(body, func(m member) { f.note(m.key, body[m.value:m.end]) })
	return f, true
}

// note records one member.
func (f *facts) note(key, value []byte) {
	switch string(key) {
	case "stream", "stream_options", "model", "messages":
	default:
		f.other = true
	}
	if i := slices.Index(givenNames[:], string(key)); i >= 0 {
		f.given[i] = kindOf(value)
	}
	switch string(key) {
	case "stream":
		f.stream = ternaryOf(value)
	case "model":
		f.model = text(value)
		f.restrict(bySearch, strings.HasSuffix(f.model, ":online")) // OpenRouter
	case "messages":
		f.noteMessages(value)
		f.other = f.other || !f.messages
	case "inputs":
		f.inputs = isSet(value)
	case "anthropic_version":
		f.anthropic = isText(value)
	case "id", "trigger":
		f.useChat = true
	case "jsonrpc":
		f.jsonRPC = true
	case "chat_id":
		f.chatID = isText(value)
	case "session_id":
		f.sessionID = isText(value)
	case "nvext": // NVIDIA NIM
		guided := false
		members(value, func(m member) {
			guided = guided || bytes.HasPrefix(m.key, []byte("guided_")) && isSet(value[m.value:m.end])
		})
		f.restrict(byExtension, guided)
	case "background":
		f.background = string(value) == "true"
	case "stream_options":
		f.usage = false
		members(value, func(m member) {
			if string(m.key) == "include_usage" {
				f.usage = string(value[m.value:m.end]) == "true"
			}
		})
	case "response_format":
		f.restrict(byResponseFormat, !plainText(value))
	case "n":
		f.restrict(byChoices, !isNull(value) && !isOne(value))
	case "modalities":
		f.restrict(byModalities, !textOnly(value))
	case "add_generation_prompt":
		f.restrict(byGeneration, string(value) == "false")
	default:
		// One that was given counts, even if a duplicate takes it back.
		evenEmpty, known := restrictive[string(key)]
		guided := bytes.HasPrefix(key, []byte("guided_"))
		if known || guided {
			asks := isSet(value) || value[0] == '{' || (evenEmpty || guided) && value[0] == '"'
			f.restricted |= restrictIf(byPresence, asks)
		}
	}
}

// noteMessages records what messages are, what the first one has, and whether the answer
// continues the last one, which is then an assistant's.
func (f *facts) noteMessages(value []byte) {
	first, roles, prefix := true, true, false
	var role []byte // of the last one
	f.content, f.parts = false, false
	isList := elements(value, func(start, end int) {
		message := value[start:end]
		content := false
		role, prefix = nil, false
		members(message, func(m member) {
			switch v := message[m.value:m.end]; string(m.key) {
			case "content":
				content = isText(v)
			case "role":
				role = v
			case "prefix":
				prefix = string(v) == "true"
			case "parts":
				f.parts = true
			}
		})
		if first {
			f.content, first = content, false
		}
		roles = roles && isText(role)
	})
	f.messages = isList && roles
	f.restrict(byLastMessage, prefix || text(role) == "assistant")
}

// restrict records the last word about one reason.
func (f *facts) restrict(reason restriction, holds bool) {
	f.restricted = f.restricted&^reason | restrictIf(reason, holds)
}

func restrictIf(reason restriction, holds bool) restriction {
	if holds {
		return reason
	}
	return 0
}

func ternaryOf(value []byte) ternary {
	switch string(value) {
	case "true":
		return isTrue
	case "false":
		return isFalse
	}
	return isOther
}

// plainText says that a response_format asks for nothing but text.
func plainText(value []byte) bool {
	if !isSet(value) && value[0] != '{' {
		return true
	}
	plain := false
	members(value, func(m member) {
		if string(m.key) == "type" {
			kind := text(value[m.value:m.end])
			plain = kind == "text"
		}
	})
	return plain
}

// textOnly says that a list of modalities names nothing but text.
func textOnly(value []byte) bool {
	if !isSet(value) {
		return true
	}
	only := true
	if !elements(value, func(start, end int) {
		kind := text(value[start:end])
		only = only && kind == "text"
	}) {
		return false
	}
	return only
}

// isOne says that a value is the number 1, however it is written.
func isOne(value []byte) bool {
	if len(value) > 32 {
		return false
	}
	n, err := strconv.ParseFloat(string(value), 64)
	return err == nil && n == 1
}
