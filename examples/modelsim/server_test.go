package main

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func ask(t *testing.T, s *simulator, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	s.routes().ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
	return w
}

func loaded() *simulator {
	s := &simulator{model: "simulated"}
	s.ready.Store(true)
	return s
}

type chunk struct {
	ID      string `json:"id"`
	Choices []struct {
		Index int    `json:"index"`
		Text  string `json:"text"`
		Delta struct {
			Role      string `json:"role"`
			Content   string `json:"content"`
			ToolCalls []struct {
				Function struct {
					Name      string `json:"name"`
					Arguments string `json:"arguments"`
				} `json:"function"`
			} `json:"tool_calls"`
		} `json:"delta"`
		Finish string `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		Total int `json:"total_tokens"`
	} `json:"usage"`
}

// events parses a stream and requires [DONE] at its end.
func events(t *testing.T, body io.Reader) []chunk {
	t.Helper()
	raw, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(raw), "\n\n"), "\n\n")
	if last := lines[len(lines)-1]; last != "data: [DONE]" {
		t.Fatalf("last event is %q", last)
	}
	var chunks []chunk
	for _, line := range lines[:len(lines)-1] {
		var c chunk
		if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &c); err != nil {
			t.Fatalf("event %q: %v", line, err)
		}
		chunks = append(chunks, c)
	}
	return chunks
}

func TestStream(t *testing.T) {
	tests := map[string]struct {
		body, text, tool, args, finish string
		usage                          bool
	}{
		"text":  {body: `{"stream":true,"messages":[{"role":"user","content":"hi"}]}`, text: `You said: "hi".`, finish: "stop"},
		"parts": {body: `{"stream":true,"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}`, text: `You said: "hi".`, finish: "stop"},
		"usage": {body: `{"stream":true,"stream_options":{"include_usage":true},"messages":[]}`, text: "Hello!", finish: "stop", usage: true},
		"json":  {body: `{"stream":true,"response_format":{"type":"json_object"},"messages":[]}`, text: `{"answer":"Berlin"}`, finish: "stop"},
		"tools": {body: `{"stream":true,"tools":[{"type":"function","function":{"name":"weather","parameters":{"properties":{"city":{"type":"string"}}}}}],"messages":[]}`, tool: "weather", args: `{"city":"Berlin"}`, finish: "tool_calls"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := ask(t, loaded(), "/v1/chat/completions", test.body)
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/event-stream" {
				t.Fatalf("answer %d %q", w.Code, w.Header().Get("Content-Type"))
			}
			var content, call, args, finish string
			usage := false
			chunks := events(t, w.Body)
			for i, c := range chunks {
				if c.ID != chunks[0].ID {
					t.Errorf("id %q differs from the first, %q", c.ID, chunks[0].ID)
				}
				usage = usage || c.Usage != nil && c.Usage.Total > 0
				for _, choice := range c.Choices {
					if (choice.Delta.Role == "assistant") != (i == 0) {
						t.Errorf("chunk %d has role %q", i, choice.Delta.Role)
					}
					content += choice.Delta.Content
					finish += choice.Finish
					for _, tool := range choice.Delta.ToolCalls {
						call += tool.Function.Name
						args += tool.Function.Arguments
					}
				}
			}
			if !strings.HasPrefix(content, test.text) || call != test.tool || args != test.args || finish != test.finish || usage != test.usage {
				t.Errorf("content %q, call %q(%s), finish %q, usage %t", content, call, args, finish, usage)
			}
		})
	}
}

func TestStreamIsTheWholeAnswer(t *testing.T) {
	s := loaded()
	for _, path := range []string{"/v1/chat/completions", "/v1/completions"} {
		var whole struct {
			Choices []struct {
				Message struct{ Content string }
				Text    string
			}
		}
		body := `{"n":2,"prompt":"hi","messages":[{"role":"user","content":"hi"}]`
		if err := json.Unmarshal(ask(t, s, path, body+"}").Body.Bytes(), &whole); err != nil {
			t.Fatal(err)
		}
		streamed := map[int]string{}
		for _, c := range events(t, ask(t, s, path, body+`,"stream":true}`).Body) {
			for _, choice := range c.Choices {
				streamed[choice.Index] += choice.Delta.Content + choice.Text
			}
		}
		if len(whole.Choices) != 2 {
			t.Fatalf("%s: %d choices", path, len(whole.Choices))
		}
		for i, choice := range whole.Choices {
			if want := choice.Message.Content + choice.Text; want == "" || streamed[i] != want {
				t.Errorf("%s: choice %d streamed %q, whole %q", path, i, streamed[i], want)
			}
		}
	}
}

func TestFailure(t *testing.T) {
	always := loaded()
	always.failure = 500
	for name, test := range map[string]struct {
		s          *simulator
		path, body string
		status     int
		says       string
	}{
		"openai":      {loaded(), "/v1/chat/completions", `{"model":"sim-429"}`, 429, `"code":"simulated_429"`},
		"anthropic":   {loaded(), "/v1/messages", `{"model":"sim-529"}`, 529, `"type":"overloaded_error"`},
		"ollama":      {loaded(), "/api/chat", `{"model":"sim-500"}`, 500, `{"error":"simulated failure 500"}`},
		"gemini":      {loaded(), "/v1beta/models/sim-503:generateContent", `{}`, 503, `"status":"UNAVAILABLE"`},
		"page":        {loaded(), "/v1/completions", `{"model":"sim-html"}`, 502, "<html>"},
		"by flag":     {always, "/v1/responses", `{}`, 500, "simulated failure 500"},
		"loading":     {&simulator{}, "/v1/messages", `{}`, 503, "the model is loading"},
		"no failure":  {loaded(), "/v1/messages", `{"model":"sim-200"}`, 200, "Hello!"},
		"no JSON":     {loaded(), "/v1/messages", `{`, 400, "invalid_request_error"},
		"JSON anyway": {loaded(), "/v1/messages", `{"model":"sim-json","stream":true}`, 200, `"type":"message"`},
	} {
		w := ask(t, test.s, test.path, test.body)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.says) {
			t.Errorf("%s: status %d, want %d: %s", name, w.Code, test.status, w.Body)
		}
	}
}

func TestCut(t *testing.T) {
	for _, stream := range []string{"true", "false"} {
		w := httptest.NewRecorder()
		func() {
			defer func() {
				if err := recover(); !reflect.DeepEqual(err, http.ErrAbortHandler) {
					t.Errorf("stream %s: the handler ended with %v", stream, err)
				}
			}()
			r := httptest.NewRequest(http.MethodPost, "/v1/messages", strings.NewReader(`{"model":"sim-cut","stream":`+stream+`}`))
			loaded().routes().ServeHTTP(w, r)
		}()
		if w.Body.Len() == 0 || strings.Contains(w.Body.String(), "end_turn") {
			t.Errorf("stream %s: got %q", stream, w.Body)
		}
	}
}

func TestCompressed(t *testing.T) {
	w := ask(t, loaded(), "/v1/chat/completions", `{"model":"sim-gzip","stream":true}`)
	body, err := gzip.NewReader(w.Body)
	if err != nil || w.Header().Get("Content-Encoding") != "gzip" {
		t.Fatalf("coding %q: %v", w.Header().Get("Content-Encoding"), err)
	}
	if chunks := events(t, body); len(chunks) < 3 {
		t.Errorf("got %d chunks", len(chunks))
	}
}

func TestSameQuestionSameAnswer(t *testing.T) {
	s := loaded()
	for _, path := range []string{"/v1/responses", "/v1/messages", "/v1beta/models/sim:generateContent"} {
		body := `{"input":"hi","messages":[{"role":"user","content":"hi"}],"contents":[{"parts":[{"text":"hi"}]}]}`
		// The second at which it was created may differ.
		clean := regexp.MustCompile(`"created_at":\d+`)
		first, second := ask(t, s, path, body).Body.String(), ask(t, s, path, body).Body.String()
		if clean.ReplaceAllString(first, "") != clean.ReplaceAllString(second, "") || !strings.Contains(first, `You said: \"hi\".`) {
			t.Errorf("%s: got %s and %s", path, first, second)
		}
	}
}

func TestHealth(t *testing.T) {
	s := &simulator{}
	for _, want := range []int{503, 200} {
		w := httptest.NewRecorder()
		s.routes().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
		if w.Code != want {
			t.Errorf("status %d, want %d", w.Code, want)
		}
		s.ready.Store(true)
	}
}
