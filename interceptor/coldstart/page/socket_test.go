package page

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/interceptor/coldstart/eta"
)

// wrapped stands for the wrappers that a chain puts around its ResponseWriter.
type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// liveServer serves a live page on loopback until the test closes ready, and
// reports how each ended.
func liveServer(t *testing.T, configure func(*http.Server)) (address string, ready chan struct{}, ended <-chan error) {
	t.Helper()
	p, results := compile(t, Options{}), make(chan error, 1)
	ready = make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		results <- serveLive(p, wrapped{w}, r, eta.Progress{}, ready)
	}))
	if configure != nil {
		configure(server.Config)
	}
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), ready, results
}

// dial sends a request's bytes and returns the connection, unread.
func dial(t *testing.T, address, request string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// readUntil reads bytes from the wire up to and including mark.
func readUntil(t *testing.T, in *bufio.Reader, mark string) string {
	t.Helper()
	var seen strings.Builder
	for !strings.HasSuffix(seen.String(), mark) {
		b, err := in.ReadByte()
		if err != nil {
			t.Fatalf("%v before %q in\n%s", err, mark, seen.String())
		}
		seen.WriteByte(b)
	}
	return seen.String()
}

func TestLivePageOnTheWireRunsToTheEndOfTheConnection(t *testing.T) {
	for name, request := range map[string]string{
		"HTTP/1.1":            "GET / HTTP/1.1\r\nHost: app\r\n\r\n",
		"HTTP/1.1 keep-alive": "GET / HTTP/1.1\r\nHost: app\r\nConnection: keep-alive\r\n\r\n",
		"HTTP/1.0":            "GET / HTTP/1.0\r\n\r\n",
		"HTTP/1.0 keep-alive": "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, awake, ended := liveServer(t, nil)
			in := bufio.NewReader(dial(t, address, request))

			// Not ready: header and page are on the wire already.
			header := readUntil(t, in, "\r\n\r\n")
			for _, forbidden := range []string{"Transfer-Encoding", "Content-Length", "keep-alive"} {
				if strings.Contains(header, forbidden) {
					t.Errorf("the header has %s:\n%s", forbidden, header)
				}
			}
			if strings.HasPrefix(name, "HTTP/1.1") && !strings.Contains(header, "\r\nConnection: close\r\n") {
				t.Errorf("the header has no Connection: close:\n%s", header)
			}
			text := readUntil(t, in, "<p>0:00</p>")
			if !strings.HasPrefix(text, "<!doctype html>") {
				t.Errorf("the body begins with something else than the page:\n%s", text)
			}
			text = readUntil(t, in, "<p>0:01</p>")

			close(awake)
			rest, err := io.ReadAll(in)
			if err != nil {
				t.Fatalf("%v after\n%s", err, rest)
			}
			if want := ready + `<script>document.title="Ready",location.reload()</script><noscript><meta http-equiv="refresh" content="0;url=/"></noscript></div></main></body></html>` + "\n"; string(rest) != want {
				t.Errorf("after %q the body ends %q, want %q", text, rest, want)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLivePageOnTheWireNoticesThatItsClientLeft(t *testing.T) {
	address, _, ended := liveServer(t, nil)
	conn := dial(t, address, "GET / HTTP/1.1\r\nHost: app\r\n\r\n")
	readUntil(t, bufio.NewReader(conn), "<p>0:00</p>")
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(time.Minute):
		t.Error("the page is still open")
	}
}

func TestLivePageOnHTTP2EndsItsStream(t *testing.T) {
	address, ready, ended := liveServer(t, func(server *http.Server) {
		server.Protocols = new(http.Protocols)
		server.Protocols.SetUnencryptedHTTP2(true)
	})
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.ProtoMajor != 2 || response.StatusCode != 503 || response.Header["Transfer-Encoding"] != nil || response.Header["Connection"] != nil {
		t.Errorf("%s %d with header %v", response.Proto, response.StatusCode, response.Header)
	}
	in := bufio.NewReader(response.Body)
	readUntil(t, in, "<p>0:00</p>")
	close(ready)
	rest, err := io.ReadAll(in)
	if err != nil || !strings.Contains(string(rest), `content="0;url=/"`) {
		t.Errorf("error %v after %q", err, rest)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestFinitePageOnTheWireKeepsTheConnection(t *testing.T) {
	p := compile(t, Options{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := p.ServeFinite(wrapped{w}, r, eta.Progress{}); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	in := bufio.NewReader(dial(t, server.Listener.Addr().String(),
		"HEAD / HTTP/1.1\r\nHost: app\r\n\r\nGET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n"))
	header := readUntil(t, in, "\r\n\r\n")
	length := strconv.Itoa(len(body(t, finite(t, p, http.MethodGet))))
	if !strings.Contains(header, "\r\nContent-Length: "+length+"\r\n") {
		t.Errorf("HEAD without the page's length:\n%s", header)
	}
	rest, err := io.ReadAll(in)
	if err != nil || !strings.HasPrefix(string(rest), "HTTP/1.1 503 ") || !strings.HasSuffix(string(rest), "</html>\n") {
		t.Errorf("error %v, after HEAD came\n%s", err, rest)
	}
}
