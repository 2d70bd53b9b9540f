package survival

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/kedacore/http-add-on/tests/support/apiserver"
	"github.com/kedacore/http-add-on/tests/support/frames"
)

// frames opens an HTTP/2 connection whose server may send this much of each response.
func (v *victim) frames(window uint32) *frames.Conn {
	v.t.Helper()
	c, err := frames.Open(v.dial(), window)
	if err != nil {
		v.t.Fatal(err)
	}
	return c
}

// A field of 4 KiB is one byte once HPACK has it in its table.
func TestHPACKBombs(t *testing.T) {
	for _, test := range []struct {
		reason                     string
		conns, streams, references int
		window                     uint32
	}{
		{"60 streams of 250 references", 1, 60, 250, 64 << 10},
		{"900 streams", 4, 225, 250, 64 << 10},
		{"just within net/http's bound, and the answer is not read", 4, 225, 31, 0},
		{"just within ours, and held", 4, 225, 15, 64 << 10},
	} {
		t.Run(test.reason, func(t *testing.T) {
			v := start(t, nil)
			for range test.conns {
				c := v.frames(test.window)
				fields := frames.Fields("GET", "cold.test", "/")
				for range test.references {
					fields = append(fields, hpack.HeaderField{Name: "cookie", Value: strings.Repeat("c", 4000)})
				}
				for range test.streams {
					if _, err := c.Request(true, fields...); err != nil {
						t.Logf("the connection ended: %v", err)
						break
					}
				}
			}
			<-time.After(2 * time.Second) // all requests are held by now
			v.survived()
		})
	}
}

// Trailers are in memory until their streams end. The window of these ends none, whether a route
// matches or not.
func TestTrailers(t *testing.T) {
	for _, test := range []struct {
		reason string
		fields []hpack.HeaderField
		host   string
	}{
		{"60 KB each", slices.Repeat([]hpack.HeaderField{{Name: "x-a", Value: strings.Repeat("~", 6<<10), Sensitive: true}}, 10), "crowd.test"},
		{"60 KB each, without a route", slices.Repeat([]hpack.HeaderField{{Name: "x-a", Value: strings.Repeat("~", 6<<10), Sensitive: true}}, 10), "nobody.test"},
		{"500 references each", slices.Repeat([]hpack.HeaderField{{Name: "x-a"}}, 500), "crowd.test"},
		{"3,500 references each", slices.Repeat([]hpack.HeaderField{{Name: "x-a"}}, 3500), "crowd.test"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			v := start(t, nil)
			for range 4 {
				c := v.frames(0)
				for range 225 {
					stream, err := c.Request(false, frames.Fields("POST", test.host, "/", "te", "trailers", "trailer", "x-a")...)
					if err == nil {
						err = c.Trailers(stream, test.fields...)
					}
					if err != nil {
						t.Logf("the connection ended: %v", err)
						break
					}
				}
			}
			<-time.After(2 * time.Second)
			v.survived()
		})
	}
}

func TestTinyFields(t *testing.T) {
	for _, test := range []struct {
		reason       string
		conns, bytes int
		end          string
	}{
		{"4 requests of 990 KiB", 4, 990 << 10, "\r\n"},
		{"50 requests of 127 KiB", 50, 127 << 10, "\r\n"},
		{"50 heads of 120 KiB that do not end", 50, 120 << 10, ""},
		{"400 heads of 60 KiB that do not end", 400, 60 << 10, ""},
	} {
		t.Run(test.reason, func(t *testing.T) {
			v := start(t, nil)
			var head strings.Builder
			head.WriteString("GET / HTTP/1.1\r\nHost: cold.test\r\n")
			for i := 0; head.Len() < test.bytes; i++ {
				fmt.Fprintf(&head, "%x:\r\n", i)
			}
			head.WriteString(test.end)
			var sending sync.WaitGroup
			for range test.conns {
				conn := v.dial()
				sending.Go(func() { _, _ = io.WriteString(conn, head.String()) })
			}
			sending.Wait()
			<-time.After(2 * time.Second)
			v.survived()
		})
	}
}

// Bodies for a target that sleeps: HTTP/2 takes in what its windows allow.
func TestUnreadUploads(t *testing.T) {
	t.Run("60 connections of HTTP/2 with 1 MiB each", func(t *testing.T) {
		v := start(t, nil)
		var sending sync.WaitGroup
		for range 60 {
			c := v.frames(64 << 10)
			for range 16 {
				stream, err := c.Request(false, frames.Fields("POST", "cold.test", "/")...)
				if err != nil {
					t.Fatal(err)
				}
				sending.Go(func() {
					for range 4 {
						_ = c.Data(stream, false, make([]byte, 16000))
					}
				})
				sending.Wait()
			}
		}
		<-time.After(2 * time.Second)
		v.survived()
	})
	t.Run("300 uploads of 1 MiB over HTTP/1.1", func(t *testing.T) {
		v := start(t, nil)
		for range 300 {
			conn := v.dial()
			go func() {
				_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: cold.test\r\nContent-Length: 1048576\r\n\r\n"+strings.Repeat("x", 1<<20))
			}()
		}
		<-time.After(3 * time.Second)
		v.survived()
	})
}

// A frame is read into memory before anyone looks at it. A request that is held has the
// connection serve, not wait for a head.
func TestFramesThatDoNotEnd(t *testing.T) {
	v := start(t, nil)
	for range 100 {
		// HEADERS of 1 MiB, END_HEADERS, stream 3 (RFC 9113, 4.1), less its last bytes.
		frame := make([]byte, 1_000_000)
		copy(frame, []byte{0x0f, 0xff, 0xff, 0x01, 0x04, 0, 0, 0, 3})
		c := v.frames(0)
		if _, err := c.Request(true, frames.Fields("GET", "cold.test", "/")...); err != nil {
			t.Fatal(err)
		}
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.Write(frame) // the server may hang up in the middle
	}
	<-time.After(time.Second)
	v.survived()
}

// A field of HPACK's static table is one byte, and 40 in memory.
func TestHeaderBlocksThatDoNotEnd(t *testing.T) {
	for _, conns := range []int{200, 800} {
		t.Run(fmt.Sprint(conns), func(t *testing.T) {
			v := start(t, nil)
			for range conns {
				// HEADERS without END_HEADERS: GET, http, / and 3,800 times accept-charset.
				block := append([]byte{0x82, 0x86, 0x84}, bytes.Repeat([]byte{0x8f}, 3800)...)
				frame := append([]byte{0, byte(len(block) >> 8), byte(len(block)), 0x01, 0, 0, 0, 0, 1}, block...)
				if _, err := v.frames(0).Write(frame); err != nil {
					t.Fatal(err)
				}
			}
			<-time.After(3 * time.Second)
			v.survived()
		})
	}
}

// The same beside a request that is held: net/http calls that connection active.
func TestHeaderBlocksBesideAStream(t *testing.T) {
	v := start(t, nil)
	for range 600 {
		c := v.frames(0)
		if _, err := c.Request(true, frames.Fields("GET", "cold.test", "/")...); err != nil {
			t.Fatal(err)
		}
		block := append([]byte{0x82, 0x86, 0x84}, bytes.Repeat([]byte{0x8f}, 3800)...)
		frame := append([]byte{0, byte(len(block) >> 8), byte(len(block)), 0x01, 0, 0, 0, 0, 3}, block...)
		_, _ = c.Write(frame) // the server may hang up
	}
	<-time.After(3 * time.Second)
	v.survived()
}

// Heads that fill the room for heads keep out no client whose own is complete.
func TestHeadsThatFillTheRoom(t *testing.T) {
	v := start(t, nil)
	for range 190 {
		if _, err := io.WriteString(v.dial(), "GET / HTTP/1.1\r\nHost: cold.test\r\nCookie: "+strings.Repeat("c", 2250)); err != nil {
			t.Fatal(err)
		}
	}
	<-time.After(2 * time.Second)
	v.survived()
}

// More requests that wait than connections may be open.
func TestHeldConnections(t *testing.T) {
	v := start(t, nil)
	for range 1000 {
		_, _ = io.WriteString(v.dial(), "GET / HTTP/1.1\r\nHost: cold.test\r\n\r\n")
	}
	<-time.After(3 * time.Second)
	v.survived()
}

// Small answers cost memory until they are read, too: 16 connections of 225 are more than may
// be open.
func TestAnswersThatNobodyReads(t *testing.T) {
	for _, host := range []string{"crowd.test", "nobody.test"} {
		t.Run(host, func(t *testing.T) {
			v := start(t, nil)
			for range 16 {
				c := v.frames(0)
				for range 225 {
					_, _ = c.Request(true, frames.Fields("GET", host, "/")...) // the server may hang up
				}
			}
			<-time.After(3 * time.Second)
			v.survived()
		})
	}
}

func TestIdleConnections(t *testing.T) {
	v := start(t, nil)
	for range 3000 {
		v.dial()
	}
	<-time.After(2 * time.Second)
	v.survived()
}

// ghosts is how many clients of a kind leave, 1000 unless SURVIVAL_GHOSTS says more: then
// there are more kinds too.
func ghosts(t *testing.T) (each int, all bool) {
	text, all := os.LookupEnv("SURVIVAL_GHOSTS")
	if !all {
		return 1000, false
	}
	each, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return each, true
}

// ghost is a kind of client that leaves.
type ghost struct {
	reason, request string             // HTTP/1.1; else HTTP/2 with an open body
	leave           func(*net.TCPConn) // before it is closed
	tls             bool
	host            string // cold.test if empty
	limit           int64  // of the interceptor's memory; the chart's if 0
}

// to returns a ghost that asks another host.
func (g ghost) to(host string) ghost {
	g.request, g.host = strings.Replace(g.request, "cold.test", host, 1), host
	return g
}

// send connects, and sends the request as far as the server takes it within a second.
func (g ghost) send(v *victim) (net.Conn, error) {
	address := v.proxy
	if g.tls {
		address = v.tls
	}
	tcp, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	_ = tcp.SetDeadline(time.Now().Add(time.Second))
	conn := tcp
	if g.tls {
		conn = tls.Client(tcp, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a test server's
	}
	if g.request != "" {
		_, _ = io.WriteString(conn, g.request)
	} else if c, err := frames.Open(conn, 0); err == nil {
		_, _ = c.Request(false, frames.Fields("POST", cmp.Or(g.host, "cold.test"), "/")...)
	}
	if g.leave != nil {
		g.leave(tcp.(*net.TCPConn))
	}
	return conn, nil
}

const get = "GET / HTTP/1.1\r\nHost: cold.test\r\n\r\n"

func post(length int) string {
	return fmt.Sprintf("POST / HTTP/1.1\r\nHost: cold.test\r\nContent-Length: %d\r\n\r\n%s", length, strings.Repeat("x", length))
}

// awaken gives a sleeping target a backend, which serves a client that stays. It checks that the
// backend served no other client, and that the counts are back to zero.
func (v *victim) awaken(name string) {
	v.t.Helper()
	var forwarded atomic.Int64
	backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { forwarded.Add(1) }))
	v.t.Cleanup(backend.Close)
	v.api.Set(apiserver.Endpoints(name, portOf(backend.Listener.Addr().String())))
	v.eventually("a client that stays is served", func() bool { return v.get(name+".test") == http.StatusOK })
	v.eventually("nothing is counted", func() bool { return v.counts(name).Concurrency == 0 })
	if n := forwarded.Load(); n != 1 {
		v.t.Errorf("%d requests were forwarded", n-1)
	}
}

// Clients that leave in ways that net/http does not see. They are freed, and none of their
// requests is forwarded.
func TestGhosts(t *testing.T) {
	each, all := ghosts(t)
	const roomy = 16 << 30
	reset := func(conn *net.TCPConn) { _ = conn.SetLinger(0) }
	halfClose := func(conn *net.TCPConn) {
		_ = conn.CloseWrite()
		_, _ = io.Copy(io.Discard, conn) // until the deadline
	}
	kinds := []ghost{
		{reason: "no body", request: get},
		{reason: "one byte late", request: get + "x"},
		{reason: "100 KB", request: post(100_000)},
		{reason: "1 MiB", request: post(1 << 20)},
		{reason: "TLS, one byte late", request: get + "x", tls: true},
	}
	if all {
		kinds = append(kinds, []ghost{
			{reason: "16 MiB", request: post(16 << 20)},
			{reason: "16 MiB, and memory for them", request: post(16 << 20), limit: roomy},
			{reason: "16 MiB and TLS, and memory for them", request: post(16 << 20), tls: true, limit: roomy},
			{reason: "16 MiB and a reset", request: post(16 << 20), leave: reset},
			{reason: "a reset", request: get, leave: reset},
			{reason: "one byte late, and a half-close", request: get + "x", leave: halfClose},
			{reason: "HTTP/2"},
			{reason: "HTTP/2 and a reset", leave: reset},
			{reason: "TLS, 100 KB", request: post(100_000), tls: true},
			{reason: "TLS, 16 MiB and a reset", request: post(16 << 20), leave: reset, tls: true},
		}...)
	}
	for _, kind := range kinds {
		t.Run(kind.reason, func(t *testing.T) {
			v := startWithin(t, cmp.Or(kind.limit, chartLimit), nil, securely(t)...)
			before := v.files()
			slots := make(chan struct{}, 200)
			var sending sync.WaitGroup
			for range each {
				slots <- struct{}{}
				sending.Go(func() {
					defer func() { <-slots }()
					conn, err := kind.send(v)
					if err != nil {
						t.Error(err)
						return
					}
					_ = conn.Close()
				})
			}
			sending.Wait()
			left := time.Now()
			v.others() // connections are accepted in order
			v.eventually("no ghost is in flight", func() bool { count := v.counts("cold"); return count.Leased || count.Concurrency == 0 })
			v.eventually("the connections of ghosts are closed", func() bool { return v.files() < before+10 })
			t.Logf("freed after %v, with %.1f MiB of anonymous memory", time.Since(left).Round(time.Millisecond), mib(v.memory()))
			v.awaken("cold")
			v.survived()
		})
	}
}

// Clients leave right before their target is ready, before anything looks at them again.
// SURVIVAL_GHOSTS sets their number, each hundred at a separate target.
func TestGhostsOfTheLastMoment(t *testing.T) {
	const together = 100 // all of them are held at a time
	targets := 1
	if each, all := ghosts(t); all {
		targets = max(each/together, 1)
	}
	var objects []apiserver.Object
	name := func(n int) string { return fmt.Sprintf("cold-%d", n) }
	for n := range targets {
		objects = append(objects, apiserver.Service(name(n), ""), apiserver.Endpoints(name(n), 0), apiserver.Route(name(n), name(n)+".test", nil))
	}
	for _, kind := range []ghost{
		{reason: "no body", request: get},
		{reason: "one byte late", request: get + "x"},
		{reason: "20 KB", request: post(20_000)},
		{reason: "HTTP/2"},
		{reason: "TLS, one byte late", request: get + "x", tls: true},
	} {
		t.Run(kind.reason, func(t *testing.T) {
			v := start(t, objects, securely(t)...)
			var took time.Duration
			for n := range targets {
				kind := kind.to(name(n) + ".test")
				var held []net.Conn
				for range together {
					conn, err := kind.send(v)
					if err != nil {
						t.Fatal(err)
					}
					held = append(held, conn)
				}
				v.eventually("all are held", func() bool { return v.counts(name(n)).Concurrency == together })
				leaving := time.Now()
				for _, conn := range held {
					_ = conn.Close()
				}
				v.awaken(name(n))
				took += time.Since(leaving)
			}
			t.Logf("%d left; each hundred left, and its target was there, within %v on average", targets*together, (took / time.Duration(targets)).Round(time.Millisecond))
			v.survived()
		})
	}
}
