package forward_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	requestbody "github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	http2client "github.com/kedacore/http-add-on/tests/support/frames"
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
	_ = frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: http2client.Block(":status", "200"), EndHeaders: true})
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
		"RefusedAfterHints": {"it contradicts itself", func(frames *http2.Framer, stream uint32) bool {
			_ = frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: http2client.Block(":status", "103"), EndHeaders: true})
			return frames.WriteRSTStream(stream, http2.ErrCodeProtocol) == nil
		}, "", false, 502, 1},
		"GoAway": {"the connection ends before the request", goAway(0), "", false, 200, 2},
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

// A response that is only a head ends its stream. gRPC's "Trailers-Only" has the status in the
// head, and clients miss it in a head that does not end the stream.
func TestHeadThatIsAllEndsTheStream(t *testing.T) {
	for name, f := range map[string]*fixture{
		"TrailersOnly": framing(t, func(_ int, frames *http2.Framer, stream uint32) bool {
			return frames.WriteHeaders(http2.HeadersFrameParam{
				StreamID: stream, BlockFragment: http2client.Block(":status", "200", "content-type", "application/grpc", "grpc-status", "5"), EndHeaders: true, EndStream: true,
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
					StreamID: stream, BlockFragment: http2client.Block(":method", "POST", ":scheme", "http", ":authority", "app.test", ":path", "/", "te", "trailers"), EndHeaders: true,
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

// What a backend of HTTP/2 must not send ends its own request: before the head of the
// response with 502, later by a cut. The next request is served.
func TestFramesOfABackendThatBreakTheRFC(t *testing.T) {
	head := func(f *http2.Framer, stream uint32, end bool, more ...string) {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: http2client.Block(append([]string{":status", "200"}, more...)...), EndHeaders: true, EndStream: end})
	}
	const cut = -1
	for name, tt := range map[string]struct {
		reason string
		send   func(f *http2.Framer, stream uint32)
		status int
	}{
		"Data": {"5.1: DATA without HEADERS", func(f *http2.Framer, stream uint32) { _ = f.WriteData(stream, true, []byte("ok")) }, 502},
		"NoStatus": {"8.3.2", func(f *http2.Framer, stream uint32) {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: http2client.Block("x", "y"), EndHeaders: true})
		}, 502},
		"Request": {"8.3.2: a request's field", func(f *http2.Framer, stream uint32) { head(f, stream, true, ":path", "/") }, 502},
		"Push": {"6.6: it was not enabled", func(f *http2.Framer, stream uint32) {
			_ = f.WritePushPromise(http2.PushPromiseParam{StreamID: stream, PromiseID: 2, BlockFragment: http2client.Block(":path", "/"), EndHeaders: true})
		}, 502},
		"HPACK": {"4.3: an invalid index", func(f *http2.Framer, stream uint32) {
			_ = f.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, stream, []byte{0x80})
		}, 502},
		"TooLarge":  {"4.2: a frame over the largest size", func(f *http2.Framer, _ uint32) { _ = f.WriteRawFrame(0xbe, 0, 0, make([]byte, 17<<20-1-1<<20)) }, 502},
		"Settings":  {"6.5: SETTINGS of 5 bytes", func(f *http2.Framer, _ uint32) { _ = f.WriteRawFrame(http2.FrameSettings, 0, 0, make([]byte, 5)) }, 502},
		"Ping":      {"6.7: PING of 7 bytes", func(f *http2.Framer, _ uint32) { _ = f.WriteRawFrame(http2.FramePing, 0, 0, make([]byte, 7)) }, 502},
		"Increment": {"6.9: WINDOW_UPDATE of 0", func(f *http2.Framer, _ uint32) { _ = f.WriteRawFrame(http2.FrameWindowUpdate, 0, 0, make([]byte, 4)) }, 502},
		"Continuation": {"6.10: CONTINUATION without HEADERS", func(f *http2.Framer, stream uint32) {
			_ = f.WriteContinuation(stream, true, http2client.Block(":status", "200"))
		}, 502},
		"Interrupted": {"6.2: another frame within a block", func(f *http2.Framer, stream uint32) {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: http2client.Block(":status", "200")})
			_ = f.WritePing(false, [8]byte{})
		}, 502},
		"Bomb": {"a field of 4 KiB that the table repeats", func(f *http2.Framer, stream uint32) {
			head(f, stream, true, slices.Repeat([]string{"x-large", strings.Repeat("x", 4000)}, 100)...)
		}, 502},
		"Window": {"6.9.1: more than the window of the stream", func(f *http2.Framer, stream uint32) {
			head(f, stream, false)
			for range 100 {
				_ = f.WriteData(stream, false, make([]byte, 16<<10))
			}
		}, cut},
		"Overflow": {"6.9.1: the window of the connection overflows", func(f *http2.Framer, _ uint32) {
			_ = f.WriteWindowUpdate(0, 1<<31-1)
			_ = f.WriteWindowUpdate(0, 1<<31-1)
		}, 502},
		"Trailers": {"8.1: trailers with a pseudo field", func(f *http2.Framer, stream uint32) { head(f, stream, false); head(f, stream, true) }, cut},
		"OpenTrailers": {"8.1: trailers that do not end the stream", func(f *http2.Framer, stream uint32) {
			head(f, stream, false)
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: http2client.Block("x", "y"), EndHeaders: true})
		}, cut},
		"Shorter": {"8.1.1: less than the length", func(f *http2.Framer, stream uint32) {
			head(f, stream, false, "content-length", "10")
			_ = f.WriteData(stream, true, []byte("ok"))
		}, cut},
		"Longer": {"8.1.1: more than the length, which is dropped", func(f *http2.Framer, stream uint32) {
			head(f, stream, false, "content-length", "1")
			_ = f.WriteData(stream, true, []byte("ok"))
		}, 200},
		"Reset": {"5.4.2: a stream that ends early", func(f *http2.Framer, stream uint32) {
			head(f, stream, false)
			_ = f.WriteRSTStream(stream, http2.ErrCodeInternal)
		}, cut},
		"GoAway": {"6.8: the request in flight is answered", func(f *http2.Framer, stream uint32) {
			_ = f.WriteGoAway(stream, http2.ErrCodeNo, nil)
			okayFrames(f, stream)
		}, 200},
		"Unknown": {"4.1: an unknown frame is ignored", func(f *http2.Framer, stream uint32) {
			_ = f.WriteRawFrame(0xbe, 0xff, stream, []byte("x"))
			okayFrames(f, stream)
		}, 200},
		"ClosedStream": {"5.1: DATA after the end", func(f *http2.Framer, stream uint32) {
			okayFrames(f, stream)
			_ = f.WriteData(stream, true, []byte("more"))
		}, 200},
		"ForeignStream": {"5.1.1: a stream that nobody has opened", func(f *http2.Framer, stream uint32) { head(f, stream+100, true); okayFrames(f, stream) }, 200},
	} {
		t.Run(name, func(t *testing.T) {
			var sent atomic.Bool
			f := framing(t, func(_ int, frames *http2.Framer, stream uint32) bool {
				if sent.Swap(true) {
					return okayFrames(frames, stream)
				}
				frames.AllowIllegalWrites = true
				tt.send(frames, stream)
				return true
			})
			f.start(t)
			r, err := http.NewRequest(http.MethodPost, f.front.URL, nil) // which is not sent again
			if err != nil {
				t.Fatal(err)
			}
			res := f.do(t, r)
			body, err := io.ReadAll(res.Body)
			switch {
			case tt.status == cut && err == nil:
				t.Errorf("%s: %q is whole", tt.reason, body)
			case tt.status != cut && res.StatusCode != tt.status:
				t.Errorf("%s: got %d", tt.reason, res.StatusCode)
			}
			if res := f.get(t, "/"); res.StatusCode != http.StatusOK || read(t, res.Body) != "ok" {
				t.Errorf("%s: the next request gets %d", tt.reason, res.StatusCode)
			}
		})
	}
}
