package conformance

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/kedacore/http-add-on/tests/support/listen"
)

// No client may take a place forever, or more than its own, whatever it does.
func TestHostileClients(t *testing.T) {
	idle := func(w *world) {
		w.eventually("nothing is held", func() bool { return w.tracker.Route("default/app").Held() == 0 })
		w.eventually("nothing is in flight", func() bool { return w.tracker.Route("default/app").InFlight() == 0 })
	}
	stream := streamRoute(`message: Waking, interval: 100ms`)

	t.Run("half a body, then gone", func(t *testing.T) {
		w := newWorld(t, stream)
		conn := w.dial()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1000\r\n\r\n{\"stream\":", chatPath)
		w.held("default/app", 1)
		conn.Close()
		idle(w)
	})
	t.Run("half of a chunked body, then gone", func(t *testing.T) {
		w := newWorld(t, plainRoute)
		conn := w.dial()
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
		w.held("default/app", 1)
		conn.Close()
		idle(w)
	})
	t.Run("half of a chunked body, and no more until the wait is over", func(t *testing.T) {
		w := newWorld(t, route("timeouts: {readiness: 50ms}"))
		conn := w.dial()
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || response.StatusCode != http.StatusGatewayTimeout {
			t.Errorf("the wait ends with a 504 all the same: %v, %v", response, err)
		}
		idle(w)
	})
	t.Run("a client that reads no more, then is gone", func(t *testing.T) {
		w := newWorld(t, streamRoute(`message: Waking, interval: 100ms, keepaliveMessage: "`+strings.Repeat("x", 1000)+`"`))
		conn := w.dial()
		_ = conn.(*net.TCPConn).SetReadBuffer(1024)
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: app.test\r\nContent-Length: 29\r\n\r\n{\"stream\":true,\"messages\":[]}", chatPath)
		w.held("default/app", 1)
		conn.Close()
		idle(w)
	})
	t.Run("without room a request is rejected in the shape of its API", func(t *testing.T) {
		w := newWorld(t, stream, "KEDA_HTTP_COLD_START_MAX_BUFFERED_BYTES", "1024")
		got := w.do(w.request(http.MethodPost, "app.test", chatPath, `{"stream":true,"messages":[]}`))
		got.expect(t, "no room", http.StatusServiceUnavailable, `"error":{`)
		if got.header.Get("Retry-After") == "" {
			t.Error("it does not say when to try again")
		}
	})
	t.Run("without room for its body a request is held without a stream", func(t *testing.T) {
		w := newWorld(t, stream, "KEDA_HTTP_COLD_START_MAX_BUFFERED_BYTES", "24000")
		body := `{"stream":true,"messages":[],"pad":"` + strings.Repeat("x", 10_000) + `"}`
		pending := w.later(w.request(http.MethodPost, "app.test", chatPath, body))
		w.held("default/app", 1)
		w.ready("app", w.backend(echo))
		if got := <-pending; got.body != body {
			t.Errorf("the body is whole: %d of %d bytes, %v", len(got.body), len(body), got.err)
		}
	})
	t.Run("bytes that are no text", func(t *testing.T) {
		w := newWorld(t, stream)
		pending := w.later(w.request(http.MethodPost, "app.test", chatPath, "\x00\xff\xfe{{{{"))
		w.held("default/app", 1)
		w.ready("app", w.backend(say("ok")))
		(<-pending).expect(t, "it is held like any other", http.StatusOK, "ok")
	})
	t.Run("a host and a path that are no names", func(t *testing.T) {
		w := newWorld(t, stream)
		for _, line := range []string{
			"GET /" + strings.Repeat("/", 10_000) + " HTTP/1.1\r\nHost: app.test.\r\n",
			"GET //../..;%2e HTTP/1.1\r\nHost: [::1]:x\r\n",
			"GET * HTTP/1.1\r\nHost: " + strings.Repeat("a.", 500) + "\r\n",
		} {
			conn := w.dial()
			fmt.Fprintf(conn, "%sConnection: close\r\nAccept: application/json\r\n\r\n", line)
			if strings.Contains(line, "app.test.") {
				w.held("default/app", 1)
				conn.Close()
				idle(w)
				continue
			}
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || response.StatusCode < 400 || response.StatusCode > 499 {
				t.Errorf("%.40q: %v, %v", line, response, err)
			}
		}
	})
	t.Run("errors name nothing internal", func(t *testing.T) {
		w := newWorld(t, plainRoute, "KEDA_HTTP_CONNECT_TIMEOUT", "50ms")
		address := listen.Refusing(t)
		w.ready("app", address)
		got := w.do(w.request(http.MethodGet, "app.test", "/", ""))
		got.expect(t, "a dead backend", http.StatusBadGateway, "")
		for _, internal := range []string{address, "127.0.0.1", "dial", "refused", "default", "app."} {
			if strings.Contains(got.body, internal) {
				t.Errorf("%q leaks in %q", internal, got.body)
			}
		}
	})
}

// What waits has a budget. Requests in service, of whatever size, need none of it.
func TestWhoWaitsTakesNoRoomOfWarmRequests(t *testing.T) {
	const size = 17 << 10
	large := strings.Repeat("x", size)
	w := newWorld(t, plainRoute+"---\n"+strings.ReplaceAll(plainRoute, "app", "other"),
		"KEDA_HTTP_COLD_START_MAX_BUFFERED_BYTES", "40000")
	w.ready("other", w.backend(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.Header().Set("X-Large", large)
		}
		fmt.Fprint(w, len(r.Header.Get("Cookie")))
	}))
	pending := w.later(w.request(http.MethodGet, "app.test", "/", "", "Cookie", large))
	w.held("default/app", 1)
	w.do(w.request(http.MethodGet, "app.test", "/", "", "Cookie", large)).expect(t, "the budget is full", http.StatusServiceUnavailable, "")
	w.do(w.request(http.MethodGet, "other.test", "/", "")).expect(t, "a small warm request", http.StatusOK, "0")
	w.do(w.request(http.MethodGet, "other.test", "/", "", "Cookie", large)).expect(t, "a large warm request", http.StatusOK, fmt.Sprint(size))
	got := w.do(w.request(http.MethodPost, "other.test", "/", "body"))
	got.expect(t, "a large answer to a request that was executed", http.StatusOK, "0")
	got.expectHeader(t, "X-Large", large)
	w.ready("app", w.backend(say("ok")))
	(<-pending).expect(t, "the request that waited", http.StatusOK, "ok")
}
