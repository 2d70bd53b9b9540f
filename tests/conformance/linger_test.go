package conformance

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Many clients read no answer before they have sent their whole request. A connection that
// is closed meanwhile is reset, and the reset takes the answer with it.
func TestAnAnswerReachesAClientThatSendsEverythingFirst(t *testing.T) {
	const size = 6 << 20 // more than the buffers of two sockets hold
	w := newWorld(t, route("timeouts: {readiness: 300ms}")+"---\n"+
		strings.ReplaceAll(route("coldStart: {maxPendingRequests: 1}"), "app", "full")+"---\n"+strings.ReplaceAll(plainRoute, "app", "warm"))
	w.ready("warm", refusing(t))
	known := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size))
	object := fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n\r\n{%s", size, strings.Repeat(" ", size-1))
	chunked := fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", size, strings.Repeat("x", size))
	for _, test := range []struct {
		reason, host string
		status       int
	}{
		{"no route", "other.test", http.StatusNotFound},
		{"the target does not become ready", "app.test", http.StatusGatewayTimeout},
		{"every place is taken", "full.test", http.StatusServiceUnavailable},
		{"the backend refuses it", "warm.test", http.StatusRequestEntityTooLarge},
	} {
		if test.host == "full.test" {
			w.later(w.request(http.MethodGet, test.host, "/", ""))
			w.held("default/full", 1)
		}
		for name, body := range map[string]string{"known length": known, "object": object, "chunked": chunked} {
			status, err := send(w.dial(), "POST /v1/chat/completions HTTP/1.1\r\nHost: "+test.host+"\r\n"+body)
			if err != nil || status != test.status {
				t.Errorf("%s, %s: got %d, %v, want %d", test.reason, name, status, err, test.status)
			}
		}
	}
}

// send writes a request to its end, and reads the answer then.
func send(conn net.Conn, request string) (int, error) {
	if err := conn.(*net.TCPConn).SetWriteBuffer(64 << 10); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(conn, request); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

// refusing starts a backend that answers before it has read a body, as servers with a limit do.
func refusing(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}
