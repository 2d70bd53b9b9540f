package conformance

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2/hpack"

	"github.com/kedacore/http-add-on/tests/support/frames"
)

// ask sends bytes on a connection and returns the response.
func ask(t *testing.T, w *world, request string) *http.Response {
	t.Helper()
	conn := w.dial()
	fmt.Fprint(conn, request)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

func TestConnectionsOfHTTP10AreNotKept(t *testing.T) {
	w := newWorld(t, plainRoute)
	w.ready("app", w.backend(say("ok")))
	for _, test := range []struct {
		reason, request string
		kept            bool
	}{
		{"kept by an extension", "GET / HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\n\r\n", false},
		{"an error of ours", "GET / HTTP/1.0\r\nHost: other.test\r\nConnection: keep-alive\r\n\r\n", false},
		{"HTTP/1.1", "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n", true},
	} {
		if response := ask(t, w, test.request); response.Close == test.kept || response.Header.Get("Connection") == "keep-alive" {
			t.Errorf("%s: %v", test.reason, response.Header)
		}
	}
}

func TestMethodsOfTheServer(t *testing.T) {
	w := newWorld(t, plainRoute)
	for _, test := range []struct {
		request string
		status  int
	}{
		{"CONNECT app.test:443 HTTP/1.1\r\nHost: app.test\r\n\r\n", 501},
		{"CONNECT app.test:443 HTTP/1.1\r\nHost: other.test\r\n\r\n", 501},
		{"OPTIONS * HTTP/1.1\r\nHost: app.test\r\n\r\n", 200},
	} {
		if response := ask(t, w, test.request); response.StatusCode != test.status {
			t.Errorf("%.12q: got %d", test.request, response.StatusCode)
		}
	}
	c := w.frames(64 << 10)
	for _, test := range []struct {
		method string
		fields []hpack.HeaderField
		status int
	}{
		{"CONNECT", []hpack.HeaderField{{Name: ":method", Value: "CONNECT"}, {Name: ":authority", Value: "app.test:443"}}, 501},
		{"CONNECT to a host that is not valid", []hpack.HeaderField{{Name: ":method", Value: "CONNECT"}, {Name: ":authority", Value: "app.test:x"}}, 501},
		{"OPTIONS", frames.Fields("OPTIONS", "app.test", "*"), 200},
	} {
		stream, err := c.Request(true, test.fields...)
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := c.Wait(stream); err != nil || answer.Status != test.status {
			t.Errorf("%s over HTTP/2: got %d, %v", test.method, answer.Status, err)
		}
	}
	if count := w.counts()["default/app"]; count.RequestCount != 0 || count.Concurrency != 0 {
		t.Errorf("they are demand: %+v", count)
	}
}

// An underscore is a hyphen to CGI and WSGI.
func TestNamesWithUnderscores(t *testing.T) {
	names := []string{"X_Forwarded_For", "Content_length", "transfer_encoding", "X-Forwarded_Proto", "Proxy_Authorization", "X_Tenant_Id", "api_key"}
	for _, test := range []struct{ env, want []string }{
		{nil, []string{"Api_key", "X_tenant_id"}},
		{[]string{"KEDA_HTTP_DROP_UNDERSCORE_HEADERS", "true"}, nil},
	} {
		w := newWorld(t, plainRoute, test.env...)
		arrived := make(chan []string, 1)
		w.ready("app", w.backend(func(_ http.ResponseWriter, r *http.Request) {
			var got []string
			for name := range r.Header {
				if strings.Contains(name, "_") {
					got = append(got, name)
				}
			}
			slices.Sort(got)
			arrived <- got
		}))
		var request strings.Builder
		request.WriteString("GET / HTTP/1.1\r\nHost: app.test\r\n")
		for _, name := range names {
			fmt.Fprintf(&request, "%s: 1\r\n", name)
		}
		ask(t, w, request.String()+"\r\n")
		if got := <-arrived; !slices.Equal(got, test.want) {
			t.Errorf("%v: the backend gets %v, want %v", test.env, got, test.want)
		}
	}
}

// RFC 9110, 6.5.1: fields that frame, route or authenticate a message must not be in trailers.
// Those of responses need not be announced: gRPC announces none.
func TestTrailersThatMayPass(t *testing.T) {
	forbidden := []string{
		"Authorization", "Cookie", "Set-Cookie", "Host", "Content-Type", "Content-Md5", "Te", "Connection", "Keep-Alive",
		"Proxy-Authorization", "Proxy-Foo", "Forwarded", "X-Forwarded-For", "X_forwarded_host", "If-Match", "Cache-Control",
		"Expect", "Upgrade", "X-Real-Ip", "Location",
	}
	names := func(trailer http.Header) string { return strings.Join(slices.Sorted(maps.Keys(trailer)), " ") }
	const want = "Content-Digest X-Sum"
	for _, p := range protocols {
		sent := append([]string{"X-Sum", "Content-Digest"}, forbidden...)
		if p.http2 { // net/http refuses the others
			sent = slices.DeleteFunc(sent, func(name string) bool { return !httpguts.ValidTrailerHeader(name) })
		}
		t.Run("Requests/"+p.name, func(t *testing.T) {
			backend := p.backend(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				fmt.Fprintf(w, "%s; %s", names(r.Trailer), r.Trailer.Get("X-Sum"))
			})
			for _, held := range []bool{false, true} {
				w := newWorld(t, p.route(plainRoute))
				if !held {
					w.ready("app", backend)
				}
				u := w.upload(p.client(t), "/", nil, sent...)
				fmt.Fprint(u, "abc")
				for name := range u.request.Trailer {
					u.request.Trailer[name] = []string{"7"}
				}
				_ = u.Close()
				if held {
					w.held("default/app", 1)
					w.ready("app", backend)
				}
				(<-u.answers).expect(t, fmt.Sprintf("held: %t", held), http.StatusOK, want+"; 7")
			}
		})
		t.Run("Responses/"+p.name, func(t *testing.T) {
			w := newWorld(t, p.route(plainRoute))
			w.ready("app", p.backend(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Trailer", "X-Sum, Set-Cookie, X-Forwarded-For")
				_, _ = io.WriteString(w, "abc")
				for _, name := range sent {
					w.Header().Set(http.TrailerPrefix+name, "7")
				}
			}))
			response, err := p.client(t).RoundTrip(w.request(http.MethodGet, "app.test", "/", ""))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			announced := names(response.Trailer)
			if _, err := io.Copy(io.Discard, response.Body); err != nil {
				t.Fatal(err)
			}
			if got := names(response.Trailer); announced != "X-Sum" || got != want || response.Trailer.Get("X-Sum") != "7" {
				t.Errorf("got %q, announced %q", got, announced)
			}
		})
	}
	t.Run("Unannounced", func(t *testing.T) {
		w := newWorld(t, plainRoute)
		w.ready("app", w.backend(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, names(r.Trailer))
		}))
		for announced, want := range map[string]string{"": "", "Trailer: X-Sum\r\n": "X-Sum"} {
			response := ask(t, w, "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n"+announced+"\r\n0\r\nX-Sum: 1\r\nX-Late: 1\r\nHost: a\r\n\r\n")
			if got, err := io.ReadAll(response.Body); err != nil || string(got) != want {
				t.Errorf("%q: the backend gets %q, %v", announced, got, err)
			}
		}
	})
}
