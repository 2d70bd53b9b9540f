package forward_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	http2client "github.com/kedacore/http-add-on/tests/support/frames"
	"github.com/kedacore/http-add-on/tests/support/listen"
)

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

func TestClientLeaves(t *testing.T) {
	arrived, left := make(chan struct{}), make(chan struct{})
	each(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
		left <- struct{}{}
	}, func(t *testing.T, f *fixture) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.front.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			<-arrived
			cancel()
		}()
		if _, err := f.client.Do(r); err == nil {
			t.Error("the client got an answer")
		}
		<-left // the backend knows
		if err := f.result(t); !errors.Is(err, context.Canceled) || status(err) != 0 {
			t.Errorf("the exchange ended with %v", err)
		}
	})
}

func TestClientLeavesWhileItSends(t *testing.T) {
	f, got := spy(t, false, nil)
	conn := f.raw(t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
	_ = conn.Close()
	if err := f.result(t); !errors.Is(err, context.Canceled) || status(err) != 0 {
		t.Errorf("the exchange ended with %v", err)
	}
	<-got
}

func TestBrokenUploadIsTheClientsFault(t *testing.T) {
	f, got := spy(t, false, nil)
	conn := f.raw(t, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
	defer conn.Close()
	if err := f.result(t); status(err) != http.StatusBadRequest {
		t.Errorf("the exchange ended with %v", err)
	}
	<-got
}

func TestBackendDiesInTheBody(t *testing.T) {
	each(t, func(w http.ResponseWriter, _ *http.Request) {
		hello(w, nil)
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}, func(t *testing.T, f *fixture) {
		res := f.get(t, "/")
		if body, err := io.ReadAll(res.Body); err == nil || string(body) != "hello" {
			t.Errorf("the client read %q to a clean end", body)
		}
		if err := f.result(t); !errors.Is(err, http.ErrAbortHandler) || status(err) != 0 {
			t.Errorf("the exchange ended with %v", err)
		}
		// The same without a server's connection, as when it is spliced into a stream.
		w, x := httptest.NewRecorder(), &exchange.Exchange{Route: f.route, TLS: f.secure}
		x.Upstream.Target = f.target
		x.Upstream.Slot, _ = f.target.Endpoints.Pick()
		err := f.forwarder.ServeExchange(w, httptest.NewRequest(http.MethodGet, "/", nil), x)
		if !errors.Is(err, http.ErrAbortHandler) || w.Body.String() != "hello" {
			t.Errorf("with a recorder it ended with %v after %q", err, w.Body)
		}
	})
}

// brokenWriter is a client that takes no body.
type brokenWriter struct{ *httptest.ResponseRecorder }

func (w brokenWriter) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestClientTakesNoBody(t *testing.T) {
	backend := serve(t, false, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) })
	f := to(t, backend.Listener.Addr().String())
	x := &exchange.Exchange{Route: f.route}
	x.Upstream.Target = f.target
	x.Upstream.Slot, _ = f.target.Endpoints.Pick()
	err := f.forwarder.ServeExchange(brokenWriter{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/", nil), x)
	if !errors.Is(err, http.ErrAbortHandler) {
		t.Errorf("the exchange ended with %v", err)
	}
}

func TestFailuresNameNothingInternal(t *testing.T) {
	tests := map[string]struct {
		answer string
		status int
	}{
		"NoHTTP":       {"SSH-2.0-server\r\n", 502},
		"NoAnswer":     {"", 502},
		"TornHeader":   {"HTTP/1.1 200 OK\r\nContent-Le", 502},
		"BadSwitching": {"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", 502},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := to(t, accepting(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, tt.answer)
			}))
			res := f.get(t, "/")
			body := read(t, res.Body)
			if res.StatusCode != tt.status || strings.Contains(body, "127.0.0.1") || strings.Contains(body, "http") {
				t.Errorf("status %d with %q", res.StatusCode, body)
			}
		})
	}
}

func TestInvalidUpgradeIsTheClientsFault(t *testing.T) {
	f := to(t, "127.0.0.1:1")
	f.raw(t, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: \x80\r\n\r\n")
	if err := f.result(t); status(err) != http.StatusBadRequest {
		t.Errorf("the exchange ended with %v", err)
	}
}

func TestRefusedThenUp(t *testing.T) {
	backend := serve(t, false, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	for _, h2c := range []bool{false, true} {
		var dials atomic.Int32
		f := newFixture(backend.Listener.Addr().String())
		f.h2c = h2c
		f.options.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if dials.Add(1) <= 3 {
				return nil, syscall.ECONNREFUSED
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		f.start(t)
		res, err := f.client.Post(f.front.URL, "text/plain", io.MultiReader(strings.NewReader("hello")))
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, res.Body); res.StatusCode != 200 || got != "hello" {
			t.Errorf("status %d with %q: the body must be whole after a retry", res.StatusCode, got)
		}
		_ = res.Body.Close()
		if n := dials.Load(); n != 4 {
			t.Errorf("%d dials", n)
		}
	}
}

func TestAnotherEndpoint(t *testing.T) {
	backend := serve(t, false, hello)
	dead := []string{listen.Refusing(t), listen.Refusing(t), listen.Refusing(t)}
	for range 10 {
		f := to(t, append(dead, backend.Listener.Addr().String())...)
		if got := read(t, f.get(t, "/").Body); got != "hello" {
			t.Errorf("got %q", got)
		}
		if err := f.result(t); err != nil {
			t.Error(err)
		}
	}
}

func TestAnotherAddressOfThePod(t *testing.T) {
	for _, h2c := range []bool{false, true} {
		backend := serve(t, h2c, hello)
		f := newFixture()
		if h2c {
			f.target.Protocol = exchange.H2C
		}
		var dials atomic.Int32
		dead := listen.Refusing(t)
		f.options.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == dead {
				dials.Add(1)
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		pod := endpoints.Pod{UID: "p", Addresses: []string{dead, backend.Listener.Addr().String()}}
		f.store.UpdatePods("ns", "svc", map[string]endpoints.Pods{"": {Ready: []endpoints.Pod{pod}}})
		f.start(t)
		for range 3 {
			if got := read(t, f.get(t, "/").Body); got != "hello" {
				t.Errorf("got %q", got)
			}
			if err := f.result(t); err != nil {
				t.Error(err)
			}
		}
		if n := dials.Load(); n != 1 {
			t.Errorf("the address that refuses was dialed %d times", n)
		}
	}
}

func TestServiceNameIsDialled(t *testing.T) {
	backend := serve(t, false, hello)
	for name, change := range map[string]func(f *fixture){
		"NoDirectPodRouting": func(f *fixture) { f.options.DirectPodRouting = false },
		"NoSlot": func(f *fixture) {
			f.prepare = func(_ http.ResponseWriter, _ *http.Request, x *exchange.Exchange) {
				x.Upstream.Slot.Release()
				x.Upstream.Slot = endpoints.Slot{}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(listen.Refusing(t))
			f.target.Address = backend.Listener.Addr().String()
			change(f)
			f.start(t)
			if got := read(t, f.get(t, "/").Body); got != "hello" {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestStalledUploadIsInterrupted(t *testing.T) {
	for _, h2c := range []bool{false, true} {
		backend := serve(t, false, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
		f := newFixture(backend.Listener.Addr().String())
		f.h2c = h2c
		f.route.Request = 50 * time.Millisecond
		f.start(t)
		out, in := io.Pipe()
		res, err := f.client.Post(f.front.URL, "text/plain", out) // which never ends
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != http.StatusGatewayTimeout {
			t.Errorf("status %d", res.StatusCode)
		}
		_ = res.Body.Close()
		_ = in.Close()
	}
}

func TestServerNameOfTLS(t *testing.T) {
	names := make(chan string, 4)
	backend := serveTLS(t, func(w http.ResponseWriter, r *http.Request) {
		names <- fmt.Sprint(r.TLS.ServerName, " ", r.Proto, " ", r.Host)
	})
	f := newFixture(backend.Listener.Addr().String())
	f.secure, f.options.TLS = true, insecure()
	f.start(t)
	host := strings.TrimPrefix(f.front.URL, "http://")
	f.get(t, "/")
	// The same pod behind another Service has a separate connection.
	f.store.Update("ns", "other", map[string][]string{"": {backend.Listener.Addr().String()}})
	f.target.Endpoints, f.target.ServerName = f.store.Port(endpoints.Key{Namespace: "ns", Service: "other"}), "other.ns"
	f.get(t, "/")
	for _, want := range []string{"svc.ns HTTP/2.0 " + host, "other.ns HTTP/2.0 " + host} {
		if got := <-names; got != want {
			t.Errorf("the backend saw %q instead of %q", got, want)
		}
	}
}

func TestCertificateIsVerified(t *testing.T) {
	backend := serveTLS(t, hello)
	backend.Config.ErrorLog = log.New(io.Discard, "", 0)
	f := newFixture(backend.Listener.Addr().String())
	f.secure = true
	f.start(t)
	if res := f.get(t, "/"); res.StatusCode != http.StatusBadGateway {
		t.Errorf("status %d", res.StatusCode)
	}
	if err := f.result(t); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("the log does not say why: %v", err)
	}
}

// A status that is not a number of three digits makes the answer invalid, whichever side parses
// it. Clients take one above 599 for a failure of the server (RFC 9110, 15): it passes.
func TestStatuses(t *testing.T) {
	for _, value := range []string{"0", "000", "99", "099", "1000", "599", "600", "799", "999", "-1", "2OO", ""} {
		want := http.StatusBadGateway
		if n, err := strconv.Atoi(value); err == nil && n >= 100 && n <= 999 {
			want = n
		}
		for name, f := range map[string]*fixture{
			"HTTP1": newFixture(scripted(t, func(_ int, conn net.Conn, r *bufio.Reader) {
				_, _ = request(r)
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 %s X\r\nContent-Length: 2\r\n\r\nok", value)
			})),
			"HTTP2": framing(t, func(_ int, frames *http2.Framer, stream uint32) bool {
				_ = frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: http2client.Block(":status", value), EndHeaders: true})
				return frames.WriteData(stream, true, []byte("ok")) == nil
			}),
		} {
			f.start(t)
			res := f.get(t, "/")
			if res.StatusCode != want {
				t.Errorf("%s: %q becomes %d", name, value, res.StatusCode)
			}
			if got := read(t, res.Body); want != http.StatusBadGateway && got != "ok" {
				t.Errorf("%s: %q has the body %q", name, value, got)
			}
			if err := f.result(t); want == http.StatusBadGateway && status(err) != want || want != http.StatusBadGateway && err != nil {
				t.Errorf("%s: %q: %v", name, value, err)
			}
		}
	}
}

// A backend may send informational responses forever.
func TestFloodsOfInformationalResponsesEnd(t *testing.T) {
	for name, f := range map[string]*fixture{
		"HTTP1": newFixture(scripted(t, func(_ int, conn net.Conn, r *bufio.Reader) {
			_, _ = request(r)
			for {
				if _, err := io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"); err != nil {
					return
				}
			}
		})),
		"HTTP2": framing(t, func(_ int, frames *http2.Framer, stream uint32) bool {
			for {
				if frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: http2client.Block(":status", "103"), EndHeaders: true}) != nil {
					return false
				}
			}
		}),
		"large ones of HTTP2": framing(t, func(_ int, frames *http2.Framer, stream uint32) bool {
			block := http2client.Block(":status", "103", "link", strings.Repeat("x", 8<<10))
			for {
				if frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndHeaders: true}) != nil {
					return false
				}
			}
		}),
	} {
		f.start(t)
		// net/http's client gives up at 5 of them.
		answer, err := io.ReadAll(f.raw(t, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
		if !strings.Contains(string(answer), "HTTP/1.1 502 ") {
			t.Errorf("%s: %d bytes that end with %.50q, %v", name, len(answer), answer[max(0, len(answer)-50):], err)
		}
		if len(answer) > 1<<20 {
			t.Errorf("%s: %d bytes reach the client", name, len(answer))
		}
		if err := f.result(t); status(err) != http.StatusBadGateway {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// HTTP/2 has no status 101 (RFC 9113, 8.6), and net/http takes one for informational.
func TestStatus101OfHTTP2(t *testing.T) {
	f := framing(t, func(_ int, frames *http2.Framer, stream uint32) bool {
		return frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: http2client.Block(":status", "101"), EndHeaders: true}) == nil
	})
	f.start(t)
	if res := f.get(t, "/"); res.StatusCode != http.StatusBadGateway {
		t.Errorf("the client gets %d", res.StatusCode)
	}
	if err := f.result(t); status(err) != http.StatusBadGateway {
		t.Error(err)
	}
}
