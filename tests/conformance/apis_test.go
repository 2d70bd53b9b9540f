package conformance

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestAPIs: a request of a real API, asleep and awake, with each display. One that is held
// gets the same answer. One whose response is committed gets, once what the table adds is
// taken away, the same events in the same order.
func TestAPIs(t *testing.T) {
	cases := apiCases(t)
	w := newAPIWorld(t, cases)
	t.Run("all", func(t *testing.T) {
		for i := range cases {
			c := &cases[i]
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				host := fmt.Sprintf("case%d-warm", i)
				w.ready(host, w.backends[c.side()])
				warm := w.ask(t, c, host+".test", nil)
				if got := warm.Header["X-Keda-Http-Cold-Start"]; !slices.Equal(got, []string{"false"}) || warm.Err != nil {
					t.Fatalf("warm: %v, %v", got, warm.Err)
				}
				for _, display := range displays {
					t.Run(display, func(t *testing.T) {
						host := fmt.Sprintf("case%d-%s", i, strings.ToLower(display))
						if c.Gets == "held" {
							w.checkHeld(t, c, host, warm)
						} else {
							w.checkCommitted(t, c, host, display, warm)
						}
						w.checkReceived(t, c, host+".test", fmt.Sprintf("case%d-warm.test", i))
					})
				}
			})
		}
	})
}

// checkHeld asks while the target sleeps, and wakes it when the request waits.
func (w *apiWorld) checkHeld(t *testing.T, c *apiCase, host string, warm response) {
	t.Helper()
	go func() {
		w.held("default/"+host, 1)
		w.ready(host, w.backends[c.side()])
	}()
	cold := w.ask(t, c, host+".test", nil)
	if got := cold.Header["X-Keda-Http-Cold-Start"]; !slices.Equal(got, []string{"true"}) {
		t.Errorf("it was not cold: %v", got)
	}
	cold.Header, warm.Header = maps.Clone(cold.Header), maps.Clone(warm.Header)
	delete(cold.Header, "X-Keda-Http-Cold-Start")
	delete(warm.Header, "X-Keda-Http-Cold-Start")
	if !reflect.DeepEqual(cold, warm) {
		t.Errorf("cold:\n%+v\nwarm:\n%+v", cold, warm)
	}
}

// ours is what the table adds, by dialect.
var ours = func() map[string]*regexp.Regexp {
	const text = `"(?:Waking up|still|\\n\\n---\\n\\n|)"`
	head := func(object string) string {
		return `data: \{"id":"","object":"` + object + `","created":\d+,"model":"[^"]*","choices":\[\{"index":0,`
	}
	all := map[string]string{
		"OpenAI chat": `: keepalive\n|` +
			head(`chat\.completion\.chunk`) + `"delta":\{(?:"role":"assistant",)?"content":` + text + `(?:,"reasoning_content":` + text + `)?\},"finish_reason":null\}\]\}\n\n`,
		"OpenAI completions": head(`text_completion`) + `"text":"","logprobs":null,"finish_reason":null\}\]\}\n\n`,
		"OpenAI responses":   `: keepalive\n`,
		"Anthropic":          `event: ping\ndata: \{"type":"ping"\}\n\n`,
		"Ollama": `\{"model":"[^"]*","created_at":"[^"]*",(?:"message":\{"role":"assistant","content":` + text + `(?:,"thinking":` + text + `)?\}|"response":` + text +
			`(?:,"thinking":` + text + `)?),"done":false\}\n`,
		"Gemini":   `data: \{"candidates":\[\{"content":\{"parts":\[\{"text":""\}\],"role":"model"\},"index":0\}\]\}\n\n`,
		"comments": `: keepalive\n`,
	}
	compiled := map[string]*regexp.Regexp{}
	for name, pattern := range all {
		compiled[name] = regexp.MustCompile(`^(?:` + pattern + `)`)
	}
	return compiled
}()

// split parts what the table adds from what follows it, and counts its pieces.
func split(dialect, body string) (added, rest string, n int) {
	for rest = body; ; n++ {
		end := ours[dialect].FindStringIndex(rest)
		if end == nil {
			return body[:len(body)-len(rest)], rest, n
		}
		rest = rest[end[1]:]
	}
}

// checkCommitted asks while the target sleeps, and wakes it when a keepalive has come.
func (w *apiWorld) checkCommitted(t *testing.T, c *apiCase, host, display string, warm response) {
	t.Helper()
	cold := w.ask(t, c, host+".test", func(begun io.Reader) {
		var read strings.Builder
		for piece := make([]byte, 4096); ; {
			n, err := begun.Read(piece)
			read.Write(piece[:n])
			_, rest, pieces := split(c.Gets, read.String())
			if err != nil || rest != "" {
				t.Errorf("the table does not have %q, %v", read.String(), err)
				break
			}
			if pieces >= 2 {
				break
			}
		}
		w.ready(host, w.backends[c.side()])
	})
	media := "text/event-stream"
	if c.Gets == "Ollama" {
		media = "application/x-ndjson"
	}
	if want := (http.Header{
		"Content-Type": {media}, "Cache-Control": {"no-cache, no-transform"}, "X-Accel-Buffering": {"no"}, "X-Keda-Http-Cold-Start": {"true"},
	}); cold.Status != http.StatusOK || !reflect.DeepEqual(cold.Header, want) {
		t.Errorf("got %d %v, want 200 %v", cold.Status, cold.Header, want)
	}
	added, rest, _ := split(c.Gets, cold.Body)
	shown := c.Text && display != "None"
	if strings.Contains(added, "Waking up") != shown || strings.Contains(added, "still") != shown {
		t.Errorf("text shows: want %t, got %q", shown, added)
	}
	if reasoning := strings.Contains(added, `reasoning_content":"W`) || strings.Contains(added, `thinking":"W`); reasoning != (shown && display == "Reasoning") {
		t.Errorf("the text is reasoning: %t, in %q", reasoning, added)
	}
	// Where an API has no error event, or its clients need it, the connection is cut.
	if cut := c.Becomes == "failure" && (c.Gets == "comments" || c.Gets == "Ollama"); (cold.Err != nil) != cut {
		t.Errorf("the end: got %v, cut: want %t", cold.Err, cut)
	}
	switch c.Becomes {
	case "":
		if want := c.plain(added); rest != want {
			t.Errorf("cold:\n%s\nwarm:\n%s", rest, want)
		}
	case "events", "failure":
		at := rest
		for _, says := range c.Says {
			_, after, found := strings.Cut(at, says)
			if !found {
				t.Errorf("want %s, in this order, in\n%s", says, rest)
			}
			at = after
		}
		if c.Becomes == "failure" && strings.Contains(rest, "[DONE]") {
			t.Errorf("a failure does not end like an answer: %s", rest)
		}
		if c.Becomes == "failure" && c.Gets == "comments" && c.Method == http.MethodGet && rest != "" {
			t.Errorf("a failure has no event, got %q", rest)
		}
	default:
		t.Errorf("unknown: becomes %s", c.Becomes)
	}
}

// plain returns the answer as a committed response passes it on. It is decoded, without a mark,
// and without the role of its first delta if the response has sent one.
func (c *apiCase) plain(added string) string {
	body := c.Answer.Body
	if at := strings.Index(body, `"delta":{`); at >= 0 && strings.Contains(added, `"delta":{"role":"assistant"`) {
		end := at + strings.IndexByte(body[at:], '\n')
		first := strings.Replace(body[at:end], `"role":"assistant",`, "", 1)
		first = strings.Replace(first, `,"role":"assistant"`, "", 1)
		body = body[:at] + first + body[end:]
	}
	return body
}

// checkReceived compares the requests that reached the backend. What was committed is asked
// for without a content coding.
func (w *apiWorld) checkReceived(t *testing.T, c *apiCase, coldHost, warmHost string) {
	t.Helper()
	w.mu.Lock()
	cold, warm := w.got[coldHost], w.got[warmHost]
	w.mu.Unlock()
	cold.header, warm.header = cold.header.Clone(), warm.header.Clone()
	if c.Gets != "held" {
		if got := cold.header["Accept-Encoding"]; !slices.Equal(got, []string{"identity"}) {
			t.Errorf("Accept-Encoding: %v", got)
		}
		cold.header.Del("Accept-Encoding")
	}
	for _, values := range cold.header {
		for i := range values {
			values[i] = strings.ReplaceAll(values[i], coldHost, warmHost)
		}
	}
	if !reflect.DeepEqual(cold, warm) {
		t.Errorf("the backend received, cold:\n%+v\nwarm:\n%+v", cold, warm)
	}
}

// TestAPIsCoverTheTable: each row of the documented table, which is the one of the code, has
// a case that gets what the row says.
func TestAPIsCoverTheTable(t *testing.T) {
	text, err := os.ReadFile("../../docs/cold-start.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "<!-- table of streams -->\n")
	table, _, found := strings.Cut(after, "<!-- end of the table -->")
	if !found {
		t.Fatal("docs/cold-start.md has no table")
	}
	cases := apiCases(t)
	if len(cases) < 100 {
		t.Errorf("there are %d cases", len(cases))
	}
	rows := strings.Split(strings.TrimSpace(table), "\n")[2:]
	for _, row := range rows {
		cells := strings.Split(strings.Trim(row, "|"), "|")
		gets := strings.TrimSpace(cells[2])
		if strings.HasPrefix(gets, "silence") {
			gets = "held"
		}
		paths := regexp.MustCompile("`([/:][^`]*)`").FindAllStringSubmatch(cells[0], -1)
		if paths == nil {
			paths = [][]string{{"", "/assistant/ask"}} // no path that is known
		}
		for _, path := range paths {
			if !slices.ContainsFunc(cases, func(c apiCase) bool {
				p, _, _ := strings.Cut(c.Path, "?")
				if path[1] == "/" {
					return p == "/" && c.Gets == gets
				}
				if above, below := strings.CutSuffix(path[1], "…"); below {
					return strings.Contains(p, above) && c.Gets == gets
				}
				return strings.HasSuffix(strings.TrimRight(p, "/"), path[1]) && c.Gets == gets
			}) {
				t.Errorf("no case for %s, which gets: %s", path[1], gets)
			}
		}
	}
}
