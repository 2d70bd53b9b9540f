package conformance

import (
	"bufio"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
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
