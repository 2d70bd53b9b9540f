package conformance

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestContinueIsForTheBackendToSend: a client that waits with its body sends it to a cold target
// only if the body decides what the client gets. Otherwise the backend, once it is up, may refuse
// the request unread.
func TestContinueIsForTheBackendToSend(t *testing.T) {
	const object = `{"stream":false,"model":"m","messages":[]}`
	for _, c := range []struct {
		reason, path, media string
		length              int
		invited             bool
	}{
		{"it may ask for a stream", chatPath, "application/json", len(object), true},
		{"so may what curl sends", chatPath, "application/x-www-form-urlencoded", len(object), true},
		{"and a body without a type on any path", "/any", "", len(object), true},
		{"it is too long to be looked at", chatPath, "application/json", 200 << 10, false},
		{"it is an upload", "/upload", "application/octet-stream", len(object), false},
		{"its answer is never a stream", "/v1/audio/transcriptions", "multipart/form-data; boundary=a", len(object), false},
	} {
		for _, refuses := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, refuses %t", c.reason, refuses), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, streamRoute("message: Waking"), "KEDA_HTTP_COLD_START_MAX_BODY_BYTES", "102400")
				conn := w.dial()
				media := ""
				if c.media != "" {
					media = "Content-Type: " + c.media + "\r\n"
				}
				fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\nExpect: 100-continue\r\n%sContent-Length: %d\r\n\r\n", c.path, media, c.length)
				answers := bufio.NewReader(conn)
				next := func(want int) *http.Response {
					t.Helper()
					response, err := http.ReadResponse(answers, nil)
					if err != nil || response.StatusCode != want {
						t.Fatalf("got %v, %v, want %d", response, err, want)
					}
					return response
				}
				w.held("default/app", 1)
				if c.invited {
					next(http.StatusContinue)
					_, _ = io.WriteString(conn, object)
				}
				w.ready("app", scripted(t, func(conn net.Conn, in *bufio.Reader) {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					if refuses {
						_, _ = io.WriteString(conn, "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
						return
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
					n, err := io.Copy(io.Discard, r.Body)
					fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%d %v", n, err)
				}))
				if refuses {
					next(http.StatusUnauthorized)
					return
				}
				if !c.invited {
					next(http.StatusContinue)
					_, _ = io.WriteString(conn, strings.Repeat(" ", c.length))
				}
				if text, err := io.ReadAll(next(http.StatusOK).Body); err != nil || string(text) != fmt.Sprintf("%d <nil>", c.length) {
					t.Errorf("the backend got %q, %v", text, err)
				}
			})
		}
	}
}

// TestClientThatSendsUninvitedAndLeaves: a client may wait for 100 Continue no longer. What it
// sends then must not hide that it leaves.
func TestClientThatSendsUninvitedAndLeaves(t *testing.T) {
	w := newWorld(t, plainRoute)
	conn := w.dial()
	const length = 8 << 20
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", length)
	w.held("default/app", 1)
	if _, err := conn.Write(make([]byte, length-1)); err != nil { // more than the kernel keeps
		t.Fatal(err)
	}
	_ = conn.Close()
	w.held("default/app", 0)
}
