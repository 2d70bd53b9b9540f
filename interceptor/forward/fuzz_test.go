package forward_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	requestbody "github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/forward"
)

// tape is a connection that plays a response in pieces once a request was written, and
// ends then.
type tape struct {
	response, cuts []byte
	played         int
	started        chan struct{}
	closed         chan struct{}
	start, end     sync.Once
}

func (c *tape) Read(p []byte) (int, error) {
	select {
	case <-c.started:
	case <-c.closed:
		return 0, net.ErrClosed
	}
	if len(c.response) == 0 {
		return 0, io.EOF
	}
	n := len(c.response)
	if len(c.cuts) > 0 {
		n = 1 + int(c.cuts[c.played%len(c.cuts)])
		c.played++
	}
	n = copy(p[:min(n, len(p))], c.response)
	c.response = c.response[n:]
	return n, nil
}

func (c *tape) Write(p []byte) (int, error) {
	c.start.Do(func() { close(c.started) })
	return len(p), nil
}

func (c *tape) Close() error {
	c.end.Do(func() { close(c.closed) })
	return nil
}

func (c *tape) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *tape) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *tape) SetDeadline(time.Time) error      { return nil }
func (c *tape) SetReadDeadline(time.Time) error  { return nil }
func (c *tape) SetWriteDeadline(time.Time) error { return nil }

// received is what a client got.
type received struct {
	Verdict string
	Hints   []string
	Status  int
	Sent    http.Header // the header when it was sent
	Trailer http.Header // what the header is at the end
	Body    string
}

// receiver is a client that notes everything.
type receiver struct {
	received
	header http.Header
	body   bytes.Buffer
}

func (r *receiver) Header() http.Header { return r.header }

func (r *receiver) Write(p []byte) (int, error) { return r.body.Write(p) }

func (r *receiver) WriteHeader(status int) {
	if status < 200 {
		r.Hints = append(r.Hints, fmt.Sprint(status, r.header))
		return
	}
	r.Status, r.Sent = status, r.header.Clone()
}

// play forwards a request to a backend that answers with these bytes.
func play(method string, response, cuts []byte, netHTTP bool) received {
	store := endpoints.NewStore()
	store.Update("ns", "svc", map[string][]string{"": {"10.0.0.1:80"}})
	target := &exchange.Target{Endpoints: store.Port(endpoints.Key{Namespace: "ns", Service: "svc"}), ServerName: "svc.ns"}
	o := options()
	o.NetHTTP, o.MaxResponseHeaderBytes = netHTTP, 512
	o.DialContext = func(context.Context, string, string) (net.Conn, error) {
		return &tape{response: response, cuts: cuts, started: make(chan struct{}), closed: make(chan struct{})}, nil
	}
	f := forward.New(o)
	defer f.Close()
	x := &exchange.Exchange{Start: time.Now(), Route: &exchange.Route{Target: target}}
	x.Upstream.Target = target
	x.Upstream.Slot, _ = target.Endpoints.Pick()
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader("hello")
	}
	w := &receiver{header: make(http.Header)}
	r := httptest.NewRequest(method, "/", body)
	x.Body = requestbody.Open(w, r)
	err := f.ServeExchange(w, r, x)
	w.Trailer, w.Body = w.header, w.body.String()
	switch {
	case err == nil:
		w.Verdict = "answered"
	case errors.Is(err, http.ErrAbortHandler):
		w.Verdict = "cut"
	default:
		w.Verdict = fmt.Sprint(status(err))
	}
	return w.received
}

// FuzzResponse compares our client with net/http's. Any bytes as a response, delivered in any
// pieces and cut anywhere, have the same verdict and give the client the same.
func FuzzResponse(f *testing.F) {
	log.SetOutput(io.Discard) // where net/http notes what follows a response
	defer log.SetOutput(os.Stderr)
	for _, response := range []string{
		"",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!",
		"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n5\r\nhello\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello",
		"HTTP/1.1 200 OK\r\n\r\nuntil the end",
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/2.0 200 OK\r\n\r\n",
		"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 304 Not Modified\r\nEtag: \"1\"\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
		"HTTP/1.1 099 Low\r\n\r\n",
		"HTTP/1.1 999 High\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX-Fold: a\r\n b\r\n\r\n",
		"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX A: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX-A : x\r\n\r\n",
		"HTTP/1.1 200 OK\nX-A: x\n\nbody",
		"HTTP/1.1 2000 OK\r\n\r\n",
		"HTTP/1.1 -20 OK\r\n\r\n",
		"http/1.1 200 OK\r\n\r\n",
		"SSH-2.0-OpenSSH_9.9\r\n",
		"HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("x", 600) + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("x", 480) + "\r\n\r\nbody",
	} {
		for _, cuts := range []string{"", "\x00", "\x10\x02"} {
			for method := range uint8(3) {
				f.Add([]byte(response), []byte(cuts), method)
			}
		}
	}
	methods := [...]string{http.MethodGet, http.MethodHead, http.MethodPost}
	f.Fuzz(func(t *testing.T, response, cuts []byte, method uint8) {
		if bytes.Contains(response, []byte("HTTP/1.0")) && bytes.Contains(bytes.ToLower(response), []byte("transfer-encoding")) {
			return // net/http takes the chunks for the body
		}
		m := methods[int(method)%len(methods)]
		if d := cmp.Diff(play(m, response, cuts, true), play(m, response, cuts, false)); d != "" {
			t.Errorf("%s of %q: -net/http +ours\n%s", m, response, d)
		}
	})
}
