package stream

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// TestTable asks the table for requests of real APIs: what they get while their target
// wakes. The bodies are those of the APIs' own documentation, shortened.
func TestTable(t *testing.T) {
	const (
		chat     = `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`
		prompt   = `{"model":"m","stream":true,"prompt":"hi"}`
		events   = "text/event-stream"
		anything = "*/*"
	)
	silence := (*Dialect)(nil)
	for _, c := range []struct {
		api, path, accept, body string
		want                    *Dialect
	}{
		{"OpenAI", "/v1/chat/completions", anything, chat, &openAIChat},
		{"OpenAI, not streaming", "/v1/chat/completions", anything, `{"model":"m","messages":[]}`, silence},
		{"OpenAI completions", "/v1/completions", anything, prompt, &openAICompletions},
		{"OpenAI responses", "/v1/responses", anything, `{"model":"m","stream":true,"input":"hi"}`, &openAIResponses},
		{"OpenAI images", "/v1/images/generations", anything, `{"model":"gpt-image-1","stream":true,"prompt":"x"}`, &eventSource},
		{"OpenAI speech", "/v1/audio/speech", anything, `{"model":"tts","stream":true,"input":"hi","voice":"alloy"}`, silence},
		{"OpenAI speech, any shape", "/v1/audio/speech", anything, chat, silence},
		{"OpenAI embeddings", "/v1/embeddings", anything, chat, silence},
		{"Azure", "/openai/deployments/gpt/chat/completions", anything, chat, &openAIChat},
		{"Azure completions", "/openai/deployments/gpt/completions", anything, prompt, &openAICompletions},
		{"Azure images", "/openai/deployments/gpt/images/generations", anything, `{"stream":true,"prompt":"x"}`, &eventSource},
		{"Azure speech", "/openai/deployments/tts/audio/speech", anything, `{"stream":true}`, silence},
		{"Azure AI inference", "/models/chat/completions", anything, chat, &openAIChat},
		{"Groq", "/openai/v1/chat/completions", anything, chat, &openAIChat},
		{"LiteLLM without /v1", "/chat/completions", anything, chat, &openAIChat},
		{"LiteLLM pass-through", "/anthropic/v1/messages", anything, chat, &anthropic},
		{"vLLM tokenize", "/tokenize", anything, chat, silence},
		{"vLLM on SageMaker, a chat", "/invocations", anything, chat, &openAIChat},
		{"vLLM on SageMaker, a completion", "/invocations", anything, prompt, silence},
		{"Anthropic", "/v1/messages", anything, chat, &anthropic},
		{"Anthropic with a slash", "/v1/messages/", anything, chat, &anthropic},
		{"Anthropic token count", "/v1/messages/count_tokens", anything, chat, silence},
		{"Anthropic on Vertex", "/v1/projects/p/publishers/anthropic/models/c:streamRawPredict", anything,
			`{"anthropic_version":"vertex-2023-10-16","stream":true,"messages":[]}`, &anthropic},
		{"Mistral on Vertex", "/v1/projects/p/publishers/mistralai/models/c:streamRawPredict", anything, chat, silence},
		{"Gemini", "/v1beta/models/g:streamGenerateContent?alt=sse", anything, `{"contents":[]}`, &gemini},
		{"Gemini as a list", "/v1beta/models/g:streamGenerateContent", anything, `{"contents":[]}`, silence},
		{"Ollama", "/api/chat", anything, `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, &ollamaChat},
		{"Ollama, whole", "/api/chat", anything, `{"model":"m","stream":false,"messages":[{"role":"user","content":"hi"}]}`, silence},
		{"Ollama generate", "/api/generate", anything, `{"model":"m","prompt":"hi"}`, &ollamaGenerate},
		{"Ollama pull", "/api/pull", anything, `{"model":"m","stream":true}`, silence},
		{"Ollama pull with a slash", "/api/pull/", anything, `{"model":"m","stream":true}`, silence},
		{"Ollama pull behind a prefix", "/ollama/api/pull", anything, `{"model":"m","stream":true}`, silence},
		{"Ollama push", "/api/push", anything, `{"model":"m","stream":true}`, silence},
		{"Ollama create", "/api/create", anything, `{"model":"m","stream":true,"from":"x","messages":[{"role":"user","content":"hi"}]}`, silence},
		{"AI SDK's useChat", "/api/chat", anything, `{"id":"1","trigger":"submit","messages":[{"id":"2","role":"user","parts":[{"type":"text","text":"hi"}]}]}`, silence},
		{"Mistral", "/v1/chat/completions", anything, chat, &openAIChat},
		{"Mistral FIM", "/v1/fim/completions", anything, prompt, &eventSource},
		{"Mistral agents", "/v1/agents/completions", anything, chat, &eventSource},
		{"Mistral conversations", "/v1/conversations", anything, `{"stream":true,"inputs":"hi"}`, &eventSource},
		{"an application's conversations", "/api/conversations", anything, `{"stream":true,"title":"hi"}`, silence},
		{"Cohere", "/v2/chat", anything, chat, &eventSource},
		{"Cohere v1 streams JSON lines", "/v1/chat", anything, `{"stream":true,"message":"hi"}`, silence},
		{"TGI", "/generate_stream", anything, `{"inputs":"hi","parameters":{}}`, &eventSource},
		{"TGI at the root", "/", anything, `{"inputs":"hi","stream":true}`, &eventSource},
		{"TGI at the root, whole", "/", anything, `{"inputs":"hi"}`, silence},
		{"TGI's body on a path of its own", "/predict", anything, `{"inputs":"hi","stream":true}`, silence},
		{"TGI's body below its root", "/tgi/", anything, `{"inputs":"hi","stream":true}`, silence},
		{"an application's root", "/", anything, `{"stream":true,"url":"x"}`, silence},
		{"a chat on TGI's root", "/", anything, chat, &openAIChat},
		{"SGLang", "/generate", anything, `{"text":"hi","sampling_params":{"max_new_tokens":8},"stream":true}`, &eventSource},
		{"SGLang, several texts", "/generate", anything, `{"text":["hi"],"sampling_params":{},"stream":true}`, &eventSource},
		{"a server of speech", "/generate", anything, `{"text":"hi","voice":"a","stream":true}`, silence},
		{"a server of speech with another's parameters", "/generate", anything, `{"text":"hi","parameters":{},"stream":true}`, silence},
		{"a text of unknown use", "/generate", anything, `{"inputs":"hi","stream":true}`, silence},
		{"Triton", "/v2/models/m/generate_stream", anything, `{"text_input":"hi","stream":true}`, &eventSource},
		{"llama.cpp", "/completion", anything, prompt, &eventSource},
		{"llama.cpp infill", "/infill", anything, `{"input_prefix":"a","stream":true}`, &eventSource},
		{"LM Studio", "/api/v0/chat/completions", anything, chat, &openAIChat},
		{"Bedrock", "/model/m/invoke-with-response-stream", anything, chat, silence},

		{"vLLM with embeddings of a prompt", "/v1/completions", anything, `{"stream":true,"prompt_embeds":"AAAA"}`, &openAICompletions},
		{"OpenAI completions of tokens", "/v1/completions", anything, `{"stream":true,"prompt":[1,2]}`, &openAICompletions},
		{"OpenAI responses of a list", "/v1/responses", anything, `{"stream":true,"input":[{"role":"user","content":"hi"}]}`, &openAIResponses},
		{"OpenAI responses of a stored prompt", "/v1/responses", anything, `{"stream":true,"prompt":{"id":"pmpt_1"}}`, &openAIResponses},
		{"OpenAI responses that go on", "/v1/responses", anything, `{"stream":true,"previous_response_id":"resp_1"}`, &openAIResponses},
		{"OpenAI responses in a conversation", "/v1/responses", anything, `{"stream":true,"conversation":{"id":"conv_1"}}`, &openAIResponses},
		{"OpenAI responses, count", "/v1/responses/input_tokens", anything, chat, silence},
		{"SGLang with tokens", "/generate", anything, `{"input_ids":[1],"stream":true}`, &eventSource},
		{"TGI generate", "/generate", anything, `{"inputs":"hi","parameters":{"max_new_tokens":8},"stream":true}`, &eventSource},
		{"vLLM's own generate streams JSON lines", "/generate", anything, prompt, silence},
		{"llama.cpp with an image", "/completion", anything, `{"stream":true,"prompt":{"prompt_string":"hi","multimodal_data":["AA"]}}`, &eventSource},
		{"llama.cpp infill, the end", "/infill", anything, `{"input_suffix":"a","stream":true}`, &eventSource},
		{"llama.cpp template", "/apply-template", anything, chat, silence},
		{"vLLM's rendered chat", "/v1/chat/completions/render", anything, chat, silence},
		{"vLLM's rendered completion", "/v1/completions/render", anything, prompt, silence},
		{"vLLM classes", "/classify", anything, chat, silence},
		{"vLLM pooling", "/pooling", anything, chat, silence},
		{"LiteLLM's count", "/utils/token_counter", anything, chat, silence},
		{"useChat of AI SDK 3", "/api/chat", anything, `{"id":"k3","model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}`, silence},
		{"useChat of AI SDK 4", "/api/chat", anything, `{"id":"k3","model":"gpt-4o","messages":[{"role":"user","content":"hi","parts":[{"type":"text","text":"hi"}]}]}`, silence},
		{"useChat of AI SDK 4, a stream", "/api/chat", anything, `{"stream":true,"model":"gpt-4o","messages":[{"role":"user","content":"hi","parts":[]}]}`, silence},
		{"useChat of AI SDK 4, a later message", "/api/chat", anything, `{"model":"gpt-4o","messages":[{"role":"system","content":"x"},{"role":"user","content":"hi","parts":[]}]}`, silence},

		// Webhooks on paths like those of APIs.
		{"an SMS gateway", "/api/v1/messages", anything, `{"stream":true,"to":"+1","text":"hi"}`, silence},
		{"an SMS gateway, many", "/api/v1/messages", anything, `{"stream":true,"messages":[{"to":"+1","text":"hi"}]}`, silence},
		{"a survey", "/v1/survey/responses", anything, `{"stream":true,"answers":[1]}`, silence},
		{"a survey with a question", "/v1/survey/responses", anything, `{"stream":true,"prompt":"why?"}`, silence},
		{"a course", "/courses/7/completions", anything, `{"stream":true,"lesson":3}`, silence},
		{"a course without a prompt", "/courses/7/completions", anything, `{"stream":true,"prompt":null}`, silence},
		{"a report", "/generate", anything, `{"stream":true,"report":1}`, silence},
		{"a report with flags", "/reports/generate", anything, `{"stream":true,"text":true,"inputs":{"a":1}}`, silence},
		{"a library of media", "/media/images/generations", anything, `{"stream":true}`, silence},
		{"a library of media, by number", "/media/images/generations", anything, `{"stream":true,"prompt":7}`, silence},
		{"rooms of a chat", "/v2/chat", anything, `{"stream":true,"room":1}`, silence},
		{"a form", "/forms/completion", anything, `{"stream":true,"form":1}`, silence},
		{"a chat without messages", "/v1/chat/completions", anything, `{"stream":true}`, &openAIChat},
		{"which names a model", "/v1/messages", anything, `{"model":"m","stream":true}`, &anthropic},
		{"or no model", "/rooms/5/messages", anything, `{"stream":true}`, silence},
		{"or no model, and events", "/rooms/5/messages", events, `{"stream":true}`, &eventSource},
		{"a feed without a model", "/feed/completions", anything, `{"stream":true}`, silence},
		{"a survey without a model", "/survey/responses", anything, `{"stream":true}`, silence},
		{"and says something else", "/v1/messages", anything, `{"model":"m","stream":true,"to":"+1"}`, silence},
		{"SMS on a path of its own", "/hook", anything, `{"stream":true,"messages":[{"to":"+1","text":"hi"}]}`, silence},
		{"messages that are texts", "/hook", anything, `{"stream":true,"messages":["hi"]}`, silence},
		{"messages some of which have a role", "/hook", anything, `{"stream":true,"messages":[{"role":"user"},{"role":7}]}`, silence},

		{"the first proposal", "/", anything, `{"stream":true,"messages":[]}`, &openAIChat},
		{"a chat on a path of its own", "/assistant/ask", anything, chat, &openAIChat},
		{"a webhook with a member stream", "/hooks/video", anything, `{"stream":true,"url":"x"}`, silence},
		{"messages that are no list", "/hooks/mail", anything, `{"stream":true,"messages":"all"}`, silence},
		{"any events", "/feed", events, `{"stream":true}`, &eventSource},
		{"any events win over a chat's shape", "/assistant/ask", events, chat, &eventSource},
		{"an API wins over Accept", "/v1/chat/completions", events, chat, &openAIChat},
		{"an API whose stream is not asked for answers whole", "/v1/chat/completions", events, `{"messages":[]}`, silence},
		{"nor is this one", "/v1/responses", events, `{"model":"m","input":"hi"}`, silence},
		{"nor is any", "/feed", events, `{"stream":false}`, silence},
		{"an application on a path like an API's", "/v1/messages", events, `{"topic":"x"}`, &eventSource},
		{"events of a chat with Ollama's shape", "/api/chat", events, `{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}`, &eventSource},
		{"events of a prompt with Ollama's shape", "/api/generate", events, `{"model":"m","prompt":"hi"}`, &eventSource},
		{"events of a file", "/v1/files/7/events", events, `{"stream":true}`, &eventSource},
		{"events of a model", "/v1/models/llama/infer", events, `{"inputs":[]}`, &eventSource},
		{"events of a game", "/game/score", events, `q=1`, &eventSource},
		{"events of an application", "/api/show", events, `{"id":1}`, &eventSource},
		{"a chat below a model", "/v1/models/llama/chat", anything, chat, &openAIChat},
		{"an application's score", "/game/score", anything, `{"stream":true}`, silence},
		{"lines of JSON", "/ask", "application/x-ndjson", chat, silence},
		{"plain text", "/v1/chat/completions", "text/plain", chat, silence},
		{"sound", "/generate", "audio/wav", `{"text":"hi","stream":true}`, silence},
		{"a picture", "/api/chat", "image/png", `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, silence},
		{"no event stream", "/v1/chat/completions", "text/event-stream;q=0, text/plain", chat, silence},
		{"any text", "/v1/chat/completions", "text/*", chat, &openAIChat},
		{"JSON but no event stream", "/v1/chat/completions", "text/event-stream;q=0, application/json", chat, silence},
		{"anything but an event stream", "/v1/messages", "*/*, Text/Event-Stream; q=0.0", chat, silence},
		{"anything but text", "/v1/chat/completions", "text/*;q=0, */*", chat, silence},
		{"nothing but JSON", "/v1/chat/completions", "application/json, */*;q=0", chat, silence},
		{"text that is an event stream", "/v1/chat/completions", "text/*;q=0, text/event-stream", chat, &openAIChat},
		{"no event stream on a path of its own", "/assistant/ask", "text/event-stream;q=0", chat, silence},
		{"no event stream of another API", "/feed", "text/event-stream;q=0", `{"a":1}`, silence},
		{"anything but JSON lines", "/api/chat", "application/x-ndjson;q=0, */*", `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, silence},
		{"JSON-RPC", "/rpc", anything, `{"jsonrpc":"2.0","stream":true,"messages":[]}`, silence},
		{"JSON-RPC for events", "/rpc", events, `{"jsonrpc":"2.0","stream":true,"messages":[]}`, &eventSource},
		{"useChat on a path of its own", "/ask", anything, `{"stream":true,"trigger":"submit-message","messages":[{"role":"user","parts":[]}]}`, silence},
		{"useChat of AI SDK 4 on a path of its own", "/ask", anything, `{"stream":true,"messages":[{"role":"user","content":"hi","parts":[]}]}`, silence},
		{"Twirp", "/twirp/chat.Chat/Ask", anything, chat, silence},
		{"Twirp, a method like an API", "/twirp/chat.Chat/Generate", anything, `{"input_ids":[1],"stream":true}`, silence},
		{"Twirp behind a prefix", "/api/twirp/chat.Chat/completions", events, prompt, silence},
		{"JSON", "/v1/chat/completions", "application/json", chat, &openAIChat},
		{"JSON or events", "/v1/messages", "application/json, text/event-stream", chat, &anthropic},
		{"Java's any", "/v1/chat/completions", "text/html, image/gif, *; q=.2", chat, &openAIChat},
		{"lines of JSON from Ollama", "/api/chat", "application/x-ndjson", `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, &ollamaChat},
		{"Open WebUI's page", "/api/chat/completions", anything, `{"stream":true,"model":"m","messages":[{"role":"user","content":"hi"}],"chat_id":"1","session_id":"2","id":"3"}`, silence},
		{"Open WebUI's API", "/api/chat/completions", anything, chat, &openAIChat},
		{"answers that are whole", "/api/pull", events, `{"model":"m"}`, silence},
		{"answers that are whole, though a stream is asked for", "/v1/audio/speech", events, `{"stream":true,"input":"hi"}`, silence},
		{"answers that are whole, of a chat", "/v1/embeddings", events, chat, silence},
		{"answers that are whole, without JSON", "/api/push", events, `q=1`, silence},
		{"a list, whatever is accepted", "/v1beta/models/g:streamGenerateContent", events, `{"contents":[]}`, silence},

		// Servers know these paths not: they answer 404, or redirect.
		{"two slashes", "/api//generate", anything, `{"model":"m","prompt":"hi","text":"x","stream":true}`, silence},
		{"capitals", "/API/generate", anything, `{"model":"m","prompt":"hi","text":"x","stream":true}`, silence},
		{"capitals, at the end", "/v1/Messages", anything, chat, silence},
		{"capitals of a method", "/v1beta/models/g:StreamGenerateContent?alt=sse", anything, chat, silence},
		{"two slashes before an API", "//v1/chat/completions", anything, chat, silence},
		{"two slashes in the end", "/v1/chat//completions", anything, chat, silence},
		{"dots", "/v1/x/../chat/completions", anything, chat, silence},
		{"two slashes, and events", "/api//chat", events, chat, silence},
		{"an encoded slash", "/v1/chat%2Fcompletions", anything, chat, silence},
		{"an encoded slash in lower case, and events", "/v1%2fchat%2fcompletions", events, chat, silence},
		{"an encoded slash before a path that is another API's end", "/api%2Fgenerate", anything, `{"model":"m","prompt":"hi","text":"x","stream":true}`, silence},
		{"an encoded slash at the end", "/v1/messages%2F", anything, chat, silence},
		{"an encoded slash in the name of a model", "/v1beta/models/tuned%2Fg:streamGenerateContent?alt=sse", anything, `{"contents":[]}`, &gemini},
		{"an encoded slash before an API", "/models/org%2Fname/v1/chat/completions", anything, chat, &openAIChat},
		{"an encoded slash of no API", "/assistant%2Fask", anything, chat, &openAIChat},
		{"an encoded letter is that letter", "/v1/chat/%63ompletions", anything, chat, &openAIChat},
		{"so is an encoded colon", "/v1beta/models/g%3AstreamGenerateContent?alt=sse", anything, `{"contents":[]}`, &gemini},
		{"two slashes of no API", "//assistant//ask", anything, chat, &openAIChat},
		{"capitals of no API", "/Assistant/Ask", anything, chat, &openAIChat},
		{"capitals before an API", "/MyTeam/v1/messages", anything, chat, &anthropic},
		{"an API behind a prefix", "/ollama/api/generate", anything, `{"model":"m","prompt":"hi"}`, &ollamaGenerate},
		{"an API below a model", "/v1/models/claude/messages", anything, chat, &anthropic},
		{"a model", "/v1/models/llama:predict", anything, chat, &openAIChat},
		{"slashes at the end", "/v1/messages//", anything, chat, &anthropic},
		{"events and no JSON", "/feed", events, `q=1`, &eventSource},
	} {
		t.Run(c.api, func(t *testing.T) {
			r := httptest.NewRequest("POST", c.path, strings.NewReader(c.body))
			r.Header.Set("Accept", c.accept)
			var got *Dialect
			if found := Detect(r); found != nil {
				if q, ok := found.Parse(r, []byte(c.body)); ok {
					got = q.dialect
				}
			}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// TestOllamaOfAPage: a page that means Ollama says that it wants a stream, as Ollama's library
// does.
func TestOllamaOfAPage(t *testing.T) {
	for _, c := range []struct {
		path, body string
		want       bool
	}{
		{"/api/chat", `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, false},
		{"/api/generate", `{"model":"m","prompt":"a picture"}`, false},
		{"/api/chat", `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`, true},
		{"/api/generate", `{"model":"m","stream":true,"prompt":"hi"}`, true},
	} {
		for _, header := range []string{"Origin", "Sec-Fetch-Mode"} {
			r := httptest.NewRequest("POST", "http://app.test"+c.path, strings.NewReader(c.body))
			r.Header.Set(header, map[string]string{"Origin": "http://app.test", "Sec-Fetch-Mode": "cors"}[header])
			found := Detect(r)
			if found == nil {
				t.Fatalf("%s with %s is not a candidate", c.path, header)
			}
			if _, got := found.Parse(r, []byte(c.body)); got != c.want {
				t.Errorf("%s %s with %s: %v", c.path, c.body, header, got)
			}
		}
	}
}

// TestChatsOfOthers: a path of no known API gets a request with the body of a chat. The request
// is held if it shows that it is not OpenAI's.
func TestChatsOfOthers(t *testing.T) {
	const chat = `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`
	for _, c := range []struct {
		name, value string
		unknown     bool // whether it commits there
		known       bool // and on an API's path
	}{
		{"Content-Type", "", true, true},
		{"Content-Type", "application/json", true, true},
		{"Content-Type", "Application/JSON; charset=utf-8", true, true},
		{"Content-Type", "application/octet-stream", false, true},
		{"Content-Type", "application/x-ndjson", false, true},
		{"Content-Type", "application/x-www-form-urlencoded", false, true},
		{"Content-Type", "multipart/form-data; boundary=x", false, true},
		{"Content-Type", "text/xml", false, true},
		{"Content-Type", "text/plain;charset=UTF-8", false, true},
		{"Content-Type", "application/cloudevents+json", false, true},
		{"Content-Type", "application/vnd.api+json", false, true},
		{"Content-Type", "application/connect+json", false, false},
		{"Connect-Protocol-Version", "1", false, false},
		{"Prefer", "respond-async", false, false},
		{"Prefer", "return=minimal, Respond-Async; x=1, wait=10", false, false},
		{"Prefer", "wait=10", true, true},
		{"X-Hub-Signature-256", "sha256=0", false, true},
		{"X-Signature-Ed25519", "0", false, true},
		{"Stripe-Signature", "t=1", false, true},
		{"X-Shopify-Hmac-Sha256", "0", false, true},
		{"X-Github-Event", "push", false, true},
		{"Webhook-Id", "msg_1", false, true},
		{"Ce-Type", "order", false, true},
		{"Last-Event-Id", "1", true, true},
		{"X-Request-Id", "1", true, true},
	} {
		for path, want := range map[string]bool{"/assistant/ask": c.unknown, "/": c.unknown, "/v1/chat/completions": c.known} {
			r := httptest.NewRequest("POST", path, strings.NewReader(chat))
			if c.value != "" {
				r.Header.Set(c.name, c.value)
			}
			got := false
			if found := Detect(r); found != nil {
				_, got = found.Parse(r, []byte(chat))
			}
			if got != want {
				t.Errorf("%s, %s: %s: %v", path, c.name, c.value, got)
			}
		}
	}
}

// TestDocumentedTable: the tables of docs/cold-start.md are those of the code.
func TestDocumentedTable(t *testing.T) {
	documented(t, "<!-- table of streams -->\n", documentedTable())
	documented(t, "<!-- list of others -->\n", documentedOthers())
	documented(t, "<!-- table of errors -->\n", documentedErrors())
	documented(t, "<!-- table of answers -->\n", documentedAnswers())
}

// documented checks a table of docs/cold-start.md.
func documented(t *testing.T, begin, want string) {
	t.Helper()
	const file, end = "../../../docs/cold-start.md", "<!-- end of the table -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	got, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no table between %q and %q", file, begin, end)
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		got = want
	}
	if got != want {
		t.Errorf("%s has another table; run this test with -update", file)
	}
}

// documentedPath renders the path of a rule for people.
func documentedPath(r *rule) string {
	switch {
	case r.exact:
		return "`" + r.path + "`, as a whole"
	case r.below:
		return "`" + r.path + "/…`"
	}
	return "`" + r.path + "`"
}

// documentedOthers renders requests that look like a chat and are not.
func documentedOthers() string {
	var b strings.Builder
	for i, o := range others {
		end := ";"
		if i == len(others)-1 {
			end = "."
		}
		b.WriteString("- " + o.words + end + "\n")
	}
	return b.String()
}

// documentedErrors renders the shapes of errors for people.
func documentedErrors() string {
	var b strings.Builder
	b.WriteString("| shape | path ends in |\n| --- | --- |\n")
	for _, s := range []*shape{openAIShape, anthropicShape, googleShape, textShape, flatShape, twirpShape} {
		var paths []string
		for i := range rules {
			if rules[i].fails == s {
				paths = append(paths, documentedPath(&rules[i]))
			}
		}
		b.WriteString("| " + s.words + " | " + strings.Join(paths, ", ") + " |\n")
	}
	return b.String()
}

// dialects are the names of the dialects for people.
var dialects = map[*Dialect]string{
	&openAIChat: "OpenAI chat", &openAICompletions: "OpenAI completions", &openAIResponses: "OpenAI responses", &anthropic: "Anthropic",
	&gemini: "Gemini", &ollamaChat: "Ollama", &ollamaGenerate: "Ollama", &eventSource: "comments",
}

// What the client gets, in the words of the documentation.
const (
	asItIs      = "the same bytes"
	oneEvent    = "one event"
	eachEvent   = "an event for each value"
	lineEvent   = "one event with its lines"
	eventsOfAPI = "the API's events"
	endOfStream = "the end of the stream"
	endOfAnswer = "the end of an empty answer"
	errorEvent  = "an error event"
	errorAndCut = "an error event, then the connection is aborted"
)

// fails returns what the client gets in place of an answer.
func fails(d *Dialect) string {
	if d.cutsFailures {
		return errorAndCut
	}
	return errorEvent
}

// converts returns what the client gets of a whole answer, and of one that is too large to be
// held.
func converts(d *Dialect) (whole, large string) {
	switch {
	case d.answer == nil:
		return oneEvent, oneEvent
	case d.pieces == nil:
		return eventsOfAPI, fails(d)
	}
	return eventsOfAPI, eventsOfAPI
}

// reads returns what the client gets of lines of JSON, of text, and of a 204.
func reads(d *Dialect) (lines, text, nothing string) {
	lines, text, nothing = fails(d), fails(d), endOfStream
	if d.plain != nil {
		text, nothing = eventsOfAPI, endOfAnswer
	}
	switch {
	case d == &eventSource:
		lines, text = eachEvent, lineEvent
	case d.ndjson:
		lines = asItIs
	case d.chunk != nil:
		lines = eventsOfAPI
	}
	return lines, text, nothing
}

// documentedAnswers renders what the client gets of each kind of answer.
func documentedAnswers() string {
	var b strings.Builder
	b.WriteString("| dialect | the API's stream | its JSON | its JSON, over 16 MiB | lines of the API's JSON | text | 202, 204 or 205 without a body | another 2xx, an error |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, d := range []*Dialect{&openAIChat, &openAICompletions, &openAIResponses, &anthropic, &gemini, &ollamaChat, &eventSource} {
		whole, large := converts(d)
		lines, text, nothing := reads(d)
		b.WriteString("| " + strings.Join([]string{dialects[d], asItIs, whole, large, lines, text, nothing, fails(d)}, " | ") + " |\n")
	}
	return b.String()
}

// TestDocumentedAnswers plays what the table of answers promises.
func TestDocumentedAnswers(t *testing.T) {
	for _, c := range []struct {
		dialect       *Dialect
		body          string
		media, stream string
		whole, event  string // event is in the API's events only
		line          string // of the stream, as JSON
	}{
		{&openAIChat, toolsBody, eventStream, chatChunk1 + chatChunk2, chatJSON, `"object":"chat.completion.chunk"`,
			`{"object":"chat.completion.chunk","choices":[{"delta":{"content":"Hello"}}]}`},
		{&openAICompletions, `{"stream":true,"suffix":"x"}`, eventStream, "data: {\"choices\":[{\"text\":\"Hello\"}]}\n\ndata: [DONE]\n\n",
			`{"id":"c","object":"text_completion","choices":[{"index":0,"text":"Hello"}]}`, "[DONE]", `{"choices":[{"text":"Hello"}]}`},
		{&openAIResponses, `{"stream":true}`, eventStream, "event: response.created\ndata: {\"type\":\"response.created\"}\n\n",
			`{"id":"resp_1","object":"response","output":[]}`, "event: response.completed", `{"type":"response.created"}`},
		{&anthropic, `{"stream":true}`, eventStream, "event: message_start\ndata: {\"type\":\"message_start\"}\n\n",
			`{"id":"msg_1","type":"message","content":[]}`, "event: message_stop", `{"type":"message_start"}`},
		{&gemini, `{}`, eventStream, "data: {\"candidates\":[]}\r\n\r\n", `{"candidates": [{"content": {"parts": [{"text": "Hello"}]}}]}`, "data: ", `{"error":{"message":"x"}}`},
		{&ollamaChat, `{"messages":[{"content":"hi"}],"tools":[{}]}`, "application/x-ndjson", `{"message":{"content":"Hello"},"done":false}` + "\n",
			`{"message":{"role":"assistant","content":"Hello"}, "done":true}`, `"done":false`, `{"message":{"content":"Hello"},"done":false}`},
		{&eventSource, ``, eventStream, "id: 1\ndata: hello\n\n", `{"hello":1}`, "data: ", `{"hello":[]}`},
	} {
		whole, _ := converts(c.dialect)
		lines, plain, nothing := reads(c.dialect)
		for _, answered := range []struct {
			kind, want string
			answer     func(http.ResponseWriter)
		}{
			{"the API's stream", asItIs, answer(200, c.media, c.stream)},
			{"its JSON", whole, answer(200, "application/json", c.whole)},
			{"lines of JSON", lines, answer(200, "application/x-ndjson", c.line+"\n", c.line+"\n")},
			{"text", plain, answer(200, "text/plain", "Hel", "lo\nthere")},
			{"accepted", nothing, answer(202, "", "")},
			{"nothing", nothing, answer(204, "", "")},
			{"sound", fails(c.dialect), answer(200, "audio/wav", "RIFF\x00\x00WAVE")},
			{"an error", fails(c.dialect), answer(503, "text/plain", "busy-marker")},
		} {
			got := play(t, part{dialect: c.dialect, body: c.body, spec: Options{Display: DisplayNone, Interval: 30 * time.Second}, wait: time.Second, answer: answered.answer})
			text, aborted := got.Body.String(), errors.Is(got.err, http.ErrAbortHandler)
			stream := c.stream
			if answered.kind == "lines of JSON" {
				stream = c.line + "\n" + c.line + "\n"
			}
			is := map[string]bool{
				asItIs:      strings.HasSuffix(text, stream) && got.err == nil,
				oneEvent:    strings.HasSuffix(text, "data: "+c.whole+"\n\n") && got.err == nil,
				eachEvent:   strings.HasSuffix(text, "data: "+c.line+"\n\ndata: "+c.line+"\n\n") && got.err == nil,
				lineEvent:   strings.HasSuffix(text, "data: Hello\ndata: there\n\n") && got.err == nil,
				eventsOfAPI: (strings.Contains(text, c.event)) && got.err == nil && !strings.Contains(text, "error"),
				endOfStream: !strings.Contains(text, "error") && got.err == nil,
				endOfAnswer: (strings.HasSuffix(text, done) || strings.Contains(text, `"done":true`)) && got.err == nil,
				errorEvent:  strings.Contains(text, "error") && !aborted,
				errorAndCut: strings.Contains(text, "error") && aborted,
			}
			if !is[answered.want] {
				t.Errorf("%s, %s: want %s, got %q, %v", dialects[c.dialect], answered.kind, answered.want, text, got.err)
			}
		}
	}
}

// documentedTable renders the rules for people.
func documentedTable() string {
	var b strings.Builder
	b.WriteString("| path ends in | the body has | what the client gets |\n| --- | --- | --- |\n")
	for i := range rules {
		r := &rules[i]
		if r.speaks == nil {
			continue
		}
		path, body := documentedPath(r), "anything"
		if r.query != nil {
			path += ", with `alt=sse`"
		}
		if r.body != nil {
			body = r.body.words
		}
		b.WriteString("| " + path + " | " + body + " | " + dialects[r.speaks] + " |\n")
	}
	b.WriteString("| no path that is known | " + chats.words + " | OpenAI chat |\n")
	var silent []string
	for i := range rules {
		if rules[i].speaks == nil && !rules[i].shared {
			silent = append(silent, documentedPath(&rules[i]))
		}
	}
	b.WriteString("| " + strings.Join(silent, ", ") + " | anything, with any `Accept` | silence: the answer must arrive whole |\n")
	return b.String()
}
