package conformance

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestKeepalivesGoOnUntilTheAnswer: a backend that is ready may work for minutes on its answer,
// and the client would hang up. The backend goes on once the client has heard something.
func TestKeepalivesGoOnUntilTheAnswer(t *testing.T) {
	const (
		head  = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
		begin = `{"id":"1","object":"chat.completion","choices":[{"index":0,"message":`
		end   = `{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}`
	)
	for _, c := range []struct {
		reason  string
		beats   []string // the backend's, and the client hears something after each
		answer  string
		forward bool // what the client hears is the backend's
	}{
		{"nothing at all", []string{""}, head + answerStream, false},
		{"a head", []string{head}, answerStream, false},
		{"blank lines", []string{head, "\n", "\r\n"}, answerStream, false},
		{"more white space than an answer has", []string{head, strings.Repeat(" \n", 4<<10), "\n"}, answerStream, false},
		{"white space before JSON", []string{head, "\n", " "}, begin + end, false},
		{"half of JSON", []string{head, "\n", begin}, end, false},
		{"half of a field", []string{head, "da"}, answerStream[2:], false},
		{"comments", []string{head, ": ping\n\n", ": ping\n\n"}, answerStream, true},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, streamRoute("message: Waking, keepaliveMessage: still, interval: 100ms"))
			response, events := w.chat(`{"stream":true,"model":"m","messages":[]}`)
			if first := line(t, events); response.StatusCode != http.StatusOK || !strings.Contains(first, "Waking") {
				t.Fatalf("first event: %d %s", response.StatusCode, first)
			}
			sent, heard := make(chan struct{}), make(chan struct{})
			w.ready("app", scripted(t, func(conn net.Conn, in *bufio.Reader) {
				r, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				for _, beat := range c.beats {
					_, _ = io.WriteString(conn, beat)
					sent <- struct{}{}
					<-heard
				}
				_, _ = io.WriteString(conn, c.answer)
			}))
			for i := range c.beats {
				select {
				case <-sent:
				case <-time.After(patience):
					t.Fatal("the backend was not asked")
				}
				want, more := "still", 2 // one may have been on its way
				if c.forward && i > 0 {
					want, more = ": ping", 1
				}
				for more > 0 {
					if strings.Contains(line(t, events), want) {
						more--
					}
				}
				heard <- struct{}{}
			}
			rest, err := io.ReadAll(events)
			if text := string(rest); err != nil || !strings.Contains(text, `"content":"Hi"`) || !strings.HasSuffix(text, "data: [DONE]\n\n") {
				t.Errorf("got %q, %v", text, err)
			}
		})
	}
}

// TestAStreamWithoutAnEventIsAFailure: a client that gets neither text nor an end takes it for
// an empty answer.
func TestAStreamWithoutAnEventIsAFailure(t *testing.T) {
	for _, body := range []string{"", "\n\n", ": ping\n\n", ": ping", "event: ping\n\n", "id: 1\nretry: 1\n\n"} {
		t.Run(fmt.Sprintf("%q", body), func(t *testing.T) {
			w := newWorld(t, streamRoute("message: Waking, interval: 1h"))
			_, events := w.chat(`{"stream":true,"model":"m","messages":[]}`)
			w.ready("app", w.backend(answerWith(http.StatusOK, "text/event-stream", body)))
			rest, err := io.ReadAll(events)
			text := string(rest)
			failure := `data: {"error":{"message":"the backend did not answer with a stream"`
			if err != nil || !strings.Contains(text, "\n"+failure) || strings.Contains(text, "[DONE]") {
				t.Errorf("got %q, %v", text, err)
			}
		})
	}
}
