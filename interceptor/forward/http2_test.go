package forward_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	requestbody "github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/exchange"
)

// framing is a backend that speaks HTTP/2 frame by frame: answer gets each request that is
// whole, on the connection n, counted from 1. It returns false to close that.
func framing(t *testing.T, answer func(n int, frames *http2.Framer, stream uint32) bool) *fixture {
	t.Helper()
	f := newFixture(scripted(t, func(n int, conn net.Conn, r *bufio.Reader) {
		if _, err := io.ReadFull(r, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		frames := http2.NewFramer(conn, r)
		_ = frames.WriteSettings()
		for {
			frame, err := frames.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					_ = frames.WriteSettingsAck()
				}
			case *http2.HeadersFrame:
				if frame.StreamEnded() && !answer(n, frames, frame.StreamID) {
					return
				}
			case *http2.DataFrame:
				if frame.StreamEnded() && !answer(n, frames, frame.StreamID) {
					return
				}
			}
		}
	}))
	f.target.Protocol = exchange.H2C
	return f
}

// okayFrames answers a request with "ok".
func okayFrames(frames *http2.Framer, stream uint32) bool {
	_ = frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: fields(":status", "200"), EndHeaders: true})
	return frames.WriteData(stream, true, []byte("ok")) == nil
}

// A backend that speaks HTTP/2 may promise that it has done nothing of a request.
func TestUnprocessedRequestsAreSentAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		reason string
		refuse func(frames *http2.Framer, stream uint32) bool
		body   string
		held   bool
		status int
		conns  int32
	}{
		"Refused":        {"RFC 9113, 8.7", reset(http2.ErrCodeRefusedStream), "", false, 200, 1},
		"RefusedInLarge": {"its body is in memory", reset(http2.ErrCodeRefusedStream), strings.Repeat("x", 30<<10), true, 200, 1},
		"ProtocolError":  {"what some servers send in its place", reset(http2.ErrCodeProtocol), "", false, 200, 2},
		"GoAway":         {"the connection ends before the request", goAway(0), "", false, 200, 2},
		"GoAwayAndEnd": {"the same, and it is closed at once", func(frames *http2.Framer, stream uint32) bool {
			goAway(0)(frames, stream)
			return false
		}, "", false, 200, 2},
		"GoAwayAfter": {"the request may have been done", func(frames *http2.Framer, stream uint32) bool {
			goAway(stream)(frames, stream)
			return false
		}, "", false, 502, 1},
		"Cancelled": {"nothing is promised", reset(http2.ErrCodeCancel), "", false, 502, 1},
		"Closed":    {"nothing is promised", func(*http2.Framer, uint32) bool { return false }, "", false, 502, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var refused atomic.Bool
			var conns atomic.Int32
			f := framing(t, func(n int, frames *http2.Framer, stream uint32) bool {
				conns.Store(int32(n))
				if refused.Swap(true) {
					return okayFrames(frames, stream)
				}
				return tt.refuse(frames, stream)
			})
			if tt.held {
				warm := cold(requestbody.NewBudget(0), t)
				f.prepare = func(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) {
					warm(w, r, x)
					x.Cold = false
				}
			}
			f.start(t)
			res, err := f.client.Post(f.front.URL, "text/plain", strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if got := read(t, res.Body); res.StatusCode != tt.status || tt.status == 200 && got != "ok" {
				t.Errorf("%s: status %d with %q", tt.reason, res.StatusCode, got)
			}
			if n := conns.Load(); n != tt.conns {
				t.Errorf("%s: %d connections", tt.reason, n)
			}
		})
	}
}

func reset(code http2.ErrCode) func(*http2.Framer, uint32) bool {
	return func(frames *http2.Framer, stream uint32) bool { return frames.WriteRSTStream(stream, code) == nil }
}

func goAway(last uint32) func(*http2.Framer, uint32) bool {
	return func(frames *http2.Framer, _ uint32) bool {
		return frames.WriteGoAway(last, http2.ErrCodeNo, nil) == nil
	}
}

// A backend that ends every connection at once is asked a few times, like any that is lost.
func TestSharedConnectionsThatEndAtOnceAreFew(t *testing.T) {
	for name, end := range map[string]func(conn net.Conn){
		"Closed": func(net.Conn) {},
		"GoAway": func(conn net.Conn) {
			frames := http2.NewFramer(conn, conn)
			_ = frames.WriteSettings()
			_ = frames.WriteGoAway(0, http2.ErrCodeNo, nil)
			_, _ = io.Copy(io.Discard, conn)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var conns atomic.Int32
			f := newFixture(scripted(t, func(_ int, conn net.Conn, _ *bufio.Reader) {
				conns.Add(1)
				end(conn)
			}))
			f.target.Protocol = exchange.H2C
			f.start(t)
			if res := f.get(t, "/"); res.StatusCode != http.StatusBadGateway {
				t.Errorf("status %d", res.StatusCode)
			}
			if n := conns.Load(); n > 4 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

func TestRequestsBeyondTheStreamsGetAnotherConnection(t *testing.T) {
	const streams, requests = 2, 7
	release := make(chan struct{})
	arrived := make(chan struct{}, requests)
	var conns sync.Map
	backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			conns.Store(r.RemoteAddr, nil)
			arrived <- struct{}{}
			<-release
		}
		hello(w, r)
	}))
	backend.Config.Protocols, backend.Config.HTTP2 = protocols(true), &http.HTTP2Config{MaxConcurrentStreams: streams}
	backend.Start()
	t.Cleanup(backend.Close)
	f := newFixture(backend.Listener.Addr().String())
	f.target.Protocol = exchange.H2C
	f.start(t)
	f.get(t, "/") // the limit is known then
	var all sync.WaitGroup
	for range requests {
		all.Go(func() {
			if res, err := f.client.Get(f.front.URL + "/hold"); err != nil || res.StatusCode != http.StatusOK {
				t.Errorf("%v, %v", res, err)
			} else {
				_ = res.Body.Close()
			}
		})
	}
	for range requests {
		wait(t, "all are served at a time", arrived)
	}
	close(release)
	all.Wait()
	n := 0
	conns.Range(func(any, any) bool { n++; return true })
	if n < (requests+streams-1)/streams || n > requests {
		t.Errorf("%d connections", n)
	}
}

func TestSharedConnectionsGoWithTheirEndpoint(t *testing.T) {
	for _, secure := range []bool{false, true} {
		arrived, next := make(chan struct{}, 1), make(chan struct{})
		handler := func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hold" {
				arrived <- struct{}{}
				<-next
			}
			hello(w, r)
		}
		backend := serve
		if secure {
			backend = func(t *testing.T, _ bool, h http.HandlerFunc) *httptest.Server { return serveTLS(t, h) }
		}
		address := backend(t, true, handler).Listener.Addr().String()
		f := newFixture(address)
		f.secure, f.options.TLS, f.target.Protocol = secure, insecure(), exchange.H2C
		conns := watch(f)
		f.start(t)
		// One that is idle.
		f.get(t, "/")
		_ = f.result(t)
		f.store.Update("ns", "svc", nil)
		wait(t, "it is closed", (<-conns).closed)
		// One that is in use.
		f.store.Update("ns", "svc", map[string][]string{"": {address}})
		done := make(chan string, 1)
		go func() { done <- read(t, f.get(t, "/hold").Body) }()
		wait(t, "the request arrives", arrived)
		conn := <-conns
		f.store.Update("ns", "svc", nil)
		select {
		case <-conn.closed:
			t.Error("it was cut")
		default:
		}
		close(next)
		if got := <-done; got != "hello" {
			t.Errorf("got %q", got)
		}
		wait(t, "it is closed after the request", conn.closed)
	}
}

// A head that is all there is of a response ends its stream: gRPC's "Trailers-Only" has the
// status in it, which clients miss in a head that does not.
func TestHeadThatIsAllEndsTheStream(t *testing.T) {
	for name, f := range map[string]*fixture{
		"TrailersOnly": framing(t, func(_ int, frames *http2.Framer, stream uint32) bool {
			return frames.WriteHeaders(http2.HeadersFrameParam{
				StreamID: stream, BlockFragment: fields(":status", "200", "content-type", "application/grpc", "grpc-status", "5"), EndHeaders: true, EndStream: true,
			}) == nil
		}),
		"NoContent":   newFixture(serve(t, false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }).Listener.Addr().String()),
		"NoLength":    newFixture(serve(t, false, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "0") }).Listener.Addr().String()),
		"NotModified": newFixture(serve(t, false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }).Listener.Addr().String()),
	} {
		t.Run(name, func(t *testing.T) {
			f.h2c = true
			f.start(t)
			conn, err := net.Dial("tcp", f.front.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, http2.ClientPreface) // a write that fails fails a read
			frames := http2.NewFramer(conn, conn)
			_ = frames.WriteSettings()
			for stream := uint32(1); stream < 40; stream += 2 {
				_ = frames.WriteHeaders(http2.HeadersFrameParam{
					StreamID: stream, BlockFragment: fields(":method", "POST", ":scheme", "http", ":authority", "app.test", ":path", "/", "te", "trailers"), EndHeaders: true,
				})
				_ = frames.WriteData(stream, true, []byte("x"))
				for headed := false; !headed; {
					frame, err := frames.ReadFrame()
					if err != nil {
						t.Fatal(err)
					}
					var head *http2.HeadersFrame
					if head, headed = frame.(*http2.HeadersFrame); headed && !head.StreamEnded() {
						t.Fatalf("the head of stream %d does not end it", stream)
					}
				}
			}
		})
	}
}

// fields is a block of header fields, given as names and values.
func fields(all ...string) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i+1 < len(all); i += 2 {
		_ = encoder.WriteField(hpack.HeaderField{Name: all[i], Value: all[i+1]}) // a buffer takes it
	}
	return block.Bytes()
}
