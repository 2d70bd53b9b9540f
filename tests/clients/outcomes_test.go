package clients

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// outcome is what happens to a question, and what becomes of it.
type outcome struct {
	name  string
	model string // its end says how the model fails
	// route is the spec of the route, and load how long the model takes: 300ms
	// if it is not said.
	route, load string
	// long says that the model loads only when a data event has taken the place of a
	// comment, after 25 seconds.
	long     bool
	variants []string // nil is every one that the API has
	apis     []string // nil is every one
	run      func(t *testing.T, c testCase)
}

// The routes differ in what a waiting client sees.
const (
	content   = `coldStart: {streamingCallback: {message: "Waking the model.", interval: 100ms, keepaliveMessage: "."}}`
	reasoning = `coldStart: {streamingCallback: {message: "Waking the model.", interval: 100ms, keepaliveMessage: ".", display: Reasoning}}`
	none      = `coldStart: {streamingCallback: {display: None, interval: 100ms}}`
	delayed   = "timeouts: {readiness: 1s}\n  " +
		`coldStart: {streamingCallback: {message: "Waking the model.", initialDelay: 1h}}`
	impatient = "timeouts: {readiness: 3s}\n  " + content
	alone     = `coldStart: {maxPendingRequests: 1, streamingCallback: {message: "Waking the model.", interval: 100ms}}`
)

const (
	expired = "the service did not become ready in time"
	full    = "too many requests are waiting for this service to start"
)

// outcomes is the one list of what every client goes through. Each outcome that an API takes part
// in, with each of its variants, is a separate cold start.
var outcomes = []outcome{
	// Comments come every 100ms, and a data event after each 250th: the longest
	// stretch without data that any client gets.
	{name: "answer after long", route: none, long: true, apis: []string{chat.name, responses.name}, variants: []string{tools}, run: answered},
	{name: "error after long", model: "-503", route: none, long: true, apis: []string{chat.name, responses.name}, variants: []string{tools}, run: fails("simulated failure 503", "503", "simulated_503")},
	{name: "answer", route: content, run: answered},
	{name: "answer unseen", route: none, run: answered},
	{name: "answer after reasoning", route: reasoning, apis: []string{chat.name}, variants: []string{plain, tools}, run: answered},
	{name: "JSON", model: "-json", route: content, variants: []string{plain, tools, several}, run: answeredWithJSON},
	{name: "error", model: "-503", route: content, variants: []string{plain, tools}, run: fails("simulated failure 503", "503", "simulated_503")},
	{name: "error unseen", model: "-503", route: none, variants: []string{plain}, run: fails("simulated failure 503", "503", "simulated_503")},
	{name: "page", model: "-html", route: content, variants: []string{plain, tools}, run: fails("<h1>502 Bad Gateway</h1>", "502", "502")},
	{name: "compressed", model: "-gzip", route: content, variants: []string{plain}, run: answered},
	{name: "cut", model: "-cut", route: content, variants: []string{plain, tools}, run: cut},
	{name: "timeout", route: impatient, load: "1h", variants: []string{plain, tools}, run: fails(expired, "504", "504")},
	{name: "early timeout", route: delayed, load: "1h", variants: []string{plain}, run: refused(http.StatusGatewayTimeout, expired)},
	{name: "too many", route: alone, load: "1h", variants: []string{plain}, run: tooMany},
	{name: "leaving", route: alone, load: "5s", variants: []string{plain}, run: leaves},
}

func TestClients(t *testing.T) {
	for _, o := range outcomes {
		for _, sdk := range clients {
			if o.apis != nil && !slices.Contains(o.apis, sdk.api.name) {
				continue
			}
			for _, variant := range sdk.asks() {
				if o.variants != nil && !slices.Contains(o.variants, variant) {
					continue
				}
				t.Run(strings.Join([]string{sdk.name, sdk.api.name, o.name, variant}, "/"), func(t *testing.T) {
					t.Parallel()
					if !o.long {
						defer work()()
					}
					c := testCase{client: sdk, outcome: o, variant: variant}
					if o.long {
						c.gate = newGate(t)
					}
					o.run(t, c)
				})
			}
		}
	}
}

// testCase is one client that asks one question and meets one outcome.
type testCase struct {
	client
	outcome outcome
	variant string
	gate    string // what the model waits for; empty is nothing
}

// sleep sets up the model and returns its base URL.
func (c testCase) sleep(t *testing.T) string {
	t.Helper()
	load := c.outcome.load
	if load == "" {
		load = "300ms"
	}
	command := []string{standalone.modelsim, "-tokens-per-second=0", "-load=" + load}
	if c.gate != "" {
		command = gated(c.gate, command)
	}
	return sleepingApp(t, app{spec: c.outcome.route, command: command})
}

// ask asks the question once, through via.
func (c testCase) ask(ctx context.Context, via *http.Client, base string) (said, error) {
	return c.stream(ctx, via, base, fmt.Sprintf(c.api.questions[c.variant], "sim"+c.outcome.model))
}

// askCold asks a model that sleeps and checks that it did.
func (c testCase) askCold(t *testing.T, base string) (said, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	trip := &roundTrip{}
	if c.gate != "" {
		var waiting sync.WaitGroup
		defer waiting.Wait()
		trip.begun = func() {
			waiting.Go(func() {
				if err := waitForData(ctx, base); err != nil {
					t.Error(err)
				}
				if err := os.WriteFile(c.gate, []byte("\n"), 0o600); err != nil {
					t.Error(err)
				}
			})
		}
	}
	got, err := c.ask(ctx, &http.Client{Transport: trip}, base)
	if ctx.Err() != nil {
		t.Fatalf("no answer within %s: %v", patience, err)
	}
	if trip.header.Get("X-KEDA-HTTP-Cold-Start") != "true" {
		t.Errorf("the request did not meet a cold start: %v", trip.header)
	}
	return got, err
}

// waitForData reads a stream that began after the SDK's until a data event and a few more
// comments arrive. By then, those of the SDK have arrived too.
func waitForData(ctx context.Context, base string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/chat/completions", strings.NewReader(`{"stream":true,"messages":[]}`))
	if err != nil {
		return err
	}
	response, err := standalone.client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for more := 10; more > 0 && lines.Scan(); {
		if more < 10 || strings.HasPrefix(lines.Text(), "data:") {
			more--
		}
	}
	return lines.Err()
}

// roundTrip goes to standalone, keeps the header of the answer and says when it
// has come.
type roundTrip struct {
	header http.Header
	begun  func()
}

func (r *roundTrip) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := standalone.client.Transport.RoundTrip(request)
	if err == nil {
		r.header = response.Header
		if r.begun != nil {
			r.begun()
		}
	}
	return response, err
}

// answered: the user gets the model's own answer, after the waiting text where
// that can be shown.
func answered(t *testing.T, c testCase) {
	got, err := c.askCold(t, c.sleep(t))
	if err != nil {
		t.Fatalf("a cold request: %v", err)
	}
	want := c.api.wants(c.variant)
	if c.api.visible && (c.variant == plain || c.variant == usage) {
		switch c.outcome.route {
		case content:
			waiting, rest, _ := strings.Cut(got.texts[0], "\n\n---\n\n")
			checkWaiting(t, waiting)
			got.texts[0] = rest
		case reasoning:
			if waiting, parted := strings.CutSuffix(got.reasoning, "\n\n---\n\n"); !c.hides.reasoning {
				checkWaiting(t, waiting)
				if !parted {
					t.Errorf("nothing parts the reasoning: %q", got.reasoning)
				}
			}
			got.reasoning = ""
		}
	}
	c.check(t, got, want)
}

// checkWaiting checks that a user saw the message, and a keepalive at least.
func checkWaiting(t *testing.T, text string) {
	t.Helper()
	if dots, begins := strings.CutPrefix(text, "Waking the model."); !begins || dots == "" || strings.Trim(dots, ".") != "" {
		t.Errorf("the user reads %q while the model wakes", text)
	}
}

// check compares an answer with the one that is wanted.
func (c testCase) check(t *testing.T, got, want said) {
	t.Helper()
	if c.hides.finish {
		got.finish = want.finish
	}
	if !slices.Equal(got.texts, want.texts) || !slices.Equal(got.calls, want.calls) || got.reasoning != "" || got.finish != want.finish {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if !c.hides.id && !strings.HasPrefix(got.id, c.api.idHead) {
		t.Errorf("the id is %q, want one of the model's, %s…", got.id, c.api.idHead)
	}
	if !c.hides.tokens && (got.tokens > 0) != c.api.counts(c.variant) {
		t.Errorf("tokens: %d", got.tokens)
	}
}

// answeredWithJSON: the model ignores that a stream was asked for. Its answer becomes
// a stream.
func answeredWithJSON(t *testing.T, c testCase) {
	got, err := c.askCold(t, c.sleep(t))
	if err != nil {
		t.Fatalf("a cold request: %v", err)
	}
	if c.api.visible && c.variant == plain {
		_, got.texts[0], _ = strings.Cut(got.texts[0], "\n\n---\n\n")
	}
	if got.tokens == 0 && !c.hides.tokens {
		t.Error("an answer in JSON has counts")
	}
	if !c.api.counts(c.variant) {
		got.tokens = 0
	}
	c.check(t, got, c.api.wants(c.variant))
}

// fails: after the commit, a failure reaches the user as an error that has the
// backend's message and code.
func fails(message, status, code string) func(*testing.T, testCase) {
	return func(t *testing.T, c testCase) {
		got, err := c.askCold(t, c.sleep(t))
		if err == nil {
			t.Fatalf("the SDK reports no error, but %+v", got)
		}
		f := c.explain(err)
		if !c.hides.message && !strings.Contains(f.message, message) ||
			!c.hides.kind && f.kind != c.api.kinds[status] ||
			!c.hides.code && c.api.codes && f.code != code {
			t.Errorf("the SDK reports %+v (%v), want %q, code %q, type %q", f, err, message, code, c.api.kinds[status])
		}
	}
}

// refused: before the commit a failure has its real status.
func refused(status int, message string) func(*testing.T, testCase) {
	return func(t *testing.T, c testCase) {
		_, err := c.askCold(t, c.sleep(t))
		c.checkRefusal(t, err, status, message)
	}
}

func (c testCase) checkRefusal(t *testing.T, err error, status int, message string) {
	t.Helper()
	if err == nil {
		t.Fatal("the SDK reports no error")
	}
	f := c.explain(err)
	if f.status != status || !strings.Contains(f.message, message) || !c.hides.kind && f.kind != c.api.kinds[fmt.Sprint(status)] {
		t.Errorf("the SDK reports %+v (%v), want status %d, %q", f, err, status, message)
	}
}

// cut: half an answer never looks whole.
func cut(t *testing.T, c testCase) {
	got, err := c.askCold(t, c.sleep(t))
	if !c.hides.cut && (err == nil || errors.Is(err, io.EOF)) {
		t.Errorf("the SDK takes half an answer for a whole one: %v, %+v", err, got)
	}
}

// tooMany: over the cap the failure is the API's own.
func tooMany(t *testing.T, c testCase) {
	base := c.sleep(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = c.ask(ctx, &http.Client{Transport: &roundTrip{begun: func() { close(begun) }}}, base) // it is cancelled
	}()
	await(t, begun)
	_, err := c.askCold(t, base)
	c.checkRefusal(t, err, http.StatusServiceUnavailable, full)
	cancel()
	await(t, ended)
}

// leaves: a client that leaves gives its place to the next one, and the model never learns of it.
func leaves(t *testing.T, c testCase) {
	base := c.sleep(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := c.ask(ctx, &http.Client{Transport: &roundTrip{begun: cancel}}, base)
	if hidden := c.hides.leaving && err == nil; !hidden && !errors.Is(err, context.Canceled) {
		t.Errorf("leaving ends with %v", err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	_, err = c.askCold(t, base)
	for ; err != nil && strings.Contains(c.explain(err).message, full) && time.Now().Before(deadline); <-tick.C {
		_, err = c.askCold(t, base)
	}
	if err != nil {
		t.Fatalf("the next client: %v", err)
	}
	if got := get(t, base+"/metrics"); got != "modelsim_requests_total 1\n" {
		t.Errorf("requests that reached the model: %s", got)
	}
}

func await(t *testing.T, event <-chan struct{}) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(patience):
		t.Fatal("waited too long")
	}
}
