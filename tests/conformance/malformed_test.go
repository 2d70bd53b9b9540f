package conformance

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestMalformedBodiesGet400: the client still waits for an answer, in the shape of its API.
func TestMalformedBodiesGet400(t *testing.T) {
	backend := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "ok")
	}
	for reason, body := range map[string]string{
		"no size":              "\r\n",
		"no number":            "zz\r\nabc\r\n0\r\n\r\n",
		"a negative size":      "-1\r\n",
		"a size that is large": "fffffffffffffffff\r\n",
		"a size without CR":    "3\nabc\r\n0\r\n\r\n",
		"a line that is long":  strings.Repeat("1", 5000) + "\r\n",
		"more than the size":   "3\r\nabcdef\r\n0\r\n\r\n",
		"no trailer":           "3\r\nabc\r\n0\r\nno colon\r\n\r\n",
	} {
		for _, begin := range []string{"", "7\r\n{\"a\":1}\r\n", "1\r\n{\r\n"} {
			for _, path := range []string{chatPath, "/upload"} {
				for _, cold := range []bool{true, false} {
					t.Run(fmt.Sprintf("%s after %d bytes, %s, cold %t", reason, len(begin), path, cold), func(t *testing.T) {
						t.Parallel()
						w := newWorld(t, streamRoute("message: Waking"))
						if !cold {
							w.ready("app", w.backend(backend))
						}
						conn := w.dial()
						_, _ = io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: app.test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"+begin+body)
						response, err := http.ReadResponse(bufio.NewReader(conn), nil)
						if err != nil {
							t.Fatal(err)
						}
						text, err := io.ReadAll(response.Body)
						if err != nil || response.StatusCode != http.StatusBadRequest || !response.Close {
							t.Errorf("got %d, close %t, %q, %v", response.StatusCode, response.Close, text, err)
						}
						if shape := `{"error":{"message":"the request body could not be read"`; strings.HasPrefix(string(text), shape) != (path == chatPath) {
							t.Errorf("got %s", text)
						}
					})
				}
			}
		}
	}
}
