package stream

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// streams is a rule that asks for nothing else.
var streams = &rule{speaks: &openAIChat, body: &condition{holds: func(f *facts) bool { return f.stream == isTrue }}}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		reason, body        string
		streaming, harmless bool
		model               string
	}{
		{"the plain case", `{"stream":true,"model":"m","messages":[]}`, true, true, "m"},
		{"white space anywhere", " {\n\t\"stream\" : true , \"model\" : \"m\" }\r\n", true, true, "m"},
		{"an escaped key is the same key", `{"str\u0065am":true}`, true, true, ""},
		{"keys are compared in exact case", `{"Stream":true}`, false, false, ""},
		{"the last duplicate wins: false", `{"stream":true,"stream":false}`, false, false, ""},
		{"the last duplicate wins: true", `{"stream":false,"stream":true}`, true, true, ""},
		{"only the top level counts", `{"messages":[{"stream":true}],"options":{"stream":true}}`, false, false, ""},
		{"text that looks like it does not count", `{"messages":[{"content":"\"stream\":true"}]}`, false, false, ""},
		{"a string is not true", `{"stream":"true"}`, false, false, ""},
		{"a number is not true", `{"stream":1}`, false, false, ""},
		{"trailing garbage is no JSON object", `{"stream":true} x`, false, false, ""},
		{"two documents are no JSON object", `{"stream":true}{"stream":true}`, false, false, ""},
		{"half a body", `{"stream":true,"messages":[{"role":"us`, false, false, ""},
		{"an array", `[{"stream":true}]`, false, false, ""},
		{"null", `null`, false, false, ""},
		{"nothing", ``, false, false, ""},
		{"a form", `stream=true`, false, false, ""},
		{"invalid UTF-8 in a text is the backend's business", "{\"stream\":true,\"user\":\"\xff\"}", true, true, ""},
		{"tools", `{"stream":true,"tools":[{"type":"function"}]}`, true, false, ""},
		{"no tools", `{"stream":true,"tools":[]}`, true, true, ""},
		{"tools taken back are not believed", `{"stream":true,"tools":[{}],"tools":null}`, true, false, ""},
		{"a suffix", `{"stream":true,"suffix":"}"}`, true, false, ""},
		{"raw", `{"stream":true,"raw":true}`, true, false, ""},
		{"a template", `{"stream":true,"template":"{{ .Prompt }}"}`, true, false, ""},
		{"a prediction", `{"stream":true,"prediction":{"type":"content","content":"x"}}`, true, false, ""},
		{"an EBNF grammar", `{"stream":true,"ebnf":"root ::= x"}`, true, false, ""},
		{"citations are counted in characters", `{"stream":true,"web_search_options":{"a":1}}`, true, false, ""},
		{"the answer continues the last message", `{"stream":true,"continue_final_message":true}`, true, false, ""},
		{"no generation prompt", `{"stream":true,"add_generation_prompt":false}`, true, false, ""},
		{"a generation prompt", `{"stream":true,"add_generation_prompt":true}`, true, true, ""},
		{"the last message is the assistant's", `{"stream":true,"messages":[{"role":"user"},{"role":"assistant","content":"{"}]}`, true, false, ""},
		{"an earlier message is the assistant's", `{"stream":true,"messages":[{"role":"assistant"},{"role":"user"}]}`, true, true, ""},
		{"a prefix", `{"stream":true,"messages":[{"role":"user"},{"prefix":true}]}`, true, false, ""},
		{"messages taken back", `{"stream":true,"messages":[{"role":"assistant"}],"messages":[{"role":"user"}]}`, true, true, ""},
		{"functions", `{"stream":true,"functions":[{"name":"f"}]}`, true, false, ""},
		{"text is the default format", `{"stream":true,"response_format":{"type":"text"}}`, true, true, ""},
		{"null format", `{"stream":true,"response_format":null}`, true, true, ""},
		{"JSON format", `{"stream":true,"response_format":{"type":"json_object"}}`, true, false, ""},
		{"schema format", `{"stream":true,"response_format":{"type":"json_schema","json_schema":{}}}`, true, false, ""},
		{"guided decoding", `{"stream":true,"guided_choice":["a"]}`, true, false, ""},
		{"structured outputs", `{"stream":true,"structured_outputs":{"json":{}}}`, true, false, ""},
		{"NIM", `{"stream":true,"nvext":{"guided_json":{"type":"object"},"top_k":1}}`, true, false, ""},
		{"NIM, unguided", `{"stream":true,"nvext":{"top_k":1,"guided_json":null}}`, true, true, ""},
		{"TabbyAPI", `{"stream":true,"regex_pattern":"a+"}`, true, false, ""},
		{"TabbyAPI, a text that is continued", `{"stream":true,"response_prefix":"a"}`, true, false, ""},
		{"some tokens", `{"stream":true,"allowed_token_ids":[1]}`, true, false, ""},
		{"search of OpenRouter", `{"stream":true,"plugins":[{"id":"web"}]}`, true, false, ""},
		{"search of OpenRouter, by the model", `{"stream":true,"model":"m:online"}`, true, false, "m:online"},
		{"search of xAI", `{"stream":true,"search_parameters":{"mode":"auto"}}`, true, false, ""},
		{"grammar", `{"stream":true,"grammar":"root ::= x"}`, true, false, ""},
		{"json_schema", `{"stream":true,"json_schema":{"type":"object"}}`, true, false, ""},
		{"regex", `{"stream":true,"regex":"a+"}`, true, false, ""},
		{"format", `{"stream":true,"format":"json"}`, true, false, ""},
		{"a schema that any JSON matches", `{"stream":true,"json_schema":{}}`, true, false, ""},
		{"guided by any JSON", `{"stream":true,"guided_json":{ }}`, true, false, ""},
		{"guided by an empty grammar", `{"stream":true,"guided_grammar":""}`, true, false, ""},
		{"structured outputs without options", `{"stream":true,"structured_outputs":{}}`, true, false, ""},
		{"a search without options", `{"stream":true,"web_search_options":{}}`, true, false, ""},
		{"an empty grammar", `{"stream":true,"grammar":""}`, true, false, ""},
		{"Ollama's format of any JSON", `{"stream":true,"format":{}}`, true, false, ""},
		{"a response format without a type", `{"stream":true,"response_format":{}}`, true, false, ""},
		{"no schema", `{"stream":true,"json_schema":null,"guided_json":null,"structured_outputs":null,"grammar":null}`, true, true, ""},
		{"what Ollama's client leaves empty", `{"stream":true,"format":"","suffix":"","template":""}`, true, true, ""},
		{"one choice", `{"stream":true,"n":1}`, true, true, ""},
		{"one choice, as a float", `{"stream":true,"n":1.0}`, true, true, ""},
		{"two choices", `{"stream":true,"n":2}`, true, false, ""},
		{"logprobs", `{"stream":true,"logprobs":true}`, true, false, ""},
		{"no logprobs", `{"stream":true,"logprobs":false}`, true, true, ""},
		{"audio", `{"stream":true,"audio":{"voice":"alloy"}}`, true, false, ""},
		{"audio as a modality", `{"stream":true,"modalities":["text","audio"]}`, true, false, ""},
		{"text as the only modality", `{"stream":true,"modalities":["text"]}`, true, true, ""},
		{"a long model name is left out", `{"stream":true,"model":"` + strings.Repeat("m", 257) + `"}`, true, true, ""},
		{"the longest model name", `{"stream":true,"model":"` + strings.Repeat("m", 256) + `"}`, true, true, strings.Repeat("m", 256)},
		{"a model that is no string", `{"stream":true,"model":{"a":1}}`, true, true, ""},
	} {
		t.Run(c.reason, func(t *testing.T) {
			q, streaming := (&Candidate{rule: streams}).Parse(&http.Request{}, []byte(c.body))
			if streaming != c.streaming || q.harmless != c.harmless || q.model != c.model {
				t.Errorf("got streaming %v harmless %v model %q, want %v %v %q",
					streaming, q.harmless, q.model, c.streaming, c.harmless, c.model)
			}
		})
	}
}

func TestParseOllama(t *testing.T) {
	for _, c := range []struct {
		reason, path, body string
		want               bool
	}{
		{"streams by default", "/api/chat", `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, true},
		{"unless told not to", "/api/chat", `{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":false}`, false},
		{"no messages only load the model", "/api/chat", `{"model":"m","messages":[]}`, false},
		{"useChat of AI SDK: parts, no model", "/api/chat", `{"id":"1","messages":[{"role":"user","parts":[{"type":"text","text":"hi"}]}]}`, false},
		{"useChat that names a model", "/api/chat", `{"model":"m","messages":[{"role":"user","parts":[]}]}`, false},
		{"no model", "/api/chat", `{"messages":[{"role":"user","content":"hi"}],"stream":true}`, false},
		{"content in parts", "/api/chat", `{"model":"m","messages":[{"role":"user","content":[{"text":"hi"}]}]}`, false},
		{"a prompt", "/api/generate", `{"model":"m","prompt":"hi"}`, true},
		{"a prompt without a model", "/api/generate", `{"prompt":"hi"}`, false},
		{"no prompt only loads the model", "/api/generate", `{"model":"m","prompt":""}`, false},
		{"messages are for chat", "/api/generate", `{"model":"m","messages":[{"content":"hi"}]}`, false},
		{"a model that is no text", "/api/generate", `{"model":{"a":1},"prompt":"hi"}`, false},
	} {
		t.Run(c.reason, func(t *testing.T) {
			if _, got := (&Candidate{rule: ruleOf(&url.URL{Path: c.path})}).Parse(&http.Request{}, []byte(c.body)); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestParseKeepsNothing holds a large body against the memory that parsing it
// takes: megabytes of text, and of tiny members.
func TestParseKeepsNothing(t *testing.T) {
	bodies := map[string][]byte{
		"one text":      []byte(`{"stream":true,"messages":"` + strings.Repeat("x", 8<<20) + `"}`),
		"tiny messages": []byte(`{"stream":true,"messages":[{}` + strings.Repeat(`,{"role":"a"}`, 1<<18) + `]}`),
		"tiny members":  []byte(`{"stream":true` + strings.Repeat(`,"a":1`, 1<<18) + `}`),
		"deep arrays":   []byte(`{"stream":true,"a":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`),
	}
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, ok := (&Candidate{rule: streams}).Parse(&http.Request{}, body)
			runtime.ReadMemStats(&after)
			if !ok {
				t.Fatal("not streaming")
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
				t.Errorf("parsing %d bytes allocated %d", len(body), took)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"stream":true,"model":"m"}`, `{"stream":true,"stream":0}`, `{"n":1e0,"stream":true}`, `{"str\u0065am":true}`,
		`{"stream":true,"tools":[ ],"response_format":{"type":"text"},"modalities":["text"]}`,
		`{"a":"\\\"","stream":true,"guided_json":{}}`, `{"model":"\ud800\u0000<"}`, `[1]`, `{}`, `{"":{}}`, "\xef\xbb\xbf{}",
		`{"stream":true,"messages":[[],{"a":[{}]}],"prompt":""}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, ok := parseFacts(body)
		want, wantOK := modelFacts(body)
		if ok != wantOK {
			t.Fatalf("object: got %v, want %v", ok, wantOK)
		}
		// A duplicate that takes a member back is not believed.
		want.restricted |= got.restricted & byPresence
		want.other = want.other || got.other && duplicates(body)
		if ok && got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// TestParseAgreesWithTheModel tries bodies that consist of the keys that matter and of every kind
// of value, which fuzzing rarely finds by itself.
func TestParseAgreesWithTheModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from []string) string { return from[random.IntN(len(from))] }
	keys := []string{
		"stream", "model", "messages", "prompt", "inputs", "input", "conversation", "text", "anthropic_version", "add_generation_prompt", "continue_final_message", "background", "tools", "functions", "response_format", "structured_outputs", "grammar", "suffix",
		"json_schema", "regex", "format", "n", "logprobs", "top_logprobs", "audio", "modalities", "guided_json", "Stream", "", `st\u0072eam`, `\"`,
	}
	values := []string{
		"true", "false", "null", "1", "1.0", "10e-1", "-0", "0", `""`, `"text"`, `"a\\"`, `"\"}"`, `"\ud800"`, "[]", "[ ]", "{}", "{\n}", `["text"]`,
		`["text","audio"]`, `[1,[2]]`, `{"type":"text"}`, `{"type":"json_object","type":"text"}`, `{"a":{"type":"text"}}`, `{"stream":true,"x":[{}]}`,
		`[{"role":"assistant"}]`, `[{"content":"a"},{"role":"user","prefix":true}]`, `[{"role":"assistant","content":""},{}]`, `[{"content":"a","content":1}]`,
		`[{"role":"user"}]`, `[{"role":"user"},{"role":""}]`, `[{"role":"user"},1]`, `[{"role":"user","role":null}]`, `[{"role":"user","content":"a","parts":null}]`,
	}
	spaces := []string{"", "", "", " ", "\n\t"}
	for range 20_000 {
		body := pick(spaces) + "{"
		for i := range random.IntN(6) {
			if i > 0 {
				body += ","
			}
			body += pick(spaces) + `"` + pick(keys) + `"` + pick(spaces) + ":" + pick(spaces) + pick(values) + pick(spaces)
		}
		body += "}" + pick(spaces)
		got, ok := parseFacts([]byte(body))
		want, wantOK := modelFacts([]byte(body))
		want.restricted |= got.restricted & byPresence
		want.other = want.other || got.other && duplicates([]byte(body))
		if ok != wantOK || got != want {
			t.Fatalf("%s\ngot  %v %+v\nwant %v %+v", body, ok, got, wantOK, want)
		}
	}
}

// duplicates reports whether an object has a member twice, perhaps.
func duplicates(body []byte) bool { return bytes.Count(body, []byte(`"messages"`)) > 1 }

// modelFacts is parseFacts as one would write it without a thought for memory.
func modelFacts(body []byte) (facts, bool) {
	var m map[string]any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if !json.Valid(body) || decoder.Decode(&m) != nil || m == nil {
		return facts{}, false
	}
	set := func(v any) bool {
		switch v := v.(type) {
		case nil:
			return false
		case bool:
			return v
		case string:
			return v != ""
		case []any:
			return len(v) > 0
		case map[string]any:
			return len(v) > 0
		}
		return true
	}
	var f facts
	if v, has := m["stream"]; has {
		f.stream = isOther
		if v == true {
			f.stream = isTrue
		}
		if v == false {
			f.stream = isFalse
		}
	}
	if s, isText := m["model"].(string); isText && len(s) <= maxModel {
		f.model = s
	}
	isText := func(v any) bool { s, is := v.(string); return is && s != "" }
	if messages, is := m["messages"].([]any); is {
		f.messages = true
		for _, one := range messages {
			message, _ := one.(map[string]any)
			f.messages = f.messages && isText(message["role"])
			if _, has := message["parts"]; has {
				f.parts = true
			}
		}
		if len(messages) > 0 {
			first, _ := messages[0].(map[string]any)
			last, _ := messages[len(messages)-1].(map[string]any)
			f.content = isText(first["content"])
			f.restrict(byLastMessage, last["role"] == "assistant" || last["prefix"] == true)
		}
	}
	f.inputs, f.anthropic = set(m["inputs"]), isText(m["anthropic_version"])
	for i, name := range givenNames {
		switch v := m[name].(type) {
		case nil:
		case string:
			if f.given[i] = emptyText; v != "" {
				f.given[i] = someText
			}
		case []any:
			f.given[i] = list
		case map[string]any:
			f.given[i] = object
		default:
			f.given[i] = scalar
		}
	}
	f.background = m["background"] == true
	for key := range m {
		f.other = f.other || key == "messages" && !f.messages || !slices.Contains([]string{"stream", "stream_options", "model", "messages"}, key)
	}
	f.restrict(byGeneration, m["add_generation_prompt"] == false)
	asks := func(v any, evenEmpty bool) bool {
		_, isObject := v.(map[string]any)
		return set(v) || isObject || evenEmpty && v == ""
	}
	for key, evenEmpty := range restrictive {
		if asks(m[key], evenEmpty) {
			f.restricted |= byPresence
		}
	}
	if v := m["response_format"]; asks(v, false) {
		object, _ := v.(map[string]any)
		f.restrict(byResponseFormat, object["type"] != "text")
	}
	if v := m["n"]; v != nil {
		n, _ := v.(json.Number)
		one, err := strconv.ParseFloat(string(n), 64)
		f.restrict(byChoices, err != nil || one != 1 || len(n) > 32)
	}
	if v := m["modalities"]; set(v) {
		list, isList := v.([]any)
		f.restrict(byModalities, !isList)
		for _, kind := range list {
			if kind != "text" {
				f.restrict(byModalities, true)
			}
		}
	}
	for key, v := range m {
		if strings.HasPrefix(key, "guided_") && asks(v, true) {
			f.restrict(byPresence, true)
		}
	}
	return f, true
}
