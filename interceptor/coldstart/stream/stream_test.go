package stream

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestStreamingIsDeterministic plays the first proposal's own scenario: the
// same bytes at the same instants, every time, and no test that sleeps.
func TestStreamingIsDeterministic(t *testing.T) {
	chunk := `data: {"choices":[{"delta":{"content":"Hello"}}]}` + "\n\n"
	scenario := part{
		dialect: &openAIChat,
		body:    `{"stream":true,"messages":[]}`,
		spec:    Options{Message: "Waking up", Interval: 100 * time.Millisecond},
		wait:    150 * time.Millisecond,
		answer:  func(w http.ResponseWriter) { _, _ = io.WriteString(w, chunk) },
	}
	line := func(delta string) string {
		return `data: {"id":"","object":"chat.completion.chunk","created":946684800,"model":"","choices":[{"index":0,"delta":` +
			delta + `,"finish_reason":null}]}` + "\n\n"
	}
	want := []string{
		"0s " + line(`{"role":"assistant","content":"Waking up"}`),
		"100ms " + line(`{"content":""}`),
		"150ms " + line(`{"content":"\n\n---\n\n"}`) + chunk,
	}
	for range 3 {
		got := play(t, scenario)
		if diff := cmp.Diff(want, got.writes); diff != "" {
			t.Fatal(diff)
		}
		if got.err != nil || got.status != 200 {
			t.Errorf("status %d, error %v", got.status, got.err)
		}
		wantHeader := http.Header{
			"Content-Type":      {"text/event-stream"},
			"Cache-Control":     {"no-cache, no-transform"},
			"X-Accel-Buffering": {"no"},
		}
		if diff := cmp.Diff(wantHeader, got.Header()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestOpenKeepsTheCallersHeader(t *testing.T) {
	c, err := Compile(Options{Message: "m"})
	if err != nil {
		t.Fatal(err)
	}
	for d, want := range map[*Dialect]string{&openAIChat: "text/event-stream", &ollamaChat: "application/x-ndjson"} {
		w := httptest.NewRecorder()
		w.Header().Set("X-KEDA-HTTP-Cold-Start", "true")
		w.Header().Set("Content-Length", "7")
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Connection", "close")
		if _, err := c.Open(w, Request{dialect: d}, unknown); err != nil {
			t.Fatal(err)
		}
		header := w.Result().Header
		if header.Get("Content-Type") != want || header.Get("X-KEDA-HTTP-Cold-Start") != "true" || len(header) != 4 {
			t.Errorf("header: %v", header)
		}
		if w.Code != 200 || !w.Flushed {
			t.Error("not committed")
		}
	}
}

// TestCommentsInARowAreBounded: go-openai fails after 300 lines without data.
func TestCommentsInARowAreBounded(t *testing.T) {
	got := play(t, part{
		dialect: &openAIChat, body: toolsBody, wait: 2 * time.Minute,
		spec: Options{Message: "m", Interval: 100 * time.Millisecond},
	})
	row, longest := 0, 0
	for line := range strings.Lines(got.Body.String()) {
		if row++; strings.HasPrefix(line, "data:") {
			row = 0
		}
		longest = max(longest, row)
	}
	if longest > 290 || longest < 200 {
		t.Errorf("%d lines without data", longest)
	}
}

func TestHostileMessages(t *testing.T) {
	for _, message := range []string{
		"<script>alert('x')</script>&", `"quoted" \ back`, "two\nlines\r\nand\ttab", "\u2028\u2029", "bad \xff\xfe utf8", "data: x\n\ndata: [DONE]\n\n", "\x00\x1f",
	} {
		spec := Options{Message: message, KeepaliveMessage: message, Separator: &message}
		for _, d := range []*Dialect{&openAIChat, &ollamaChat, &ollamaGenerate} {
			got := play(t, part{dialect: d, body: `{"stream":true,"model":"m","messages":[0],"prompt":"p"}`, spec: spec, wait: 6 * time.Second,
				answer: answer(200, "", "data: x\n\n", "{}")})
			texts := 0
			for line := range strings.Lines(strings.TrimSuffix(strings.TrimSuffix(got.Body.String(), "{}"), "data: x\n\n")) {
				document := strings.TrimPrefix(line, "data: ")
				if strings.TrimSpace(document) == "" {
					continue
				}
				if !json.Valid([]byte(document)) {
					t.Errorf("%q: invalid JSON: %s", message, document)
				}
				if quoted, _ := json.Marshal(message); strings.Contains(document, string(quoted)) {
					texts++
				}
			}
			if texts < 2 {
				t.Errorf("%q: %d texts in %s", message, texts, got.Body)
			}
		}
	}
}

// TestTickFindsADeadClient: the caller ends the wait then.
func TestTickFindsADeadClient(t *testing.T) {
	c, err := Compile(Options{Message: "m"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Open(&fragile{ResponseRecorder: httptest.NewRecorder(), writes: 2}, Request{dialect: &openAIChat}, unknown)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Tick(); !errors.Is(err, http.ErrAbortHandler) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// fragile is a client that is gone at a certain write.
type fragile struct {
	*httptest.ResponseRecorder
	writes int
}

func (w *fragile) Write(b []byte) (int, error) {
	if w.writes--; w.writes == 0 {
		return 0, net.ErrClosed
	}
	return w.ResponseRecorder.Write(b)
}

// TestWritesHaveADeadline: set before each write, lifted after its flush.
func TestWritesHaveADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &deadlined{header: http.Header{}}
		c, err := Compile(Options{Message: "m"})
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.Open(w, Request{dialect: &eventSource}, unknown)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Tick(); err != nil {
			t.Fatal(err)
		}
		splicer := s.Splice(httptest.NewRequest("GET", "/", nil), plenty{})
		answer(200, eventStream, "data: 1\n\n")(splicer)
		if err := splicer.Close(nil, 0, ""); err != nil {
			t.Fatal(err)
		}
		// A client that reads the backend's answer slowly is not dead.
		keepalive := []string{"deadline 30s", "write", "flush", "no deadline"}
		want := slices.Concat([]string{"header"}, keepalive, keepalive, []string{"write", "flush"})
		if diff := cmp.Diff(want, w.calls); diff != "" {
			t.Error(diff)
		}
	})
}

// deadlined is a connection that notes how it is used.
type deadlined struct {
	header http.Header
	calls  []string
	silent bool
}

func (w *deadlined) note(call string) {
	if !w.silent {
		w.calls = append(w.calls, call)
	}
}
func (w *deadlined) Header() http.Header         { return w.header }
func (w *deadlined) WriteHeader(int)             { w.note("header") }
func (w *deadlined) Write(b []byte) (int, error) { w.note("write"); return len(b), nil }
func (w *deadlined) FlushError() error           { w.note("flush"); return nil }
func (w *deadlined) SetWriteDeadline(at time.Time) error {
	switch {
	case w.silent:
	case at.IsZero():
		w.note("no deadline")
	default:
		w.note("deadline " + time.Until(at).String())
	}
	return nil
}

// TestTicksAllocateNothing: thousands of streams tick for minutes.
func TestTicksAllocateNothing(t *testing.T) {
	c, err := Compile(Options{Message: "m", KeepaliveMessage: "k"})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []Request{{dialect: &openAIChat}, {dialect: &openAIChat, harmless: true}, {dialect: &anthropic}, {dialect: &eventSource}} {
		s, err := c.Open(&deadlined{header: http.Header{}, silent: true}, q, unknown)
		if err != nil {
			t.Fatal(err)
		}
		allocs := testing.AllocsPerRun(10, func() {
			if err := s.Tick(); err != nil {
				t.Error(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations a tick", q.dialect.name, allocs)
		}
	}
}

// TestClientThatStopsReading gives its place back after the write's deadline. It uses a real
// server, because a pipe takes no byte without a reader.
func TestClientThatStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := Compile(Options{Message: "m"})
		if err != nil {
			t.Fatal(err)
		}
		here, there := net.Pipe()
		opened := make(chan error, 1)
		start := time.Now()
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := c.Open(w, Request{dialect: &openAIChat}, unknown)
			opened <- err
			panic(http.ErrAbortHandler)
		})}
		listener := &oneConn{conn: there, closed: make(chan struct{})}
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = server.Serve(listener)
		}()
		if _, err := io.WriteString(here, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if err := <-opened; !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took != writeTimeout {
			t.Errorf("after %v", took)
		}
		_ = server.Close()
		_ = here.Close()
		<-served
	})
}

// oneConn is a listener that accepts one connection.
type oneConn struct {
	conn   net.Conn
	closed chan struct{}
	taken  bool
}

func (l *oneConn) Accept() (net.Conn, error) {
	if !l.taken {
		l.taken = true
		return l.conn, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}
func (l *oneConn) Close() error   { close(l.closed); return nil }
func (l *oneConn) Addr() net.Addr { return &net.IPAddr{} }

// Keepalives go on until the answer begins. Their deadline must not be that of the end of an
// answer.
func TestNoDeadlineIsLeftAtTheEndOfAnAnswer(t *testing.T) {
	for _, body := range []string{"", "data: {}\n\n"} {
		callback, err := Compile(Options{Message: "m"})
		if err != nil {
			t.Fatal(err)
		}
		w := &deadlined{header: http.Header{}}
		s, err := callback.Open(w, Request{dialect: &openAIChat, http1: true}, unknown)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Tick(); err != nil {
			t.Fatal(err)
		}
		splicer := s.Splice(httptest.NewRequest("GET", "/", nil), plenty{})
		splicer.KeepAlive()
		splicer.keepAlive()
		splicer.Header().Set("Content-Type", "text/event-stream")
		if _, err := splicer.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
		if err := splicer.Close(nil, 0, ""); err != nil {
			t.Fatal(err)
		}
		last := ""
		for _, call := range w.calls {
			if strings.Contains(call, "deadline") {
				last = call
			}
		}
		if last != "no deadline" {
			t.Errorf("after %q: %q is left", body, last)
		}
	}
}

// TestDeadlineOfKeepalives: each write of a stream is bounded. On HTTP/1.1 one
// deadline serves several keepalives, and none is left when the wait is over.
func TestDeadlineOfKeepalives(t *testing.T) {
	for _, c := range []struct {
		reason    string
		http1     bool
		deadlines int
	}{
		{"HTTP/1.1: one in half the time that a write may take", true, 1 + 4},
		{"HTTP/2: one for each write, and none between them", false, 1 + 60},
	} {
		synctest.Test(t, func(t *testing.T) {
			callback, err := Compile(Options{Message: "m"})
			if err != nil {
				t.Fatal(err)
			}
			callback.interval = time.Second
			w := &deadlined{header: http.Header{}}
			s, err := callback.Open(w, Request{dialect: &openAIChat, http1: c.http1}, unknown)
			if err != nil {
				t.Fatal(err)
			}
			if err := pass(s, time.Minute+time.Millisecond); err != nil {
				t.Fatal(err)
			}
			s.Splice(httptest.NewRequest("GET", "/", nil), plenty{})
			count := map[string]int{}
			for _, call := range w.calls {
				call, _, _ = strings.Cut(call, " ")
				count[call]++
			}
			if count["deadline"] != c.deadlines || count["write"] != 61 {
				t.Errorf("%s: got %v", c.reason, count)
			}
			if last := w.calls[len(w.calls)-1]; last != "no deadline" {
				t.Errorf("%s: %q is left", c.reason, last)
			}
		})
	}
}
