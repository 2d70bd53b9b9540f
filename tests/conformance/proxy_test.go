package conformance

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// What is held must come through whole, whatever the protocol: each of these
// begins cold.
func TestProtocolsThroughAColdStart(t *testing.T) {
	t.Run("a WebSocket", func(t *testing.T) {
		w := newWorld(t, route("coldStart: {waitingPage: {}, streamingCallback: {message: Waking}}"))
		conn := w.dial()
		fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\nAccept: text/html\r\n\r\n")
		w.held("default/app", 1)
		w.ready("app", w.backend(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Upgrade") != "echo" {
				http.Error(w, "no upgrade", http.StatusBadRequest)
				return
			}
			conn, buf, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			_, _ = io.Copy(conn, buf)
		}))
		answers := bufio.NewReader(conn)
		response, err := http.ReadResponse(answers, nil)
		if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("the upgrade: %v, %v", response, err)
		}
		for _, text := range []string{"one\n", "two\n"} {
			fmt.Fprint(conn, text)
			if got, err := answers.ReadString('\n'); got != text {
				t.Fatalf("echo: %q, %v", got, err)
			}
		}
		if n := w.tracker.Route("default/app").InFlight(); n != 1 {
			t.Errorf("an open WebSocket is in flight: %d", n)
		}
		conn.Close()
		w.eventually("the WebSocket is over", func() bool { return w.tracker.Route("default/app").InFlight() == 0 })
	})

	// The JDK's client offers h2c with every request in plain text, and some others without
	// settings. It is not an upgrade: the client waits as it does without.
	for _, settings := range []string{"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n", ""} {
		for _, protocol := range []string{"", "kubernetes.io/h2c"} {
			t.Run(fmt.Sprintf("an offer of h2c, settings %t, to a backend of %q", settings != "", protocol), func(t *testing.T) {
				objects := route("coldStart: {waitingPage: {}, streamingCallback: {display: None, interval: 100ms}}")
				got := make(chan *http.Request, 1)
				backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					got <- r
					answerWith(200, "text/event-stream", answerStream)(w, r)
				}))
				backend.Config.Protocols = new(http.Protocols)
				backend.Config.Protocols.SetHTTP1(protocol == "")
				backend.Config.Protocols.SetUnencryptedHTTP2(protocol != "")
				backend.Start()
				t.Cleanup(backend.Close)
				if protocol != "" {
					objects = strings.Replace(objects, "port: 80}]", "port: 80, appProtocol: "+protocol+"}]", 1)
				}
				w := newWorld(t, objects)
				offer := "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" + settings
				page := w.dial()
				fmt.Fprintf(page, "GET / HTTP/1.1\r\nHost: app.test\r\nAccept: text/html\r\n%s\r\n", offer)
				response, err := http.ReadResponse(bufio.NewReader(page), nil)
				if err != nil || response.StatusCode != http.StatusServiceUnavailable || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/html") {
					t.Errorf("the page: %v, %v", response, err)
				}
				const question = `{"stream":true,"messages":[]}`
				conn := w.dial()
				fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: app.test\r\nContent-Length: %d\r\n%s\r\n%s", chatPath, len(question), offer, question)
				response, err = http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil || response.StatusCode != http.StatusOK {
					t.Fatalf("the stream: %v, %v", response, err)
				}
				events := bufio.NewReader(response.Body)
				for range 3 {
					if got := line(t, events); got != ": keepalive" {
						t.Fatalf("the stream begins with %q", got)
					}
				}
				w.ready("app", backend.Listener.Addr().String())
				if rest, err := io.ReadAll(events); !strings.HasSuffix(string(rest), "data: [DONE]\n\n") {
					t.Errorf("the answer is %q, %v", rest, err)
				}
				if r := <-got; r.Header["Upgrade"] != nil || r.Header["Http2-Settings"] != nil || r.Header["Connection"] != nil {
					t.Errorf("the offer reached the backend: %v", r.Header)
				}
				conn = w.dial()
				fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: app.test\r\n%s\r\n", offer)
				response, err = http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil || response.StatusCode != http.StatusOK {
					t.Fatalf("warm: %v, %v", response, err)
				}
				if r := <-got; r.Header["Upgrade"] != nil || r.Header["Http2-Settings"] != nil {
					t.Errorf("the offer reached the warm backend: %v", r.Header)
				}
			})
		}
	}

	t.Run("a path that net/http would write anew", func(t *testing.T) {
		w := newWorld(t, plainRoute)
		conn := w.dial()
		const target = "/a%2Fb|c/{d}//e?f=|%zz"
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: app.test\r\n\r\n", target)
		w.held("default/app", 1)
		w.ready("app", w.backend(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host, " ", r.RequestURI) }))
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(response.Body); string(body) != "app.test "+target {
			t.Errorf("the backend got %q, %v", body, err)
		}
	})

	t.Run("h2c on both sides, full duplex, with trailers", func(t *testing.T) {
		w := newWorld(t, strings.Replace(plainRoute, "port: 80}]", "port: 80, appProtocol: kubernetes.io/h2c}]", 1))
		backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			w.Header().Set("X-Proto", r.Proto)
			control := http.NewResponseController(w)
			lines := bufio.NewScanner(r.Body)
			lines.Buffer(nil, 1<<20)
			for lines.Scan() {
				fmt.Fprintf(w, "echo %s\n", lines.Text())
				_ = control.Flush()
			}
			w.Header().Set("X-Sum", "7")
		}))
		backend.Config.Protocols = new(http.Protocols)
		backend.Config.Protocols.SetUnencryptedHTTP2(true)
		backend.Start()
		t.Cleanup(backend.Close)

		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetUnencryptedHTTP2(true)
		defer transport.CloseIdleConnections()
		body, send := io.Pipe()
		r := w.request(http.MethodPost, "app.test", "/", "")
		r.Body = body
		type result struct {
			response *http.Response
			err      error
		}
		results := make(chan result, 1)
		go func() {
			response, err := transport.RoundTrip(r)
			results <- result{response, err}
		}()
		fmt.Fprint(send, "one\n")
		w.eventually("the request is counted", func() bool { return w.tracker.Route("default/app").InFlight() == 1 })
		w.ready("app", backend.Listener.Addr().String())
		send2 := make(chan struct{})
		go func() {
			defer close(send2)
			// More than is read ahead while held, so that the rest flows after.
			fmt.Fprint(send, strings.Repeat("x", 70<<10)+"\n")
		}()
		got := <-results
		if got.err != nil || got.response.Header.Get("X-Proto") != "HTTP/2.0" {
			t.Fatalf("the response comes while the request goes on: %+v", got)
		}
		defer got.response.Body.Close()
		lines := bufio.NewReaderSize(got.response.Body, 128<<10)
		if first, err := lines.ReadString('\n'); first != "echo one\n" {
			t.Fatalf("the first line: %q, %v", first, err)
		}
		if second, err := lines.ReadString('\n'); len(second) != len("echo \n")+70<<10 {
			t.Fatalf("the second line has %d bytes, %v", len(second), err)
		}
		<-send2
		send.Close()
		if _, err := io.Copy(io.Discard, lines); err != nil {
			t.Fatal(err)
		}
		if got.response.Trailer.Get("X-Sum") != "7" {
			t.Errorf("trailers: %v", got.response.Trailer)
		}
	})

	t.Run("a chunked upload that goes on while it is held", func(t *testing.T) {
		w := newWorld(t, route("coldStart: {streamingCallback: {message: Waking}}"))
		body, send := io.Pipe()
		r := w.request(http.MethodPost, "app.test", "/upload.bin", "")
		r.Body = body
		r.Header.Set("Content-Encoding", "gzip") // no stream can be in it
		pending := w.later(r)
		fmt.Fprint(send, "one ")
		w.held("default/app", 1)
		w.ready("app", w.backend(echo))
		w.held("default/app", 0)
		fmt.Fprint(send, "two")
		send.Close()
		(<-pending).expect(t, "the upload is whole", http.StatusOK, "one two")
	})

	t.Run("a large body both ways", func(t *testing.T) {
		w := newWorld(t, plainRoute)
		body := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
		pending := w.later(w.request(http.MethodPut, "app.test", "/", string(body)))
		w.held("default/app", 1)
		w.ready("app", w.backend(echo))
		if got := <-pending; got.err != nil || got.body != string(body) {
			t.Errorf("got %d of %d bytes, %v", len(got.body), len(body), got.err)
		}
	})
}

// echo answers with the request's body. It reads all of it first: net/http's server drops unread
// bytes when an HTTP/1.1 answer begins.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(body)
}

// dial opens a plain connection to the proxy.
func (w *world) dial() net.Conn {
	w.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}
