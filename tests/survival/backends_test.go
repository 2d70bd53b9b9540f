package survival

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/tests/support/apiserver"
	"github.com/kedacore/http-add-on/tests/support/frames"
)

// target is a Service with an endpoint and a route, all of one name.
func target(name, protocol string, address string, more apiserver.Object) []apiserver.Object {
	port := 0
	if address != "" {
		port = portOf(address)
	}
	return []apiserver.Object{apiserver.Service(name, protocol), apiserver.Endpoints(name, port), apiserver.Route(name, name+".test", more)}
}

// h2c serves HTTP/2 without TLS.
func h2c(t *testing.T, handler http.HandlerFunc) string {
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func endless(w http.ResponseWriter, _ *http.Request) {
	for n := 0; n < 25<<20; n += 16 << 10 {
		if _, err := w.Write(make([]byte, 16<<10)); err != nil {
			return
		}
	}
}

func TestDownloadsThatNobodyReads(t *testing.T) {
	for _, test := range []struct {
		reason  string
		clients int
		streams int // on a connection of HTTP/2; 0 is HTTP/1.1
		out     string
	}{
		{"HTTP/1.1 from an h2c backend", 700, 0, "kubernetes.io/h2c"},
		{"HTTP/2 from an h2c backend, on connections of their own", 200, 1, "kubernetes.io/h2c"},
		{"HTTP/2 from an h2c backend, 225 on a connection", 900, 225, "kubernetes.io/h2c"},
		{"HTTP/2 from an h2c backend, 3,600 in all", 3600, 225, "kubernetes.io/h2c"},
		{"HTTP/1.1 from an HTTP/1.1 backend", 700, 0, ""},
	} {
		t.Run(test.reason, func(t *testing.T) {
			v := start(t, target("download", test.out, h2c(t, endless), nil))
			var c *frames.Conn
			for i := range test.clients {
				if test.streams > 0 {
					if i%test.streams == 0 {
						c = v.frames(0)
					}
					_, _ = c.Request(true, frames.Fields("GET", "download.test", "/")...) // the server may hang up
					continue
				}
				if _, err := io.WriteString(v.dial(), "GET / HTTP/1.1\r\nHost: download.test\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
			}
			<-time.After(3 * time.Second)
			v.survived()
		})
	}
}

// connections is a backend that serves each connection by serve, and closes it then.
func connections(t *testing.T, serve func(conn io.ReadWriter)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return l.Addr().String()
}

// raw is a backend that answers every request with the same bytes, again and again.
func raw(t *testing.T, answer []byte) string {
	return connections(t, func(conn io.ReadWriter) {
		for in := bufio.NewReader(conn); ; {
			request, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, request.Body)
			if _, err := conn.Write(answer); err != nil {
				return
			}
		}
	})
}

func tiny(bytes int, end string) []byte {
	var head strings.Builder
	head.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n")
	for i := 0; head.Len() < bytes; i++ {
		fmt.Fprintf(&head, "%x:\r\n", i)
	}
	head.WriteString(end)
	return []byte(head.String())
}

func TestHeadsOfResponses(t *testing.T) {
	for _, test := range []struct {
		reason  string
		clients int
		head    []byte
	}{
		{"7.6 MB of tiny fields", 1, tiny(7_600_000, "\r\nok")},
		{"40 times 250 KB of them", 40, tiny(250_000, "\r\nok")},
		{"40 times 250 KB of them that do not end", 40, tiny(250_000, "")},
		{"a flood of informational ones", 10, bytes.Repeat([]byte("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"), 1<<18)},
	} {
		t.Run(test.reason, func(t *testing.T) {
			v := start(t, target("heads", "", raw(t, test.head), nil))
			for range test.clients {
				conn := v.dial()
				if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: heads.test\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				go func() { _, _ = io.Copy(io.Discard, conn) }()
			}
			<-time.After(3 * time.Second)
			v.survived()
		})
	}
}

// A stream asks its backend for an answer that may have to be complete, and decodes it.
func TestCompressedBombs(t *testing.T) {
	var bomb bytes.Buffer
	compressor := gzip.NewWriter(&bomb)
	_, _ = io.WriteString(compressor, `{"choices":[{"message":{"content":"`)
	for range 1 << 10 {
		_, _ = compressor.Write(bytes.Repeat([]byte("x"), 1<<18)) // 256 MiB in all
	}
	_ = compressor.Close()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	}))
	t.Cleanup(backend.Close)
	v := start(t, target("bomb", "", "", apiserver.Object{"coldStart": apiserver.Object{"streamingCallback": apiserver.Object{"message": "Waking"}}}))
	for range 20 {
		conn := v.dial()
		fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: bomb.test\r\nContent-Length: 29\r\n\r\n{\"stream\":true,\"messages\":[]}")
		go func() { _, _ = io.Copy(io.Discard, conn) }()
	}
	v.eventually("streams are open", func() bool { return v.counts("bomb").Concurrency >= 20 })
	v.api.Set(apiserver.Endpoints("bomb", portOf(backend.Listener.Addr().String())))
	<-time.After(4 * time.Second)
	v.survived()
}

// One object with 6 static routes of 256 hosts and 256 paths.
func TestObjectThatMultiplies(t *testing.T) {
	var hosts, paths []any
	for i := range 256 {
		hosts, paths = append(hosts, fmt.Sprintf("h%d.test", i)), append(paths, apiserver.Object{"value": fmt.Sprintf("/p%d", i)})
	}
	var static []any
	for range 6 {
		static = append(static, apiserver.Object{
			"rules":    []any{apiserver.Object{"hosts": hosts, "paths": paths}},
			"response": apiserver.Object{"statusCode": 200, "body": "ok"},
		})
	}
	v := start(t, target("many", "", "", apiserver.Object{
		"rules":        []any{apiserver.Object{"hosts": append(hosts, "many.test"), "paths": append(paths, apiserver.Object{"value": "/"})}},
		"staticRoutes": static,
	}))
	<-time.After(2 * time.Second)
	v.survived()
}

func TestWatchersOfDemand(t *testing.T) {
	v := start(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 3000 {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", v.admin)
		if err != nil {
			break
		}
		t.Cleanup(func() { _ = conn.Close() })
		fmt.Fprint(conn, "GET /queue?watch=true HTTP/1.1\r\nHost: admin\r\n\r\n")
	}
	<-time.After(2 * time.Second)
	v.survived()
}

// Clients whose bodies never wait for the network leave the processor to others now and then. The p99 was 1.4 s
// without turns, and is 0.5 s. Tests of packages body and forward prove that copies take turns.
func TestBulk(t *testing.T) {
	const clients = 200
	backend := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_, _ = io.Copy(io.Discard, r.Body)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(1<<40))
		for piece := make([]byte, 256<<10); ; {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}
	for _, test := range []struct{ reason, head string }{
		{"downloads", "GET / HTTP/1.1\r\nHost: bulk.test\r\n\r\n"},
		{"uploads", "POST / HTTP/1.1\r\nHost: bulk.test\r\nContent-Length: 1000000000000\r\n\r\n"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			v := start(t, target("bulk", "", h2c(t, backend), nil))
			var conns []net.Conn
			for range clients {
				conns = append(conns, v.dial())
			}
			var transferred atomic.Int64
			for _, conn := range conns {
				go func() {
					_, err := io.WriteString(conn, test.head)
					transfer := conn.Read
					if test.reason == "uploads" {
						transfer = conn.Write
					}
					for buffer := make([]byte, 256<<10); err == nil; {
						var n int
						n, err = transfer(buffer)
						transferred.Add(int64(n))
					}
				}()
			}
			<-time.After(5 * time.Second)
			v.survived()
			t.Logf("%d MiB were transferred", transferred.Load()>>20)
		})
	}
}

// Requests that a backend takes long for leave room for others, whatever else comes.
func TestRequestsInService(t *testing.T) {
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/events" {
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	}))
	t.Cleanup(slow.Close)
	address := slow.Listener.Addr().String()
	for _, test := range []struct {
		reason, path, header string
		http1, http2         int // requests
	}{
		{"large heads", "/events", "X-Large: " + strings.Repeat("~", 7000) + "\r\n", 930, 0},
		{"HTTP/1.1 and HTTP/2", "/events", "", 900, 4 * 184},
		{"without an answer", "/", "", 930, 0},
	} {
		t.Run(test.reason, func(t *testing.T) {
			v := start(t, slices.Concat(target("slow", "", address, nil), target("chat", "", "", apiserver.Object{
				"coldStart": apiserver.Object{"streamingCallback": apiserver.Object{"message": "Loading."}},
			})))
			var c *frames.Conn
			for i := range test.http2 {
				if i%184 == 0 {
					c = v.frames(64 << 10)
				}
				if _, err := c.Request(true, frames.Fields("GET", "slow.test", test.path)...); err != nil {
					t.Fatal(err)
				}
			}
			for range test.http1 {
				_, _ = io.WriteString(v.dial(), "GET "+test.path+" HTTP/1.1\r\nHost: slow.test\r\n"+test.header+"\r\n") // it may be refused
			}
			large := []byte(`{"model":"m","stream":true,"messages":[` + strings.Repeat(`{"role":"user","content":"x"},`, 500_000) + `{}]}`)
			for range 2 {
				conn := v.dial()
				go func() {
					_, _ = fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: chat.test\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(large))
					_, _ = conn.Write(large)
				}()
			}
			<-time.After(3 * time.Second)
			v.survived()
		})
	}
}
