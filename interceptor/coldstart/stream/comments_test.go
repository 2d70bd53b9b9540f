package stream

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// eventLines are the lines of a stream, whose ends are CR, LF or both.
func eventLines(body string) []string {
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(body), "\n")
	return lines[:len(lines)-1] // the last one has no end
}

// messages reads a stream as browsers do (WHATWG HTML, 9.2.6). eager delivers a message at each
// blank line, also an empty one, as @microsoft/fetch-event-source does.
func messages(body string, eager bool) (all []string) {
	var data []string
	for _, line := range eventLines(body) {
		name, value, _ := strings.Cut(line, ":")
		switch {
		case line == "":
			if eager || data != nil {
				all = append(all, strings.Join(data, "\n"))
			}
			data = nil
		case name == "data":
			data = append(data, strings.TrimPrefix(value, " "))
		}
	}
	return all
}

// TestAnswersBehindComments: the first event of an answer, which may contain a whole call,
// follows the line of a comment. No client takes it for a part of the comment, and none gets an
// empty message.
func TestAnswersBehindComments(t *testing.T) {
	const call = `{"id":"1","choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"c","function":{"name":"weather","arguments":"{}"}}]}}]}`
	for name, c := range map[string]struct {
		dialect *Dialect
		first   string // of the answer, as data
		kind    string // its event line
		whole   string // an answer as JSON
		says    string // what that becomes
	}{
		"chat": {&openAIChat, call, "", `{"choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"c","function":{"name":"weather","arguments":"{}"}}]}}]}`, `"name":"weather"`},
		"responses": {&openAIResponses, `{"type":"response.created","response":{"id":"1"}}`, "response.created",
			`{"object":"response","id":"1","status":"completed","output":[{"type":"function_call","name":"weather","arguments":"{}"}]}`, `"name":"weather"`},
		"events": {&eventSource, `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"weather"}]}}`, "message", `{"tools":[{"name":"weather"}]}`, `{"tools":[{"name":"weather"}]}`},
	} {
		for _, end := range []string{"\n", "\r\n", "\r"} {
			stream := ": hello" + end
			if c.kind != "" {
				stream += "event: " + c.kind + end
			}
			stream += "data: " + c.first + end + end
			for what, body := range map[string]string{"stream": stream, "whole": c.whole, "failure": `{"error":{"message":"weather is bad"}}`} {
				t.Run(fmt.Sprintf("%s, %s, %q", name, what, end), func(t *testing.T) {
					status, says := http.StatusOK, c.first
					switch what {
					case "whole":
						says = c.says
					case "failure":
						status, says = http.StatusInternalServerError, "weather is bad"
					}
					callback, err := Compile(Options{Display: DisplayNone})
					if err != nil {
						t.Fatal(err)
					}
					w := httptest.NewRecorder()
					s, err := callback.Open(w, asking(c.dialect, nil, `{"model":"m"}`), unknown)
					if err != nil {
						t.Fatal(err)
					}
					for range 3 {
						if err := s.Tick(); err != nil {
							t.Fatal(err)
						}
					}
					p := s.Splice(httptest.NewRequest("POST", "/", nil), plenty{})
					answer(status, "", body)(p)
					_ = p.Close(nil, http.StatusBadGateway, "") // comments end a failure by a cut
					got := w.Body.String()
					if !strings.HasPrefix(got, strings.Repeat(comment, 4)) {
						t.Fatalf("no comments come first: %q", got)
					}
					if what == "failure" && c.dialect == &eventSource {
						return
					}
					plain, eager := messages(got, false), messages(got, true)
					if !slices.ContainsFunc(plain, func(m string) bool { return strings.Contains(m, says) }) {
						t.Errorf("%q is not in %q", says, plain)
					}
					if !slices.Equal(plain, eager) {
						t.Errorf("there is an empty message: %q", eager)
					}
				})
			}
		}
	}
}
