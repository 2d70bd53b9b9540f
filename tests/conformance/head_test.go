package conformance

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/kedacore/http-add-on/tests/support/frames"
)

// frames opens an HTTP/2 connection to the interceptor.
func (w *world) frames(window uint32) *frames.Conn {
	w.t.Helper()
	c, err := frames.Open(w.dial(), window)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// head sends the head of a GET by one protocol and returns the response's status and
// its Content-Type.
func (w *world) head(http2 bool, path string, fields ...string) (int, string) {
	w.t.Helper()
	if http2 {
		c := w.frames(64 << 10)
		stream, err := c.Request(true, frames.Fields("GET", "app.test", path, fields...)...)
		if err != nil {
			w.t.Fatal(err)
		}
		answer, err := c.Wait(stream)
		if err != nil {
			w.t.Fatal(err)
		}
		return answer.Status, answer.Header["content-type"]
	}
	var text strings.Builder
	fmt.Fprintf(&text, "GET %s HTTP/1.1\r\nHost: app.test\r\n", path)
	for i := 0; i+1 < len(fields); i += 2 {
		fmt.Fprintf(&text, "%s: %s\r\n", fields[i], fields[i+1])
	}
	conn := w.dial()
	go func(conn net.Conn) { _, _ = fmt.Fprint(conn, text.String(), "\r\n") }(conn)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode, response.Header.Get("Content-Type")
}

// many returns n fields.
func many(n int) (fields []string) {
	for i := range n {
		fields = append(fields, fmt.Sprintf("x-%d", i), "")
	}
	return fields
}

func TestHeadsAreBounded(t *testing.T) {
	w := newWorld(t, route(""))
	w.ready("app", w.backend(func(http.ResponseWriter, *http.Request) {}))
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, test := range []struct {
		reason, path string
		fields       []string
		status       int
		contentType  string
	}{
		{"199 fields and Host", "/", many(199), 200, ""},
		{"one more", "/", many(200), 431, "text/plain; charset=utf-8"},
		{"a large cookie", "/", []string{"cookie", long(60 << 10)}, 200, ""},
		{"a larger one", "/", []string{"cookie", long(65 << 10)}, 431, "text/plain; charset=utf-8"},
		{"a long path", "/" + long(65<<10), nil, 431, "text/plain; charset=utf-8"},
		{"in the shape of a problem", "/", append(many(200), "accept", "application/json"), 431, "application/problem+json"},
		{"in the shape of a page", "/", append(many(200), "accept", "text/html"), 431, "text/html; charset=utf-8"},
		{"in the shape of an API", "/v1/chat/completions", append(many(200), "authorization", "Bearer x"), 431, "application/json"},
		{"in the shape of gRPC", "/", append(many(200), "content-type", "application/grpc"), 200, "application/grpc"},
	} {
		for _, http2 := range []bool{false, true} {
			status, contentType := w.head(http2, test.path, test.fields...)
			if status != test.status || contentType != test.contentType {
				t.Errorf("%s, HTTP/2 %v: got %d %q, want %d %q", test.reason, http2, status, contentType, test.status, test.contentType)
			}
		}
	}
	// Beyond net/http's own bound it answers, or cuts an HTTP/2 connection.
	if status, _ := w.head(false, "/", "cookie", long(134<<10)); status != 431 {
		t.Errorf("beyond net/http's bound: got %d", status)
	}
}

func TestBoundsOfHeadsAreSettings(t *testing.T) {
	w := newWorld(t, route(""), "KEDA_HTTP_MAX_REQUEST_HEADER_BYTES", "1048576", "KEDA_HTTP_MAX_REQUEST_HEADER_FIELDS", "5000")
	w.ready("app", w.backend(func(http.ResponseWriter, *http.Request) {}))
	for _, http2 := range []bool{false, true} {
		for _, fields := range [][]string{many(4000), {"cookie", strings.Repeat("x", 900<<10)}} {
			if status, _ := w.head(http2, "/", fields...); status != 200 {
				t.Errorf("HTTP/2 %v: got %d", http2, status)
			}
		}
	}
}

// HPACK writes a field of 4 KiB in one byte once the server has seen it. The bound holds
// for what the fields say, not for what was sent.
func TestHeadIsBoundedAsItIsDecoded(t *testing.T) {
	w := newWorld(t, plainRoute)
	c := w.frames(64 << 10)
	cookie := hpack.HeaderField{Name: "cookie", Value: strings.Repeat("c", 4000)}
	for _, test := range []struct{ references, status int }{{20, 431}, {250, 431}} {
		fields := frames.Fields("GET", "app.test", "/")
		for range test.references {
			fields = append(fields, cookie)
		}
		stream, err := c.Request(true, fields...)
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := c.Wait(stream); err != nil || answer.Status != test.status {
			t.Errorf("%d references: got %d, %v", test.references, answer.Status, err)
		}
	}
	if n := w.tracker.Route("default/app").Held(); n != 0 {
		t.Errorf("%d requests are held", n)
	}
}

func TestStreamsOfAConnectionAreBounded(t *testing.T) {
	w := newWorld(t, plainRoute)
	c := w.frames(64 << 10)
	for range 250 {
		if _, err := c.Request(true, frames.Fields("GET", "app.test", "/")...); err != nil {
			t.Fatal(err)
		}
	}
	w.held("default/app", 250)
	stream, err := c.Request(true, frames.Fields("GET", "app.test", "/")...)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := c.Wait(stream); err == nil && answer.Reset == nil {
		t.Errorf("got %+v on one stream too many", answer)
	}
}
