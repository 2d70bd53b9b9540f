package conformance

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kedacore/http-add-on/tests/support/certificate"
	"github.com/kedacore/http-add-on/tests/support/frames"
	"github.com/kedacore/http-add-on/tests/support/listen"
)

// departures are requests that net/http does not watch: it reads from a connection of
// HTTP/1.1 once the body was read, and one byte at most.
var departures = []struct{ reason, request string }{
	{"one byte late", "GET / HTTP/1.1\r\nHost: app.test\r\n\r\nx"},
	{"another request behind it", "GET / HTTP/1.1\r\nHost: app.test\r\n\r\nGET / HTTP/1.1\r\nHost: app.test\r\n\r\n"},
	{"a body of 1 KiB and one byte", "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("x", 1025)},
	{"a body of 100 KiB", "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 102400\r\n\r\n" + strings.Repeat("x", 102400)},
	{"half of it", "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 102400\r\n\r\n" + strings.Repeat("x", 51200)},
	{"a body of 1 MiB", "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1048576\r\n\r\n" + strings.Repeat("x", 1<<20)},
	{"a large body of chunks", "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n19000\r\n" + strings.Repeat("x", 102400) + "\r\n0\r\n\r\n"},
	{"a large body that was not asked for", "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 102400\r\nExpect: 100-continue\r\n\r\n"},
}

// leave ends a connection in one of the ways that a client has.
var leave = []struct {
	reason string
	how    func(tcp *net.TCPConn) error
}{
	{"closed", (*net.TCPConn).Close},
	{"reset", func(tcp *net.TCPConn) error {
		if err := tcp.SetLinger(0); err != nil {
			return err
		}
		return tcp.Close()
	}},
	{"half-closed", (*net.TCPConn).CloseWrite},
}

// secureWorld is newWorld with a TLS listener, and a function that connects to that.
func secureWorld(t *testing.T, objects string) (*world, func() net.Conn) {
	t.Helper()
	front, key := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	certificate.Write(t, front, key, "app.test")
	secure := listen.Loopback(t)
	w := newWorldWith(t, objects, listeners{tls: secure},
		"KEDA_HTTP_PROXY_TLS_ENABLED", "true", "KEDA_HTTP_PROXY_TLS_PORT", "0",
		"KEDA_HTTP_PROXY_TLS_CERT_PATH", front, "KEDA_HTTP_PROXY_TLS_KEY_PATH", key)
	pool := x509.NewCertPool()
	if pem, err := os.ReadFile(front); err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatal("reading the certificate", err)
	}
	return w, func() net.Conn {
		t.Helper()
		conn, err := tls.Dial("tcp", secure.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "app.test"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
}

// socket returns the connection below TLS.
func socket(conn net.Conn) *net.TCPConn {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	return conn.(*net.TCPConn)
}

func TestClientsThatLeaveAreNoticed(t *testing.T) {
	w, dialTLS := secureWorld(t, plainRoute)
	// A connection is enough: the backend speaks no TLS, which requests over TLS try.
	forwarded := new(atomic.Int64)
	backend := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	backend.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			forwarded.Add(1)
		}
	}
	backend.Start()
	t.Cleanup(backend.Close)
	address := backend.Listener.Addr().String()
	idle := func(t *testing.T) {
		t.Helper()
		w.eventually("nothing is held", func() bool { return w.tracker.Route("default/app").Held() == 0 })
		w.eventually("nothing is in flight", func() bool { return w.tracker.Route("default/app").InFlight() == 0 })
	}
	// begin sends every request over plain TCP and TLS, and returns the connections.
	begin := func(t *testing.T) (conns []net.Conn) {
		t.Helper()
		for _, departure := range departures {
			for _, dial := range []func() net.Conn{w.dial, dialTLS} {
				conn := dial()
				if _, err := io.WriteString(conn, departure.request); err != nil {
					t.Fatalf("%s: %v", departure.reason, err)
				}
				conns = append(conns, conn)
			}
		}
		w.held("default/app", int64(len(conns)))
		return conns
	}
	for _, way := range leave {
		t.Run(way.reason, func(t *testing.T) {
			for _, conn := range begin(t) {
				if err := way.how(socket(conn)); err != nil {
					t.Fatal(err)
				}
			}
			idle(t)
		})
		t.Run(way.reason+" right before the release", func(t *testing.T) {
			conns := begin(t)
			for _, conn := range conns {
				if err := way.how(socket(conn)); err != nil {
					t.Fatal(err)
				}
			}
			w.eventually("the departures to reach the kernel", func() bool { return !established(t, conns) })
			w.ready("app", address)
			idle(t)
			if n := forwarded.Swap(0); n != 0 {
				t.Errorf("%d requests were forwarded for clients that have left", n)
			}
			w.ready("app")
		})
	}
	t.Run("HTTP/2", func(t *testing.T) {
		reset, closed := w.frames(64<<10), w.frames(64<<10)
		for i, c := range []*frames.Conn{reset, closed} {
			stream, err := c.Request(false, frames.Fields("POST", "app.test", "/")...)
			if err != nil {
				t.Fatal(err)
			}
			w.held("default/app", 1)
			if err := c.Data(stream, false, make([]byte, 16<<10)); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				err = c.Reset(stream)
			} else {
				err = c.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			idle(t)
		}
	})
	t.Run("the client stays", func(t *testing.T) {
		conns := begin(t)
		w.ready("app", address)
		for i, conn := range conns {
			if departures[i/2].reason == "half of it" {
				conn.Close()
				continue
			}
			line := make([]byte, len("HTTP/1.1 200"))
			_, err := io.ReadFull(conn, line)
			if status := string(line[len("HTTP/1.1 "):]); err != nil || i%2 == 0 && status != "200" && status != "100" {
				t.Errorf("%s: got %q, %v", departures[i/2].reason, line, err)
			}
		}
	})
}

// A request that a backend works on is cancelled there too.
func TestWarmClientsThatLeaveAreNoticed(t *testing.T) {
	w := newWorld(t, plainRoute)
	arrived, gone := make(chan struct{}, 1), make(chan struct{}, 1)
	w.ready("app", w.backend(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
		<-r.Context().Done()
		gone <- struct{}{}
	}))
	for _, request := range []string{departures[0].request, departures[2].request} {
		conn := w.dial()
		fmt.Fprint(conn, request)
		<-arrived
		conn.Close()
		<-gone
	}
}

// The second request of a connection begins when the first one is answered. Its client has left
// by then, which net/http cannot see behind the bytes that it has not read.
func TestWarmRequestsOfClientsThatHaveLeftAreNotForwarded(t *testing.T) {
	w := newWorld(t, plainRoute)
	arrived, release := make(chan string, 2), make(chan struct{})
	w.ready("app", w.backend(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- r.URL.Path
		<-release
	}))
	conn := w.dial()
	fmt.Fprint(conn, "GET /first HTTP/1.1\r\nHost: app.test\r\n\r\n")
	<-arrived
	fmt.Fprint(conn, "GET /second HTTP/1.1\r\nHost: app.test\r\n\r\n"+strings.Repeat("x", 64<<10))
	if err := socket(conn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	w.eventually("the departure to reach the kernel", func() bool { return !established(t, []net.Conn{conn}) })
	close(release)
	_, _ = io.Copy(io.Discard, conn) // until the interceptor closes it, with a reset for what it has not read
	if len(arrived) != 0 {
		t.Error("a request was forwarded for a client that has left")
	}
}

// net/http keeps an HTTP/2 connection that ends with an open stream for 620 seconds, and with it
// the unread bytes of the stream.
func TestUnreadBodiesAreFreedWithTheirConnections(t *testing.T) {
	const conns, unread = 150, 60 << 10
	w := newWorld(t, plainRoute, "KEDA_HTTP_COLD_START_MAX_BUFFERED_BYTES", "100000000")
	heap := func() int64 {
		var stats runtime.MemStats
		for range 3 { // freeing objects in pools takes two
			runtime.GC()
		}
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc)
	}
	open := func(n int) {
		var conns []*frames.Conn
		for range n {
			c := w.frames(64 << 10)
			conns = append(conns, c)
			// A body that is not touched before it is forwarded.
			stream, err := c.Request(false, frames.Fields("POST", "app.test", "/", "content-length", "1000000", "expect", "100-continue")...)
			if err != nil {
				t.Fatal(err)
			}
			for sent := 0; sent < unread; sent += 15 << 10 {
				if err := c.Data(stream, false, make([]byte, 15<<10)); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.held("default/app", int64(n))
		for _, c := range conns {
			c.Close()
		}
		w.eventually("nothing is in flight", func() bool { return w.tracker.Route("default/app").InFlight() == 0 })
	}
	open(5)
	before := heap()
	open(conns)
	w.eventually("the bodies are freed", func() bool { return heap()-before < conns*unread/2 })
}

// established reports whether the server's end of a connection is open to the client. On a
// busy machine a FIN takes a while even over loopback.
func established(t *testing.T, clients []net.Conn) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	for _, conn := range clients {
		// Another connection may have the same port at one end.
		port := func(a net.Addr) string { return fmt.Sprintf(":%04X", a.(*net.TCPAddr).Port) }
		server, client := port(conn.RemoteAddr()), port(conn.LocalAddr())
		for line := range strings.Lines(string(table)) {
			// sl local_address rem_address st; 01 is ESTABLISHED (proc_pid_net(5))
			if f := strings.Fields(line); strings.HasSuffix(f[1], server) && strings.HasSuffix(f[2], client) && f[3] == "01" {
				return true
			}
		}
	}
	return false
}
