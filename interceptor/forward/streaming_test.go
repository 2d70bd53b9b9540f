package forward_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/kedacore/http-add-on/interceptor/exchange"
)

// each runs a test with all pairs of protocols, of the client and the backend.
func each(t *testing.T, backend http.HandlerFunc, test func(t *testing.T, f *fixture)) {
	t.Helper()
	for _, client := range []bool{false, true} {
		for _, upstream := range []string{"http1", "nethttp", "h2c", "tls"} {
			t.Run(fmt.Sprintf("client-h2c=%t/upstream-%s", client, upstream), func(t *testing.T) {
				var f *fixture
				if upstream == "tls" {
					f = newFixture(serveTLS(t, backend).Listener.Addr().String())
					f.secure, f.options.TLS = true, insecure()
				} else {
					f = newFixture(serve(t, upstream == "h2c", backend).Listener.Addr().String())
				}
				if upstream == "h2c" {
					f.target.Protocol = exchange.H2C
				}
				f.h2c, f.options.NetHTTP = client, upstream == "nethttp"
				f.start(t)
				test(t, f)
			})
		}
	}
}

func TestEventsAreFlushedOneByOne(t *testing.T) {
	next := make(chan struct{})
	each(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		http.NewResponseController(w).Flush()
		for i := range 3 {
			<-next // the client has seen what was written so far
			_, _ = fmt.Fprintf(w, "data: %d\n", i)
			http.NewResponseController(w).Flush()
		}
	}, func(t *testing.T, f *fixture) {
		res := f.get(t, "/")
		lines := bufio.NewReader(res.Body)
		for i := range 3 {
			next <- struct{}{}
			if line, err := lines.ReadString('\n'); line != fmt.Sprintf("data: %d\n", i) {
				t.Fatalf("event %d is %q, %v", i, line, err)
			}
		}
		if rest := read(t, lines); rest != "" {
			t.Errorf("there is more: %q", rest)
		}
	})
}

func TestFullDuplex(t *testing.T) {
	each(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(http.StatusOK)
		http.NewResponseController(w).Flush()
		lines := bufio.NewReader(r.Body)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = io.WriteString(w, "echo "+line)
			http.NewResponseController(w).Flush()
		}
	}, func(t *testing.T, f *fixture) {
		out, in := io.Pipe()
		r, err := http.NewRequest(http.MethodPost, f.front.URL, out)
		if err != nil {
			t.Fatal(err)
		}
		res := f.do(t, r) // the response begins before the request has ended
		lines := bufio.NewReader(res.Body)
		for i := range 3 {
			_, _ = fmt.Fprintf(in, "%d\n", i)
			if line, err := lines.ReadString('\n'); line != fmt.Sprintf("echo %d\n", i) {
				t.Fatalf("answer %d is %q, %v", i, line, err)
			}
		}
		_ = in.Close()
		if rest := read(t, lines); rest != "" {
			t.Errorf("there is more: %q", rest)
		}
		if err := f.result(t); err != nil {
			t.Error(err)
		}
	})
}

func TestTrailers(t *testing.T) {
	each(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Announced")
		_, _ = w.Write(body)
		w.Header().Set("X-Announced", r.Trailer.Get("X-Sum"))
		w.Header().Set(http.TrailerPrefix+"X-Late", "yes")
	}, func(t *testing.T, f *fixture) {
		r, err := http.NewRequest(http.MethodPost, f.front.URL, io.MultiReader(strings.NewReader("hello")))
		if err != nil {
			t.Fatal(err)
		}
		r.Trailer = http.Header{"X-Sum": {"5"}}
		res := f.do(t, r)
		if got := read(t, res.Body); got != "hello" {
			t.Errorf("body is %q", got)
		}
		if res.Trailer.Get("X-Announced") != "5" || res.Trailer.Get("X-Late") != "yes" {
			t.Errorf("trailers are %v", res.Trailer)
		}
	})
}

func TestEarlyHints(t *testing.T) {
	each(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "hello")
	}, func(t *testing.T, f *fixture) {
		var hints []string
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, header.Get("Link")))
			return nil
		}}
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), http.MethodGet, f.front.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, f.do(t, r).Body); got != "hello" {
			t.Errorf("body is %q", got)
		}
		if want := fmt.Sprint([]string{"103</a.css>", "103</a.css>"}); fmt.Sprint(hints) != want {
			t.Errorf("hints are %v", hints)
		}
	})
}

func TestExpectContinueIsTheBackends(t *testing.T) {
	f, got := spy(t, false, nil)
	conn := f.raw(t, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	answers := bufio.NewReader(conn)
	if res, err := http.ReadResponse(answers, nil); err != nil || res.StatusCode != http.StatusContinue {
		t.Fatalf("first answer: %v, %v", res, err)
	}
	_, _ = io.WriteString(conn, "hello")
	if res, err := http.ReadResponse(answers, nil); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("second answer: %v, %v", res, err)
	}
	if s := <-got; s.body != "hello" || s.request.Header.Get("Expect") == "" {
		t.Errorf("the backend got %q with %v", s.body, s.request.Header)
	}
}

func TestLargeBodies(t *testing.T) {
	const size = 4 << 20
	each(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	}, func(t *testing.T, f *fixture) {
		random := rand.NewChaCha8([32]byte{1})
		sent, received := sha256.New(), sha256.New()
		r, err := http.NewRequest(http.MethodPost, f.front.URL, io.TeeReader(io.LimitReader(random, size), sent))
		if err != nil {
			t.Fatal(err)
		}
		res := f.do(t, r)
		n, err := io.Copy(received, res.Body)
		if err != nil || n != size || !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
			t.Errorf("%d bytes came back, %v", n, err)
		}
	})
}

func TestWebSocket(t *testing.T) {
	upgrader := websocket.Upgrader{}
	echo := func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			kind, message, err := conn.ReadMessage()
			if err != nil {
				return
			}
			if err := conn.WriteMessage(kind, message); err != nil {
				return
			}
		}
	}
	for name, make := range map[string]func(t *testing.T) *fixture{
		"Plain": func(t *testing.T) *fixture {
			return newFixture(serve(t, false, echo).Listener.Addr().String())
		},
		"TLS": func(t *testing.T) *fixture { // where HTTP/2 would be negotiated, which has no upgrades
			f := newFixture(serveTLS(t, echo).Listener.Addr().String())
			f.secure, f.options.TLS = true, insecure()
			return f
		},
		"H2C": func(t *testing.T) *fixture { // the server speaks both
			f := newFixture(serve(t, false, echo).Listener.Addr().String())
			f.target.Protocol = exchange.H2C
			return f
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := make(t)
			f.route.Request, f.route.ResponseHeader = patient, patient
			f.start(t)
			conn, _, err := websocket.DefaultDialer.Dial(strings.Replace(f.front.URL, "http", "ws", 1), nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				want := fmt.Sprint("message ", i)
				if err := conn.WriteMessage(websocket.TextMessage, []byte(want)); err != nil {
					t.Fatal(err)
				}
				if _, got, err := conn.ReadMessage(); string(got) != want {
					t.Fatalf("got %q, %v", got, err)
				}
			}
			_ = conn.Close()
			if err := f.result(t); err != nil {
				t.Error(err)
			}
		})
	}
}

// recordingConn records the bytes that are read from a connection.
type recordingConn struct {
	net.Conn
	read *bytes.Buffer
}

func (c recordingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Write(p[:n])
	return n, err
}

// RFC 6455, 11.3 spells them so, and there are peers that compare names with case.
func TestWebSocketHeadersKeepTheirSpelling(t *testing.T) {
	const asked = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n" +
		"SEC-WEBSOCKET-PROTOCOL: a, b\r\nSec-WebSocket-Extensions: x\r\nX-Websocket-Key: 1\r\n"
	const offer = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
	const switching = "HTTP/1.1 101 Switching Protocols\r\n" + offer +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: a\r\nSec-Websocket-Extensions: x\r\n\r\n"
	const refusing = "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nsec-websocket-version: 13\r\n\r\n"
	for name, tt := range map[string]struct {
		netHTTP             bool
		headers, answer     string
		status              int
		atBackend, atClient []string
	}{
		"Accepted": {
			false, offer + asked, switching, 101,
			[]string{
				"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: a, b",
				"Sec-WebSocket-Extensions: x", "X-Websocket-Key: 1",
			},
			[]string{"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Extensions: x"},
		},
		"Refused":  {false, offer + asked, refusing, 426, []string{"Sec-WebSocket-Version: 13"}, []string{"Sec-WebSocket-Version: 13"}},
		"NotAsked": {false, "sec-websocket-version: 8\r\n", refusing, 426, []string{"Sec-WebSocket-Version: 8"}, []string{"Sec-WebSocket-Version: 13"}},
		"Transport": {
			true, offer + asked, switching, 101, []string{"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"},
			[]string{"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
		},
	} {
		t.Run(name, func(t *testing.T) {
			head := make(chan string, 1)
			f := newFixture(accepting(t, func(conn net.Conn) {
				read := new(bytes.Buffer)
				if _, err := http.ReadRequest(bufio.NewReader(recordingConn{conn, read})); err == nil {
					head <- read.String()
					_, _ = io.WriteString(conn, tt.answer)
				}
			}))
			f.options.NetHTTP = tt.netHTTP
			f.start(t)
			conn := recordingConn{f.raw(t, "GET / HTTP/1.1\r\nHost: a\r\n"+tt.headers+"\r\n"), new(bytes.Buffer)}
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || res.StatusCode != tt.status {
				t.Fatalf("the client got %v, %v", res, err)
			}
			lines := func(where, head string, want []string) {
				for _, line := range want {
					if !strings.Contains(head, "\r\n"+line+"\r\n") {
						t.Errorf("no line %q at the %s:\n%s", line, where, head)
					}
				}
				if strings.Contains(head, "Sec-Websocket") {
					t.Errorf("at the %s:\n%s", where, head)
				}
			}
			lines("backend", <-head, tt.atBackend)
			lines("client", conn.read.String(), tt.atClient)
		})
	}
}
