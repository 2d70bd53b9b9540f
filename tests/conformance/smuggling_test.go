package conformance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/kedacore/http-add-on/tests/support/frames"
)

// strict is a backend of HTTP/1.1 that takes each request by the letter of RFC 9112, and records
// what breaks it. Any other reading of a message may be used for smuggling.
type strict struct {
	mu      sync.Mutex
	targets []string // of the requests, in order
	broken  []error
}

var (
	requestLine = regexp.MustCompile("^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/1\\.1$")
	fieldLine   = regexp.MustCompile("^([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([^\\x00-\\x08\\x0a-\\x1f\\x7f]*)$")
)

// start serves, and returns the address.
func (s *strict) start(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				for in := bufio.NewReader(conn); ; {
					target, err := s.request(in)
					if errors.Is(err, io.EOF) {
						return
					}
					s.mu.Lock()
					if err != nil {
						s.broken = append(s.broken, err)
					} else {
						s.targets = append(s.targets, target)
					}
					s.mu.Unlock()
					if _, failed := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil || failed != nil {
						return
					}
				}
			})
		}
	})
	return l.Addr().String()
}

// strictLine reads a line that ends with CRLF and has no other CR or LF.
func strictLine(in *bufio.Reader) (string, error) {
	text, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	bare, ok := strings.CutSuffix(text, "\r\n")
	if !ok || strings.ContainsAny(bare, "\r\n\x00") {
		return "", fmt.Errorf("a line is %q", text)
	}
	return bare, nil
}

// request reads one request to its end. The error is io.EOF at the end of the connection.
func (s *strict) request(in *bufio.Reader) (target string, err error) {
	head, err := strictLine(in)
	if err != nil {
		return "", err
	}
	parts := requestLine.FindStringSubmatch(head)
	if parts == nil {
		return "", fmt.Errorf("the request line is %q", head)
	}
	var framing []string
	for {
		text, err := strictLine(in)
		if err != nil {
			return "", err
		}
		if text == "" {
			break
		}
		field := fieldLine.FindStringSubmatch(text)
		if field == nil {
			return "", fmt.Errorf("a field is %q", text)
		}
		if name := strings.ToLower(strings.ReplaceAll(field[1], "_", "-")); name == "content-length" || name == "transfer-encoding" {
			framing = append(framing, field[1]+":"+field[2])
		}
	}
	switch {
	case len(framing) == 0:
		return parts[2], nil
	case len(framing) > 1:
		return "", fmt.Errorf("the framing is %q", framing)
	case framing[0] == "Transfer-Encoding:chunked":
		return parts[2], chunks(in)
	}
	length, err := strconv.ParseUint(strings.TrimPrefix(framing[0], "Content-Length:"), 10, 31)
	if err != nil {
		return "", fmt.Errorf("the framing is %q", framing)
	}
	_, err = io.CopyN(io.Discard, in, int64(length))
	return parts[2], err
}

// chunks reads a chunked body, without extensions and trailers.
func chunks(in *bufio.Reader) error {
	for {
		size, err := strictLine(in)
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(size, 16, 31)
		if err != nil {
			return fmt.Errorf("the size of a chunk is %q", size)
		}
		if _, err := io.CopyN(io.Discard, in, int64(n)); err != nil {
			return err
		}
		end, err := strictLine(in)
		switch {
		case err != nil:
			return err
		case end != "":
			return fmt.Errorf("a chunk ends with %q", end)
		case n == 0:
			return nil
		}
	}
}

func (s *strict) seen() ([]string, []error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.targets), slices.Clone(s.broken)
}

// Whatever two parsers may read in two ways reaches the backend in one way, or not at all. Each
// request that it gets is one that the interceptor has routed and answered.
func TestNothingIsTakenForAnotherRequest(t *testing.T) {
	w := newWorld(t, plainRoute)
	const (
		post = "POST /first HTTP/1.1\r\nHost: app.test\r\n"
		evil = "GET /evil HTTP/1.1\r\nHost: app.test\r\n\r\n"
	)
	refused := []int{400}
	length := func(body string) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body) }
	for _, test := range []struct {
		reason   string
		sent     string
		statuses []int    // of the answers, in order
		targets  []string // that the backend gets; nil: as many as were answered with 200, all /first
	}{
		{"a request in a body", post + length(evil), []int{200}, nil},
		{"a request in a chunk", post + "Transfer-Encoding: chunked\r\n\r\n26\r\n" + evil + "\r\n0\r\n\r\n", []int{200}, nil},
		// RFC 9112, 6.3: Transfer-Encoding wins. What follows is a request like any other, which
		// is routed by its own head.
		{"CL.TE", post + "Content-Length: 43\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + evil, []int{200, 200}, []string{"/first", "/evil"}},
		{"TE.CL", post + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n26\r\n" + evil + "\r\n0\r\n\r\n", []int{200}, nil},
		{"the chunks end within the length", post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n26\r\n" + evil + "\r\n0\r\n\r\n", []int{200}, nil},

		{"two lengths", post + "Content-Length: 5\r\n" + length(evil), refused, nil},
		{"the same length twice", post + "Content-Length: 38\r\n" + length(evil), []int{200}, nil},
		{"a list of lengths", post + "Content-Length: 38, 5\r\n\r\n" + evil, refused, nil},
		{"a length with a sign", post + "Content-Length: +5\r\n\r\n" + evil, refused, nil},
		{"a negative length", post + "Content-Length: -5\r\n\r\n" + evil, refused, nil},
		{"a length in hexadecimal", post + "Content-Length: 0x5\r\n\r\n" + evil, refused, nil},
		{"an empty length", post + "Content-Length:\r\n\r\n" + evil, refused, nil},
		{"a length that overflows", post + "Content-Length: 18446744073709551621\r\n\r\n" + evil, refused, nil},
		{"a length with an underscore", post + "Content_Length: 38\r\n\r\n", []int{200}, nil},

		{"an unknown coding", post + "Transfer-Encoding: xchunked\r\n\r\n" + evil, []int{501}, nil},
		{"identity", post + "Transfer-Encoding: identity\r\n\r\n" + evil, []int{501}, nil},
		{"chunked, identity", post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + evil, []int{501}, nil},
		{"identity, chunked", post + "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + evil, []int{501}, nil},
		{"gzip, chunked", post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + evil, []int{501}, nil},
		{"chunked twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + evil, []int{501}, nil},
		{"chunked, then another one", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n" + evil, []int{501}, nil},
		{"chunked in quotes", post + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" + evil, []int{501}, nil},
		{"a vertical tab", post + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + evil, refused, nil},
		{"in HTTP/1.0", "POST /first HTTP/1.0\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + evil, []int{200}, nil},
		{"an underscore for the hyphen", post + "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", []int{200}, nil},

		{"a space before the colon", post + "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + evil, refused, nil},
		{"a space before a length's colon", post + "Content-Length : 5\r\n\r\n" + evil, refused, nil},
		{"a tab before the colon", post + "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n" + evil, refused, nil},
		{"a space before a name", post + "X-A: b\r\n Transfer-Encoding: chunked\r\n" + length("0\r\n\r\n"), []int{200}, nil},
		{"a space before the first name", "POST /first HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: app.test\r\n\r\n", refused, nil},
		{"obs-fold", post + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", []int{200}, nil},
		{"obs-fold of a length", post + "Content-Length: 3\r\n 8\r\n\r\n" + evil, refused, nil},
		{"a bare CR in a value", post + "X-A: b\rTransfer-Encoding: chunked\r\n\r\n" + evil, refused, nil},
		{"a NUL in a value", post + "X-A: b\x00\r\n\r\n" + evil, refused, nil},
		{"a NUL in a name", post + "Transfer-Encoding\x00: chunked\r\n\r\n" + evil, refused, nil},
		{"a line without colon", post + "Transfer-Encoding chunked\r\n\r\n" + evil, refused, nil},
		{"bare LF ends lines", "POST /first HTTP/1.1\nHost: app.test\nContent-Length: 38\n\n" + evil, []int{200}, nil},
		{"bare LF ends the head", post + "X-A: b\n\n" + evil, []int{200, 200}, []string{"/first", "/evil"}},

		{"a chunk extension", post + "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0;c\r\n\r\n", []int{200}, nil},
		{"a chunk extension with LF", post + "Transfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n" + evil, []int{400}, nil},
		{"a chunk's size with bare LF", post + "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n" + evil, []int{400}, nil},
		{"a chunk's size with a sign", post + "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n" + evil, []int{400}, nil},
		{"a chunk's size in 0x", post + "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n" + evil, []int{400}, nil},
		{"a chunk's size that overflows", post + "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n" + evil, []int{400}, nil},
		{"a chunk that is longer than its size", post + "Transfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n" + evil, []int{400}, nil},
		{"no size", post + "Transfer-Encoding: chunked\r\n\r\n\r\n" + evil, []int{400}, nil},

		{"two hosts", "GET /first HTTP/1.1\r\nHost: app.test\r\nHost: other.test\r\n\r\n" + evil, refused, nil},
		{"no host", "GET /first HTTP/1.1\r\n\r\n" + evil, refused, nil},
		{"three spaces in the request line", "GET  /first  HTTP/1.1\r\nHost: app.test\r\n\r\n" + evil, refused, nil},
		{"a request line of two words", "GET /first\r\nHost: app.test\r\n\r\n" + evil, refused, nil},
		{"another version", "GET /first HTTP/1.2\r\nHost: app.test\r\n\r\n", []int{200}, nil},
		{"a version of the future", "GET /first HTTP/3.0\r\nHost: app.test\r\n\r\n" + evil, []int{505}, nil},
	} {
		t.Run(test.reason, func(t *testing.T) {
			var backend strict
			w.ready("app", backend.start(t))
			defer w.ready("app") // which closes its connections
			conn := w.dial()
			defer conn.Close()
			fmt.Fprint(conn, test.sent)
			in := bufio.NewReader(conn)
			var statuses []int
			for range test.statuses {
				response, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Errorf("an answer is missing: %v", err)
					break
				}
				_, _ = io.Copy(io.Discard, response.Body)
				statuses = append(statuses, response.StatusCode)
			}
			if !slices.Equal(statuses, test.statuses) {
				t.Errorf("the answers are %v, want %v", statuses, test.statuses)
			}
			if last := statuses[len(statuses)-1]; last != 200 {
				// Nothing that follows is read.
				if more, err := in.ReadByte(); err == nil {
					t.Errorf("the connection goes on with %q", more)
				}
			}
			want := test.targets
			for range test.statuses {
				if test.targets == nil && test.statuses[0] == 200 {
					want = append(want, "/first")
				}
			}
			if targets, broken := backend.seen(); !slices.Equal(targets, want) || test.statuses[0] == 200 && broken != nil {
				t.Errorf("the backend gets %q (%v), want %q", targets, broken, want)
			}
		})
	}
}

// HTTP/2 has framing that the fields of a message could contradict, so they must agree with it
// (RFC 9113, 8.1.1 and 8.2).
func TestNothingIsSmuggledFromHTTP2(t *testing.T) {
	w := newWorld(t, plainRoute)
	const evil = "GET /evil HTTP/1.1\r\nHost: app.test\r\n\r\n"
	for _, test := range []struct {
		reason string
		method string
		path   string
		fields []string
		body   string
		passes bool
		early  bool // the head alone is a request, and may be answered before its body is seen
	}{
		{"no length", "POST", "/first", nil, evil, true, false},
		{"the length", "POST", "/first", []string{"content-length", "38"}, evil, true, false},
		{"no body", "GET", "/first", nil, "", true, false},
		{"no body and its length", "POST", "/first", []string{"content-length", "0"}, "", true, false},
		{"less than the length", "POST", "/first", []string{"content-length", "50"}, evil, false, false},
		{"more than the length", "POST", "/first", []string{"content-length", "5"}, evil, false, false},
		{"a length without body", "POST", "/first", []string{"content-length", "5"}, "", false, false},
		{"a length without body, of GET", "GET", "/first", []string{"content-length", "5"}, "", false, false},
		{"no body", "POST", "/first", []string{"content-length", "0"}, evil, false, true},
		{"two lengths", "POST", "/first", []string{"content-length", "38", "content-length", "5"}, evil, false, false},
		{"no number", "POST", "/first", []string{"content-length", "+38"}, evil, false, false},
		{"a list", "POST", "/first", []string{"content-length", "38, 38"}, evil, false, false},
		{"transfer-encoding", "POST", "/first", []string{"transfer-encoding", "chunked"}, "0\r\n\r\n" + evil, false, false},
		{"connection", "GET", "/first", []string{"connection", "close"}, "", false, false},
		{"a field in a value", "GET", "/first", []string{"x-a", "b\r\ntransfer-encoding: chunked"}, "", false, false},
		{"a line feed in a value", "GET", "/first", []string{"x-a", "b\n\n" + evil}, "", false, false},
		{"a NUL in a value", "GET", "/first", []string{"x-a", "b\x00"}, "", false, false},
		{"a field in a name", "GET", "/first", []string{"x-a: b\r\ntransfer-encoding", "chunked"}, "", false, false},
		{"a colon in a name", "GET", "/first", []string{"x-a:", "b"}, "", false, false},
		{"capitals in a name", "GET", "/first", []string{"X-A", "b"}, "", false, false},
		{"a request in the path", "GET", "/first HTTP/1.1\r\nHost: app.test\r\n\r\nGET /evil", nil, "", false, false},
		{"a request in the method", "GET /evil HTTP/1.1\r\nHost: a\r\n\r\nGET", "/first", nil, "", false, false},
		{"a second path", "GET", "/first", []string{":path", "/evil"}, "", false, false},
		{"a pseudo field behind others", "GET", "/first", []string{"x-a", "b", ":path", "/evil"}, "", false, false},
		{"an unknown pseudo field", "GET", "/first", []string{":evil", "b"}, "", false, false},
		{"te that is not trailers", "GET", "/first", []string{"te", "chunked"}, "", false, false},
	} {
		t.Run(test.reason, func(t *testing.T) {
			var backend strict
			w.ready("app", backend.start(t))
			defer w.ready("app") // which closes its connections
			c := w.frames(64 << 10)
			defer c.Close()
			fields := []hpack.HeaderField{{Name: ":method", Value: test.method}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "app.test"}, {Name: ":path", Value: test.path}}
			for i := 0; i+1 < len(test.fields); i += 2 {
				fields = append(fields, hpack.HeaderField{Name: test.fields[i], Value: test.fields[i+1]})
			}
			stream, err := c.Request(test.body == "", fields...)
			if err != nil {
				t.Fatal(err)
			}
			if test.body != "" {
				if err := c.Data(stream, true, []byte(test.body)); err != nil {
					t.Fatal(err)
				}
			}
			answer, err := c.Wait(stream)
			if passed := err == nil && answer.Status == 200; passed != test.passes && !test.early {
				t.Errorf("got %d, reset %v, %v", answer.Status, answer.Reset, err)
			}
			var want []string
			if test.passes {
				want = []string{"/first"}
			}
			targets, broken := backend.seen()
			if test.early && len(targets) > 0 {
				want = []string{"/first"}
			}
			if !slices.Equal(targets, want) || test.passes && broken != nil {
				t.Errorf("the backend gets %q (%v)", targets, broken)
			}
			// The next request is served, on another connection if need be.
			if got := w.do(w.request(http.MethodGet, "app.test", "/next", "")); got.status != http.StatusOK {
				t.Errorf("then: %d, %v", got.status, got.err)
			}
		})
	}
}

// What HTTP/2 carries in fields becomes lines of HTTP/1.1. net/http looks at less of it there.
func TestAnHTTP2RequestIsNotTakenForAnother(t *testing.T) {
	w := newWorld(t, plainRoute)
	var mu sync.Mutex
	var got []string
	w.ready("app", w.backend(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, fmt.Sprintf("%s %s of %q, %q", r.Method, r.RequestURI, r.Host, r.Header["X-Forwarded-Host"]))
	}))
	c, err := frames.Open(w.dial(), 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		reason, method, host, path string
		status                     int // 0: the stream is reset
	}{
		{"a request line in a method", "GET /evil HTTP/1.1", "app.test", "/first", 400},
		{"a space in a method", "G T", "app.test", "/first", 400},
		{"a slash in a method", "GET/", "app.test", "/first", 400},
		{"a colon in a method", "GET:", "app.test", "/first", 400},
		{"no method", "", "app.test", "/first", 0},
		{"a space in a port", "GET", "app.test:80 80", "/first", 400},
		{"letters in a port", "GET", "app.test:abc", "/first", 400},
		{"a space in a host", "GET", "app.test x", "/first", 400},
		{"a path in a host", "GET", "app.test/evil", "/first", 400},
		{"a user in a host", "GET", "user@app.test", "/first", 0},
		{"a byte that is not ASCII", "GET", "app.test\xff", "/first", 400},
		{"brackets that do not end", "GET", "[::1]x", "/first", 400},
		{"a space in a path", "GET", "app.test", "/first HTTP/1.1", 200},
		{"a method of its own", "PURGE", "app.test", "/first", 200},
		{"a port", "GET", "app.test:8080", "/first", 200},
		{"an empty port", "GET", "app.test:", "/first", 200},
	} {
		stream, err := c.Request(true, frames.Fields(test.method, test.host, test.path)...)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := c.Wait(stream)
		if err != nil {
			t.Fatalf("%s: %v", test.reason, err)
		}
		if answer.Status != test.status {
			t.Errorf("%s: answered with %d, want %d", test.reason, answer.Status, test.status)
		}
		// The backend would refuse some of them, too, after it has got them.
		if _, asked := answer.Header["x-keda-http-cold-start"]; asked != (test.status == 200) {
			t.Errorf("%s: the target was asked: %t", test.reason, asked)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	want := []string{
		`GET /first%20HTTP/1.1 of "app.test", ["app.test"]`, `PURGE /first of "app.test", ["app.test"]`,
		`GET /first of "app.test:8080", ["app.test:8080"]`, `GET /first of "app.test:", ["app.test:"]`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("the backend got %q, want %q", got, want)
	}
}

// The author of a route does not decide how its responses are framed.
func TestAStaticResponseIsFramedOnce(t *testing.T) {
	w := newWorld(t, route(`
staticRoutes:
  - rules: [{}]
    responseMode: Always
    response: {body: hello, headers: {transfer-encoding: gzip, Connection: upgrade, Upgrade: x, Trailer: X-A, Content-Length: "1", X-Kept: "1"}}`))
	conn := w.dial()
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || string(body) != "hello" || answer.Header.Get("X-Kept") != "1" {
		t.Errorf("got %v with %q, %v", answer.Header, body, err)
	}
	for _, name := range []string{"Connection", "Upgrade", "Trailer"} {
		if values := answer.Header[name]; values != nil || len(answer.TransferEncoding) > 0 || answer.ContentLength != 5 {
			t.Errorf("%s is %q, the coding %q, the length %d", name, values, answer.TransferEncoding, answer.ContentLength)
		}
	}
}
