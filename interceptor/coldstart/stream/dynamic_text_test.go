package stream

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedacore/http-add-on/interceptor/coldstart/eta"
)

// waiting plays three keepalives, one every 10 s, of a wake that began 5 s before
// the stream, and returns what the client read.
func waiting(t *testing.T, d *Dialect, body string, estimate time.Duration, spec Options) string {
	t.Helper()
	spec.Interval = 10 * time.Second
	callback, err := Compile(spec)
	if err != nil {
		t.Fatal(err)
	}
	request := asking(d, nil, body)
	w := httptest.NewRecorder()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now().Add(-5 * time.Second)
		s, err := callback.Open(w, request, func() eta.Progress {
			return eta.Progress{Elapsed: time.Since(began), Estimate: estimate}
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := pass(s, 31*time.Second); err != nil {
			t.Fatal(err)
		}
	})
	return w.Body.String()
}

// shownTexts are what a chat client shows.
func shownTexts(t *testing.T, body string) (all []string) {
	t.Helper()
	for _, event := range strings.Split(strings.TrimSpace(body), "\n\n") {
		var chunk struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if err := json.Unmarshal([]byte(strings.TrimPrefix(event, "data: ")), &chunk); err != nil || len(chunk.Choices) != 1 {
			t.Fatalf("%q is not a chunk: %v", event, err)
		}
		all = append(all, chunk.Choices[0].Delta.Content)
	}
	return all
}

func TestTextsSayHowFarTheWakeIs(t *testing.T) {
	for _, c := range []struct {
		reason             string
		message, keepalive string
		estimate           time.Duration
		want               []string
	}{
		{"both texts move", "Waking \"up\" <b>[, about {estimate}]", " {elapsed}[ of {estimate}]", 38 * time.Second,
			[]string{`Waking "up" <b>, about 40 s`, " 15 s of 40 s", " 25 s of 40 s", " 35 s of 40 s"}},
		{"without an estimate", "Waking[, about {estimate}]", " {elapsed}[ of {estimate}]", 0,
			[]string{"Waking", " 15 s", " 25 s", " 35 s"}},
		{"the message moves alone", "{elapsed}", ".", 0, []string{"5 s", ".", ".", "."}},
		{"a keepalive that says nothing yet", "Waking", "[{estimate}]", 0, []string{"Waking", "", "", ""}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			got := shownTexts(t, waiting(t, &openAIChat, chatBody, c.estimate, Options{Message: c.message, KeepaliveMessage: c.keepalive}))
			if strings.Join(got, "|") != strings.Join(c.want, "|") {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestTheRoleIsSaidOnceInTextsThatMove(t *testing.T) {
	body := waiting(t, &openAIChat, chatBody, 0, Options{Message: "{elapsed}", KeepaliveMessage: "{elapsed}"})
	if n := strings.Count(body, `"role"`); n != 1 {
		t.Errorf("%d roles in %s", n, body)
	}
}

func TestTextsThatMoveStayHiddenWhereTextWouldDoHarm(t *testing.T) {
	spec := Options{Message: "{elapsed}", KeepaliveMessage: "{elapsed}"}
	if body := waiting(t, &openAIChat, toolsBody, 0, spec); body != strings.Repeat(comment, 4) {
		t.Errorf("got %q", body)
	}
}

func TestOllamaTextsMove(t *testing.T) {
	spec := Options{Message: "hi", KeepaliveMessage: "{elapsed}", Display: DisplayReasoning}
	if body := waiting(t, &ollamaChat, `{"model":"m","messages":[{}]}`, 0, spec); !strings.Contains(body, `"thinking":"25 s"`) {
		t.Errorf("got %q", body)
	}
}
