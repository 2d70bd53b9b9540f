package middleware

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/metrics"
)

// Bytes after a request whose body was not read are not the next request: the connection ends
// with the answer. It continues if the body was read.
func TestAnUnreadBodyEndsTheConnection(t *testing.T) {
	refuse := &clienterror.Error{Status: http.StatusServiceUnavailable, Message: "no"}
	for _, c := range []struct {
		reason string
		step   exchange.HandlerFunc
		ends   bool
	}{
		{"refused unread", func(http.ResponseWriter, *http.Request, *exchange.Exchange) error { return refuse }, true},
		{"answered unread", func(w http.ResponseWriter, _ *http.Request, _ *exchange.Exchange) error {
			_, err := io.WriteString(w, "here you are")
			return err
		}, true},
		{"read, then refused", func(_ http.ResponseWriter, r *http.Request, _ *exchange.Exchange) error {
			_, _ = io.Copy(io.Discard, r.Body)
			return refuse
		}, false},
	} {
		t.Run(c.reason, func(t *testing.T) {
			instruments, err := metrics.New(sdkmetric.NewMeterProvider(), metrics.Gauges{})
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(NewEdge(c.step, EdgeOptions{Metrics: instruments, Log: logr.Discard(), Now: time.Now}))
			t.Cleanup(server.Close)
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			const request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
			if _, err := io.WriteString(conn, request+request); err != nil {
				t.Fatal(err)
			}
			from := bufio.NewReader(conn)
			for i, want := range []bool{true, !c.ends} {
				response, err := http.ReadResponse(from, nil)
				if (err == nil) != want {
					t.Fatalf("answer %d: got %v, want one: %t", i+1, err, want)
				}
				if err != nil {
					return
				}
				if _, err := io.Copy(io.Discard, response.Body); err != nil || response.Close != c.ends {
					t.Errorf("answer %d: ends the connection %t: %v", i+1, response.Close, err)
				}
			}
		})
	}
}

// Before a process stops, its clients learn to use another connection.
func TestWhoIsAboutToStopEndsConnections(t *testing.T) {
	instruments, err := metrics.New(sdkmetric.NewMeterProvider(), metrics.Gauges{})
	if err != nil {
		t.Fatal(err)
	}
	var leaving atomic.Bool
	step := exchange.HandlerFunc(func(w http.ResponseWriter, r *http.Request, _ *exchange.Exchange) error {
		_, err := io.Copy(w, r.Body)
		return err
	})
	server := httptest.NewUnstartedServer(NewEdge(step, EdgeOptions{Metrics: instruments, Log: logr.Discard(), Now: time.Now, Leaving: leaving.Load}))
	server.Config.Protocols = &http.Protocols{}
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	for version, set := range map[string]func(*http.Protocols, bool){"HTTP/1.1": (*http.Protocols).SetHTTP1, "HTTP/2.0": (*http.Protocols).SetUnencryptedHTTP2} {
		t.Run(version, func(t *testing.T) {
			transport := &http.Transport{Protocols: &http.Protocols{}}
			set(transport.Protocols, true)
			t.Cleanup(transport.CloseIdleConnections)
			for _, c := range []struct{ leaving, reused bool }{{false, false}, {false, true}, {true, true}, {true, false}, {false, false}} {
				leaving.Store(c.leaving)
				var reused bool
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }})
				request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader("hi"))
				if err != nil {
					t.Fatal(err)
				}
				response, err := transport.RoundTrip(request)
				if err != nil {
					t.Fatal(err)
				}
				_, err = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				if err != nil || response.Proto != version || reused != c.reused {
					t.Errorf("leaving %t: %s, connection reused %t, want %t: %v", c.leaving, response.Proto, reused, c.reused, err)
				}
			}
		})
	}
}
