package stream

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// inPieces rewrites a document in pieces of n bytes.
func inPieces(begin func() *pieces, document string, n int) (*pieces, string) {
	p := begin()
	var out strings.Builder
	for rest := document; rest != ""; {
		piece := rest[:min(n, len(rest))]
		out.Write(p.write([]byte(piece)))
		rest = rest[len(piece):]
	}
	return p, out.String()
}

var wholeInPieces = []struct {
	name   string
	whole  func(q *Request, sent int, body []byte, to *events) bool
	pieces func() *pieces
}{
	{"chat", chatAnswer, chatPieces}, {"completions", completionsAnswer, completionsPieces}, {"gemini", geminiAnswer, geminiPieces},
}

// heldWhole returns what becomes of a document that is held.
func heldWhole(whole func(q *Request, sent int, body []byte, to *events) bool, document []byte) (string, bool) {
	var out strings.Builder
	to := events{send: func(b []byte) error { out.Write(b); return nil }}
	ok := whole(nil, 1, document, &to)
	to.flush()
	return out.String(), ok
}

// TestPiecesAreTheWhole: an answer becomes the same event whether it is held or not.
func TestPiecesAreTheWhole(t *testing.T) {
	for _, document := range []string{
		chatJSON,
		`{"choices":[]}`, `{"choices": [ {"text":"a b\\\" c"} , {"text":"\u2028"} ] , "usage" : { } }`,
		`{"choices":[{"message":null},{"index":1,"message":{"role":"assistant","content":"b","refusal":null,"tool_calls":[{}, 1, {"id":"x"}]}}]}`,
		`{"choices":[{"message":{"content":null,"role":"assistant"},"role":"x","message2":{"role":null}}],"object":{"a":[1]},"role":null}`,
		`{"object":null,"choices":[{"message":{"role":["a",{"b":"}"}],"content":""},"finish_reason":"stop"}],"error":null}`,
		`{"candidates":[{"content":{"parts":[{"text":"Hi"}]}}],"n":-1.5e+3,"t":true,"f":false}`,
		`[{"candidates":[{"a":1}]},{"b":[2]} , {"candidates" : []}]`, `[1,{"candidates":[]},"x",[{"error":1}],{"a":{"error":1}},null]`, `[{"candidates":[]}]`,
		"[1, 2 , [ ], {\n}]", `"text"`, `{}`, ` {"a":1} ` + "\n",
	} {
		if !json.Valid([]byte(document)) {
			t.Fatalf("%s is not JSON", document)
		}
		for _, d := range wholeInPieces {
			want, ok := heldWhole(d.whole, []byte(document))
			for _, n := range []int{1, 3, 1000} {
				p, got := inPieces(d.pieces, document, n)
				if p.found && !p.broken() && (!ok || !p.complete() || "data: "+got+"\n\n"+p.end != want) {
					t.Errorf("%s in pieces of %d, %s:\n%s\nwant %v\n%s", document, n, d.name, got, ok, want)
				}
			}
		}
	}
	for _, d := range wholeInPieces {
		document := chatJSON
		if d.name == "gemini" {
			document = `{"candidates":[]}`
		}
		if p, _ := inPieces(d.pieces, document, 7); !p.found || !p.complete() {
			t.Errorf("%s does not know its answer", d.name)
		}
	}
}

// TestAnErrorEndsAList: more elements behind it would make the answer look whole.
func TestAnErrorEndsAList(t *testing.T) {
	const failed = `{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}`
	got, ok := heldWhole(geminiAnswer, []byte(`[{"candidates":[]}, `+failed+`, {"candidates":[1]}]`))
	if want := "data: {\"candidates\":[]}\n\ndata: " + failed + "\n\n" + failed + "\n"; !ok || got != want {
		t.Errorf("got %v\n%s\nwant\n%s", ok, got, want)
	}
	if got, ok := heldWhole(geminiAnswer, []byte(`[`+failed+`, {"candidates":[]}]`)); ok {
		t.Errorf("a list that begins with an error is an answer: %s", got)
	}
}

// FuzzPieces: invalid JSON is never complete, and no byte of it ends the event.
func FuzzPieces(f *testing.F) {
	for _, seed := range []string{chatJSON, `{"a":[1,{"b":null}]}`, `{"a"}`, `[1,]`, `{,}`, "{\"a\":\"\n\"}", `{"a":1}{`, `[}`, `[{"candidates":[]},1,{}]`, `[[],{"candidates":[]}`, `{"a":1 2}`, `"\`, `{"a" "b"}`, `tru`} {
		f.Add([]byte(seed), uint8(2))
	}
	f.Fuzz(func(t *testing.T, document []byte, n uint8) {
		for _, d := range wholeInPieces {
			p, got := inPieces(d.pieces, string(document), int(n)+1)
			if strings.ContainsAny(strings.ReplaceAll(got, "\n\ndata: ", ""), "\r\n") {
				t.Errorf("%s: %q ends its event: %q", d.name, document, got)
			}
			if json.Valid(document) && p.phase == malformed {
				if len(document) > maxKey {
					return // perhaps a key is too long
				}
				t.Errorf("%s: %q is JSON", d.name, document)
			}
			if !json.Valid(document) || d.name == "chat" || !p.found || !p.complete() || valueOf(document, "error") != nil && !isError(document) {
				continue
			}
			if want, ok := heldWhole(d.whole, document); ok && "data: "+got+"\n\n"+p.end != want {
				t.Errorf("%s: %q becomes\n%s\nwant\n%s", d.name, document, got, want)
			}
		}
	})
}

// TestAnswersThatAreNotHeld: an answer that finds no room is passed on as it arrives, in little
// memory. It is cut if it turns out to be invalid.
func TestAnswersThatAreNotHeld(t *testing.T) {
	const size = 256 << 10
	long := strings.Repeat("x", size)
	for name, c := range map[string]struct {
		dialect    *Dialect
		head, tail string
		want       string // the end of the answer; empty if it is cut
	}{
		"chat":        {&openAIChat, `{"choices":[{"index":0,"message":{"role":"assistant","content":"`, `"},"finish_reason":"stop"}]}`, `"},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n"},
		"completions": {&openAICompletions, `{"choices":[{"text":"`, "\"}]\n}", `"}]}` + "\n\ndata: [DONE]\n\n"},
		"gemini":      {&gemini, `{"candidates":[{"content":{"parts":[{"text":"`, `"}]}}]}`, `"}]}}]}` + "\n\n"},
		"gemini, a list": {&gemini, `[{"candidates":[]},{"candidates":[{"content":{"parts":[{"text":"`, `"}]}}]},` + "\n" + `{"usageMetadata":{}}]`,
			`"}]}}]}` + "\n\ndata: {\"usageMetadata\":{}}\n\n"},
		"an error ends a list": {&gemini, `[{"candidates":[{"content":{"parts":[{"text":"`, `"}]}}]},{"error":{"code":503}}]`, ""},
		"ends too early":       {&openAIChat, `{"choices":[{"index":0,"message":{"content":"`, `"}`, ""},
		"is none":              {&openAIChat, `{"choices":[{"index":0,"message":{"content":"`, `"}}]} and more`, ""},
		"is an error":          {&gemini, `{"candidates":[{"content":{"parts":[{"text":"`, `"}]}}],"error":{"code":500}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			callback, err := Compile(Options{Message: "m"})
			if err != nil {
				t.Fatal(err)
			}
			w, memory := httptest.NewRecorder(), &little{left: 64 << 10}
			s, err := callback.Open(w, Request{dialect: c.dialect}, unknown)
			if err != nil {
				t.Fatal(err)
			}
			p := s.Splice(httptest.NewRequest("POST", "/", nil), memory)
			answer := strings.NewReader(c.head + long + c.tail)
			_, failed := io.CopyBuffer(struct{ io.Writer }{p}, struct{ io.Reader }{answer}, make([]byte, 1000))
			if memory.left != 64<<10 {
				t.Errorf("%d bytes are held", 64<<10-memory.left)
			}
			err = p.Close(failed, http.StatusBadGateway, "failed")
			if c.want == "" {
				if !errors.Is(err, http.ErrAbortHandler) || strings.Contains(w.Body.String(), "[DONE]") || strings.Contains(w.Body.String(), "failed") {
					t.Errorf("it is not cut: %v, …%s", err, w.Body.String()[w.Body.Len()-100:])
				}
				return
			}
			if got := w.Body.String(); err != nil || !strings.HasSuffix(got, long+c.want) {
				t.Errorf("%v, %d bytes, …%s", err, len(got), got[len(got)-100:])
			}
			if p.Lost() != "" || p.Status() != http.StatusOK {
				t.Errorf("lost %q, status %d", p.Lost(), p.Status())
			}
		})
	}
}
