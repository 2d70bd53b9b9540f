package stream

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// TestAnswersOfOtherShapes: a 2xx that is neither a stream nor JSON of the API arrives, however it
// is cut into pieces.
func TestAnswersOfOtherShapes(t *testing.T) {
	const chunk = `{"object":"chat.completion.chunk","choices":[{"index":1,"delta":{"content":"Hi"}}]}`
	end := `data: {"id":"","object":"chat.completion.chunk","created":0,"model":"m","choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}]}` + "\n\n" + done
	open := &Dialect{} // a path of no known API, where a chat is guessed
	for _, c := range []struct {
		reason  string
		dialect *Dialect
		media   string
		status  int
		body    string
		want    string // of the text of deltas, if it is a chat
	}{
		{"lines of JSON", &eventSource, "application/x-ndjson", 200, "{\"a\":1}\n{\"a\": 2}\r\n\n[3]\n", "data: {\"a\":1}\n\ndata: {\"a\": 2}\n\ndata: [3]\n\n"},
		{"lines without a type", &eventSource, "", 200, "{\"a\":1}\n{\"a\":2}", "data: {\"a\":1}\n\ndata: {\"a\":2}\n\n"},
		{"values in a row", &eventSource, "application/json", 200, `{"a":"}{"}{"a":"\""}`, `data: {"a":"}{"}` + "\n\n" + `data: {"a":"\""}` + "\n\n"},
		{"a sequence of RFC 7464", &eventSource, "application/json-seq", 200, "\x1e{\"a\":1}\n\x1e{\"a\":2}\n", "data: {\"a\":1}\n\ndata: {\"a\":2}\n\n"},
		{"lines, one of them not JSON", &eventSource, "application/jsonl", 200, "{\"a\":1}\nfatal: no memory\n{\"a\":2}\n", "data: {\"a\":1}\n\ndata: fatal: no memory\n\ndata: {\"a\":2}\n\n"},
		{"lines of scalars", &eventSource, "application/jsonl", 200, "1\n\"x\"\nnull\n", "data: 1\n\ndata: \"x\"\n\ndata: null\n\n"},
		{"a document on many lines", &eventSource, "application/json", 200, "{\n  \"a\": [1,\n  2]\n}\n", `data: {  "a": [1,  2]}` + "\n\n"},
		{"a number", &eventSource, "application/json", 200, "42", "data: 42\n\n"},
		{"a text of JSON", &eventSource, "application/json", 200, `"x"`, `data: "x"` + "\n\n"},
		{"a boolean without a type", &eventSource, "", 200, "true", "data: true\n\n"},
		{"lines of text", &eventSource, "text/plain", 200, "one\n\ntwo\r\n three\rfour", "data: one\ndata: \ndata: two\ndata:  three\ndata: four\n\n"},
		{"a page", &eventSource, "text/html", 200, "<h1>\nHi</h1>\n", "data: <h1>\ndata: Hi</h1>\n\n"},
		{"XML that is called a stream", &eventSource, eventStream, 200, "<a>\n</a>", "data: <a>\ndata: </a>\n\n"},
		{"a log that looks like JSON", &eventSource, "text/plain", 200, "[INFO] one\n[1] two\n", "data: [INFO] one\ndata: [1] two\n\n"},
		{"a footnote", &eventSource, "text/plain", 200, "[1] see there\nor here\n", "data: [1] see there\ndata: or here\n\n"},
		{"a template", &eventSource, "", 200, "{{.Title}}\nx", "data: {{.Title}}\ndata: x\n\n"},
		{"text that is not English", &eventSource, "text/plain", 201, "größer\n", "data: größer\n\n"},

		{"chunks by the line", &openAIChat, "application/x-ndjson", 200, chunk + "\n" + chunk + "\n", "data: " + chunk + "\n\ndata: " + chunk + "\n\n" + done},
		{"chunks by the line, guessed", open, "text/plain", 200, chunk + "\n" + chunk, "data: " + chunk + "\n\ndata: " + chunk + "\n\n" + done},
		{"text", &openAIChat, "text/plain", 200, "größer\n\nHi", "größer\n\nHi"},
		{"text without a type", open, "", 200, "Hi there", "Hi there"},
		{"a page where a chat is guessed", open, "text/html", 200, "<b>Hi</b>", "<b>Hi</b>"},
		{"XML", open, "application/xml", 200, "<?xml version=\"1.0\"?>\n<a/>", "<?xml version=\"1.0\"?>\n<a/>"},
		{"a stream of AI SDK", open, "text/plain; charset=utf-8", 200, "0:\"Hel\"\n0:\"lo\"\nd:{}\n", "0:\"Hel\"\n0:\"lo\"\nd:{}\n"},
		{"lines of another API", open, "application/x-ndjson", 200, "{\"text\":\"Hel\"}\n{\"text\":\"lo\"}\n", "{\"text\":\"Hel\"}\n{\"text\":\"lo\"}\n"},
		{"JSON of another API", open, "application/json", 200, "{\n\"answer\": 1}", "{\n\"answer\": 1}"},
		{"a list", open, "application/json", 200, "[1, 2]", "[1, 2]"},
		{"a job", open, "application/json", 202, `{"job":1}`, `{"job":1}`},
		{"a log that looks like JSON, guessed", open, "", 200, "[INFO] one\ntwo", "[INFO] one\ntwo"},
		{"nothing", open, "", 204, "", ""},
		{"nothing yet", &openAIChat, "", 202, "", ""},
		{"nothing where a chat is guessed", open, "text/plain", 200, "", ""},
	} {
		t.Run(c.reason, func(t *testing.T) {
			for _, pieces := range [][]string{{c.body}, strings.SplitAfter(c.body, "")} {
				got, err := otherwise(t, c.dialect, answer(c.status, c.media, pieces...))
				want := c.want
				if c.dialect != &eventSource && !strings.HasPrefix(want, "data: ") {
					text, complete := strings.CutSuffix(got, end)
					if !complete {
						t.Errorf("no end: %q", got)
					}
					got = contentOf(t, text)
				}
				if got != want || err != nil {
					t.Errorf("%d pieces: got %v %q, want %q", len(pieces), err, got, want)
				}
			}
		})
	}
	for _, c := range []struct {
		reason  string
		dialect *Dialect
		media   string
		body    string
	}{
		{"sound", open, "audio/wav", "RIFF\x00\x00\x00\x00WAVE"},
		{"a picture without a type", open, "", "\x89PNG\r\n\x1a\n0123456789"},
		{"a document that begins like text", open, "application/pdf", "%PDF-1.4\n%"},
		{"gzip", open, "application/json", "\x1f\x8b\x08\x00"},
		{"gzip that is called a stream", &eventSource, eventStream, "\x1f\x8b\x08\x00"},
		{"UTF-16", &eventSource, "text/plain", "\xff\xfeH\x00i\x00"},
		{"an error with a good status", open, "application/json", `{"error":{"message":"no"}}`},
		{"a page where the API is known", &openAIChat, "text/html", "<h1>Log in</h1>"},
		{"JSON that is not the API's", &openAIChat, "application/json", `{"answer":1}`},
	} {
		t.Run(c.reason, func(t *testing.T) {
			for _, pieces := range [][]string{{c.body}, strings.SplitAfter(c.body, "")} {
				got, err := otherwise(t, c.dialect, answer(200, c.media, pieces...))
				if !strings.Contains(got, `"error":{"message":`) || strings.Contains(got, done) || errors.Is(err, http.ErrAbortHandler) != (c.dialect == &eventSource) {
					t.Errorf("got %v %q", err, got)
				}
			}
		})
	}
}

// TestAnswersInOtherPlaces: servers put an answer where other APIs have it, and the client reads
// its text.
func TestAnswersInOtherPlaces(t *testing.T) {
	const choices = `[{"index":0,"message":{"role":"assistant","content":"Hi <b>"},"finish_reason":"stop"}]`
	for _, c := range []struct {
		reason  string
		dialect *Dialect
		body    string
		more    string // in the answer, besides the text
	}{
		{"a completion", &openAIChat, `{"id":"1","choices":[{"index":0,"text":"Hi <b>","finish_reason":"stop"}],"usage":{"total_tokens":3}}`, `"usage":{"total_tokens":3}`},
		{"a completion without an index", &openAIChat, `{"choices":[{"text":"Hi <b>"}]}`, ""},
		{"a completion beside no message", &openAIChat, `{"choices":[{"message":null,"text":"Hi <b>"}]}`, ""},
		{"a chunk", &openAIChat, `{"object":"chat.completion.chunk","choices":[{"delta":{"role":"assistant","content":"Hi <b>"},"finish_reason":"length"}]}`, `"finish_reason":"length"`},
		{"a chunk beside a message", &openAIChat, `{"choices":[{"delta":{"content":"no"},"message":{"content":"Hi <b>"}}]}`, ""},
		{"a message beside a text", &openAIChat, `{"choices":[{"text":"","message":{"content":"Hi <b>"}}]}`, ""},
		{"an envelope", &openAIChat, `{"code":0,"msg":"ok","data":{"id":"7","choices":` + choices + `}}`, `"id":"7"`},
		{"DashScope's", &openAIChat, `{"output":{"choices":` + choices + `},"usage":{},"request_id":"1"}`, ""},
		{"DashScope's text", &openAIChat, `{"output":{"text":"Hi <b>","finish_reason":"stop"}}`, ""},
		{"a list", &openAIChat, `[{"choices":` + choices + `}]`, ""},
		{"Ollama's", &openAIChat, `{"model":"m","message":{"role":"assistant","content":"Hi <b>"},"done":true}`, ""},
		{"Cohere's", &openAIChat, `{"id":"1","message":{"role":"assistant","content":[{"type":"text","text":"Hi "},{"type":"text","text":"<b>"}]}}`, ""},
		{"TGI's", &openAIChat, `{"generated_text":"Hi <b>","details":null}`, ""},
		{"Hugging Face's", &openAIChat, `[{"generated_text":"Hi <b>"}]`, ""},
		{"many members", &openAIChat, `{"generated_text":"Hi <b>"` + strings.Repeat(` , "n" : [0]`, maxMembers-1) + ` }`, ""},
		{"Cloudflare's", &openAIChat, `{"result":{"response":"Hi <b>"},"success":true,"errors":[],"messages":[]}`, ""},
		{"Anthropic's", &openAIChat, `{"type":"message","role":"assistant","content":[{"type":"thinking","thinking":"Hm"},{"type":"text","text":"Hi <b>"}]}`, ""},
		{"Gemini's", &openAIChat, `{"candidates":[{"content":{"parts":[{"text":"Hi <b>"}],"role":"model"}}]}`, ""},
		{"a response", &openAIChat, `{"object":"response","output":[{"type":"message","content":[{"type":"output_text","text":"Hi <b>"}]}]}`, ""},
		{"llama.cpp's", &openAIChat, `{"content":"Hi <b>","stop":true}`, ""},
		{"an error that says nothing", &openAIChat, `{"error":{},"message":{"content":"Hi <b>"}}`, ""},
		{"a chat", &openAICompletions, `{"choices":` + choices + `}`, ""},
		{"an envelope of a completion", &openAICompletions, `{"data":{"id":"7","choices":[{"text":"Hi <b>"}]}}`, `"id":"7"`},
		{"a chat", &ollamaChat, `{"object":"chat.completion","choices":` + choices + `}`, `"done":true`},
		{"a completion", &ollamaGenerate, `{"choices":[{"text":"Hi <b>"}]}` + "\n", `"done":true`},
		{"an answer that does not say it is done", &ollamaGenerate, "{\n\"response\":\"Hi <b>\"}", `"done":true`},
		{"an envelope of a message", &anthropic, `{"data":{"type":"message","content":[{"type":"text","text":"Hi <b>"}]}}`, "message_stop"},
		{"an envelope of a response", &openAIResponses, `{"result":{"object":"response","output":[{"type":"message","id":"1","content":[{"type":"output_text","text":"Hi <b>"}]}]}}`, "response.completed"},
	} {
		t.Run(c.dialect.name+"/"+c.reason, func(t *testing.T) {
			got, err := otherwise(t, c.dialect, answer(200, "application/json", c.body))
			text := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(got)
			if !strings.Contains(text, `"Hi <b>"`) || strings.Contains(got, "error") || !strings.Contains(got, c.more) || err != nil {
				t.Errorf("got %v\n%s", err, got)
			}
			if c.dialect == &openAIChat && (contentOf(t, strings.TrimSuffix(got, done)) != "Hi <b>" || !strings.HasSuffix(got, done) || strings.Contains(got, "role")) {
				t.Errorf("got\n%s", got)
			}
		})
	}
	for _, c := range []struct {
		reason  string
		dialect *Dialect
		body    string
	}{
		{"a text beside calls", &openAIChat, `{"message":{"content":"Hi","tool_calls":[{"function":{"name":"f"}}]},"done":true}`},
		{"a call among parts", &openAIChat, `{"content":[{"type":"text","text":"Hi"},{"type":"tool_use","name":"f"}]}`},
		{"one of two answers", &openAIChat, `[{"generated_text":"Hi"},{"generated_text":"Hello"}]`},
		{"an empty text", &openAIChat, `{"generated_text":""}`},
		{"a text beside an error", &openAIChat, `{"error":"no","content":[{"text":"H"},{"text":"i"}]}`},
		{"another member", &openAIChat, `{"answer":"Hi"}`},
		{"a text of another API", &anthropic, `{"generated_text":"Hi"}`},
		{"a text among too many members", &openAIChat, `{"generated_text":"Hi"` + strings.Repeat(`,"n":0`, maxMembers) + `}`},
		{"a text among too many members below data", &openAIChat, `{"data":{"generated_text":"Hi"` + strings.Repeat(`,"n":0`, maxMembers) + `}}`},
	} {
		t.Run(c.reason, func(t *testing.T) {
			if got, err := otherwise(t, c.dialect, answer(200, "application/json", c.body)); !strings.Contains(got, `"error":{`) || strings.Contains(got, "Hi") || err != nil {
				t.Errorf("got %v\n%s", err, got)
			}
		})
	}
}

// otherwise is what a client gets behind the first keepalive. The dialect without a name is a
// chat on a path of no known API.
func otherwise(t *testing.T, d *Dialect, handler func(http.ResponseWriter)) (string, error) {
	t.Helper()
	open := d.name == ""
	if open {
		d = &openAIChat
	}
	callback, err := Compile(Options{Message: "m", Separator: new(string)})
	if err != nil {
		t.Fatal(err)
	}
	q := asking(d, nil, chatBody)
	q.open = open
	w := httptest.NewRecorder()
	s, err := callback.Open(w, q, unknown)
	if err != nil {
		t.Fatal(err)
	}
	before := w.Body.Len()
	p := s.Splice(httptest.NewRequest("POST", "/", nil), plenty{})
	handler(p)
	err = p.Close(nil, http.StatusBadGateway, "the backend did not answer")
	return seconds.ReplaceAllString(w.Body.String()[before:], `"created":0`), err
}

var seconds = regexp.MustCompile(`"created":\d+`)

// contentOf joins the contents of chunks.
func contentOf(t *testing.T, stream string) string {
	t.Helper()
	var all strings.Builder
	for _, message := range messages(stream, false) {
		var chunk struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if err := json.Unmarshal([]byte(message), &chunk); err != nil || len(chunk.Choices) != 1 {
			t.Fatalf("no chunk: %q", message)
		}
		all.WriteString(chunk.Choices[0].Delta.Content)
	}
	return all.String()
}

// TestValuesGoOutOneByOne: each line is there before the next one comes, and so is each piece of a
// text.
func TestValuesGoOutOneByOne(t *testing.T) {
	for _, c := range []struct {
		dialect *Dialect
		media   string
		pieces  []string
		want    string // in what each becomes
	}{
		{&eventSource, "application/x-ndjson", []string{"{\"a\":\"piece\"}\n", "{\"b\":\"piece\"}\n", "[\"piece\"]\n"}, "piece"},
		{&eventSource, "text/plain", []string{"piece", " of a piece", "\npiece\n"}, "piece"},
		{&openAIChat, "text/plain", []string{"piece ", "piece ", "piece"}, `"content":"piece`},
		{&openAICompletions, "text/plain", []string{"piece ", "piece ", "piece"}, `"text":"piece`},
		{&ollamaGenerate, "text/plain", []string{"piece ", "piece ", "piece"}, `"response":"piece`},
	} {
		if _, err := otherwise(t, c.dialect, func(w http.ResponseWriter) {
			recorder := w.(*Splicer).stream.client.w.(*httptest.ResponseRecorder)
			w.Header().Set("Content-Type", c.media)
			for i, piece := range c.pieces {
				before := recorder.Body.Len()
				if _, err := io.WriteString(w, piece); err != nil {
					t.Error(err)
				}
				if got := recorder.Body.String()[before:]; !strings.Contains(got, c.want) {
					t.Errorf("%s, %s, piece %d: got %q", c.dialect.name, c.media, i, got)
				}
			}
		}); err != nil {
			t.Error(err)
		}
	}
}

// TestFailuresOfEvents: a client that asked by POST learns the status and the body; an
// EventSource asks again.
func TestFailuresOfEvents(t *testing.T) {
	for _, c := range []struct {
		method string
		status int
		body   string
		want   string
	}{
		{"POST", 401, `{"detail":"no key"}`, `{"status":401,"message":"no key","error":{"message":"no key","type":"invalid_request_error","param":null,"code":"401"},"body":{"detail":"no key"}}`},
		{"POST", 422, "{\n\"detail\": [{\"msg\": \"bad\"}]}", `{"status":422,"message":"[{\"msg\": \"bad\"}]","error":{"message":"[{\"msg\": \"bad\"}]","type":"invalid_request_error","param":null,"code":"422"},"body":{"detail":[{"msg":"bad"}]}}`},
		{"POST", 400, "bad\nquestion", `{"status":400,"message":"bad\nquestion","error":{"message":"bad\nquestion","type":"invalid_request_error","param":null,"code":"400"},"body":"bad\nquestion"}`},
		{"POST", 500, "", `{"status":500,"message":"Internal Server Error","error":{"message":"Internal Server Error","type":"server_error","param":null,"code":"500"},"body":""}`},
		{"GET", 401, `{"detail":"no key"}`, ""},
	} {
		callback, err := Compile(Options{Display: DisplayNone})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(c.method, "/feed", nil)
		w := httptest.NewRecorder()
		s, err := callback.Open(w, eventSource.request(r, &facts{}), unknown)
		if err != nil {
			t.Fatal(err)
		}
		p := s.Splice(r, plenty{})
		answer(c.status, "application/json", c.body)(p)
		want := comment
		if c.want != "" {
			want += "event: error\ndata: " + c.want + "\n\n"
		}
		if err := p.Close(nil, http.StatusBadGateway, ""); !errors.Is(err, http.ErrAbortHandler) || w.Body.String() != want || p.Status() != c.status {
			t.Errorf("%s, %d: got %v %d\n%s\nwant\n%s", c.method, c.status, err, p.Status(), w.Body, want)
		}
	}
}

// A line of another API shows a stream once another one follows; alone it is an answer.
func TestLinesWhereOllamaIsExpected(t *testing.T) {
	for _, c := range []struct {
		body string
		all  bool
		want form
	}{
		{`{"status":"loading model"}`, false, unclear},
		{"{\"status\":\"loading model\"}\n", false, unclear},
		{"{\"status\":\"loading model\"}\n{", false, streamed},
		{"{\"status\":\"loading model\"}\n\n", true, document},
		{"{\"model\":\"m\",\"response\":\"Hi\"}\n", false, streamed},
		{"{\n\"model\":\"m\"}", false, document},
	} {
		if got := ollamaChat.formOf([]byte(c.body), c.all); got != c.want {
			t.Errorf("%q, all %v: %v, want %v", c.body, c.all, got, c.want)
		}
	}
}
