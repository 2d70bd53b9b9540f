package forward_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kedacore/http-add-on/interceptor/exchange"
)

// seen is what a backend got.
type seen struct {
	request *http.Request
	body    string
}

// spy starts a fixture whose backend reports what it got.
func spy(t *testing.T, h2c bool, change func(f *fixture)) (*fixture, <-chan seen) {
	t.Helper()
	got := make(chan seen, 1)
	backend := serve(t, h2c, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- seen{r, string(body)}
	})
	f := newFixture(backend.Listener.Addr().String())
	if h2c {
		f.target.Protocol = exchange.H2C
	}
	if change != nil {
		change(f)
	}
	f.start(t)
	return f, got
}

func TestRequestHeaders(t *testing.T) {
	tests := map[string]struct {
		reason string
		header http.Header
		want   map[string][]string // nil: absent
	}{
		"Added": {
			reason: "the backend learns who asked, and for what; nothing else is invented",
			want: map[string][]string{
				"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Host": {"app.example.com:81"}, "X-Forwarded-Proto": {"http"},
				"User-Agent": nil, "Accept-Encoding": nil, "Connection": nil, "Forwarded": nil,
			},
		},
		"Kept": {
			reason: "earlier proxies know better, and we add ourselves to the list",
			header: http.Header{
				"X-Forwarded-For": {"10.1.1.1", "10.2.2.2"}, "X-Forwarded-Host": {"public.example.com"}, "X-Forwarded-Proto": {"https"},
				"Forwarded": {"for=10.1.1.1"}, "User-Agent": {"me"}, "Accept-Encoding": {"br"},
			},
			want: map[string][]string{
				"X-Forwarded-For": {"10.1.1.1, 10.2.2.2, 127.0.0.1"}, "X-Forwarded-Host": {"public.example.com"}, "X-Forwarded-Proto": {"https"},
				"Forwarded": {"for=10.1.1.1"}, "User-Agent": {"me"}, "Accept-Encoding": {"br"},
			},
		},
		"HopByHop": {
			reason: "RFC 9110, 7.6.1: what is for the next hop only is not passed on",
			header: http.Header{
				"Connection": {"keep-alive, X-Mine"}, "X-Mine": {"1"}, "Keep-Alive": {"timeout=5"},
				"Proxy-Authorization": {"Basic eA=="}, "Te": {"gzip"}, "X-Yours": {"2"},
			},
			want: map[string][]string{
				"Connection": nil, "X-Mine": nil, "Keep-Alive": nil, "Proxy-Authorization": nil, "Te": nil, "X-Yours": {"2"},
			},
		},
		"NotHidden": {
			reason: "a client cannot have the forwarding headers removed by naming them hop-by-hop",
			header: http.Header{"Connection": {"X-Forwarded-For"}, "X-Forwarded-For": {"10.1.1.1"}},
			want:   map[string][]string{"X-Forwarded-For": {"10.1.1.1, 127.0.0.1"}},
		},
		"Trailers": {
			reason: "gRPC servers refuse requests without it",
			header: http.Header{"Te": {"trailers"}},
			want:   map[string][]string{"Te": {"trailers"}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f, got := spy(t, false, nil)
			var head strings.Builder
			_ = tt.header.Write(&head)
			conn := f.raw(t, "GET / HTTP/1.1\r\nHost: app.example.com:81\r\n"+head.String()+"\r\n")
			if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
				t.Fatal(err)
			}
			r := (<-got).request
			if r.Host != "app.example.com:81" {
				t.Errorf("%s: host is %q", tt.reason, r.Host)
			}
			for name, want := range tt.want {
				if d := cmp.Diff(want, r.Header[name]); d != "" {
					t.Errorf("%s: %s: -want +got\n%s", tt.reason, name, d)
				}
			}
		})
	}
}

// targets are request targets whose path and query a backend gets as the client wrote them.
var targets = []string{
	"/", "/?", "/a?", "/a/../b//c/", "/a%2Fb%20c", "/?a=1;b=2", "/?a=%zz&b=%", "/?%%%&&&==", "/?a=b&a=%00", "/x;y=1?q=a+b%2B",
	"/?q=" + strings.Repeat("a=1&", 11_000), "/a??b", "/%7euser", "/%2f%2F",
	// net/url encodes these paths again.
	"/a%2Fb|c", "/a%2F{b}", `/a%2F"b"`, "/a%2F^", "/a%2F`b`", `/a%2F\b`, "/a%2F<b>", "/ü%2Fü", "/a%2F\xff", "/a#b%2Fc", "/{a}?b={c}|%2F",
	// On their own these would name another host.
	"//a//b", "//a//b%2F", "//evil.example/a%2Fb|c?d|e", "///a|b", "//|", "//a:1@b/|",
}

func TestRequestTargetIsVerbatim(t *testing.T) {
	f, got := spy(t, false, nil)
	ask := func(target, want string) {
		t.Helper()
		conn := f.raw(t, "GET "+target+" HTTP/1.1\r\nHost: a\r\n\r\n")
		if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
			t.Fatal(err)
		}
		if r := (<-got).request; r.RequestURI != want || r.Host != "a" {
			t.Errorf("the backend got %.80q for %q instead of %.80q", r.RequestURI, r.Host, want)
		}
	}
	for _, target := range targets {
		ask(target, target)
		ask("http://a"+target, target)
	}
	ask("http://a", "/")
	ask("http://a?b|c", "/?b|c")
	ask("*", "*")
}

func TestRequestTargetIsVerbatimByEveryClient(t *testing.T) {
	for _, front := range []bool{false, true} {
		for _, backend := range []string{"h2c", "tls", "tls with HTTP/1.1"} {
			t.Run(fmt.Sprintf("h2c=%t to %s", front, backend), func(t *testing.T) {
				got := make(chan *http.Request, 1)
				handler := func(_ http.ResponseWriter, r *http.Request) { got <- r }
				var f *fixture
				switch backend {
				case "h2c":
					f = newFixture(serve(t, true, handler).Listener.Addr().String())
					f.target.Protocol = exchange.H2C
				case "tls":
					f = newFixture(serveTLS(t, handler).Listener.Addr().String())
				default:
					s := httptest.NewTLSServer(http.HandlerFunc(handler))
					t.Cleanup(s.Close)
					f = newFixture(s.Listener.Addr().String())
				}
				f.options.TLS, f.secure = insecure(), backend != "h2c"
				f.h2c = front
				f.start(t)
				for _, target := range targets {
					r, err := http.NewRequest(http.MethodGet, f.front.URL, nil)
					if err != nil {
						t.Fatal(err)
					}
					path, query, ok := strings.Cut(target, "?")
					r.URL.Opaque, r.URL.RawQuery, r.URL.ForceQuery = "//"+r.URL.Host+path, query, ok
					f.do(t, r)
					if r := <-got; r.RequestURI != target || "http://"+r.Host != f.front.URL {
						t.Errorf("the backend got %.80q for %q instead of %.80q", r.RequestURI, r.Host, target)
					}
				}
			})
		}
	}
}

func TestSpacesDoNotEndTheTarget(t *testing.T) {
	f, got := spy(t, false, func(f *fixture) { f.h2c = true })
	for path, want := range map[string]string{
		"/a b": "/a%20b", "/a HTTP/1.1|": "/a%20HTTP/1.1|", "//a b|%2F": "//a%20b|%2F", "/?a HTTP/1.1": "/?a%20HTTP/1.1",
	} {
		r, err := http.NewRequest(http.MethodGet, f.front.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Opaque = "//" + r.URL.Host + path
		f.do(t, r)
		if r := (<-got).request; r.RequestURI != want {
			t.Errorf("the backend got %q for %q, want %q", r.RequestURI, path, want)
		}
	}
}

func TestTargetsWithoutPathAreRefused(t *testing.T) {
	f := to(t, "127.0.0.1:1")
	for _, target := range []string{"http:a", "a:b", "mailto:a@b"} {
		f.raw(t, "GET "+target+" HTTP/1.1\r\nHost: a\r\n\r\n")
		if err := f.result(t); status(err) != http.StatusBadRequest {
			t.Errorf("%s: %v", target, err)
		}
	}
}

func TestHostIsNeverAnAddress(t *testing.T) {
	for _, h2c := range []bool{false, true} {
		f, got := spy(t, h2c, nil)
		conn := f.raw(t, "GET / HTTP/1.0\r\n\r\n")
		if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
			t.Fatal(err)
		}
		if r := (<-got).request; r.Host != "svc.ns" {
			t.Errorf("a request without host has host %q", r.Host)
		}
	}
}

func TestResponseHeaders(t *testing.T) {
	large := strings.Repeat("x", 200<<10)
	backend := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hints" {
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
		}
		w.Header()["Content-Type"] = nil
		w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
		w.Header().Set("X-Large", large)
		w.Header().Set("X-Ours", "theirs")
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "1")
		w.Header().Set("Keep-Alive", "timeout=5")
		_, _ = io.WriteString(w, "<html>")
	})
	f := newFixture(backend.Listener.Addr().String())
	f.prepare = func(w http.ResponseWriter, _ *http.Request, _ *exchange.Exchange) { w.Header().Set("X-Ours", "ours") }
	f.start(t)
	for _, path := range []string{"/", "/hints"} {
		t.Run(path, func(t *testing.T) {
			res := f.get(t, path)
			if got := read(t, res.Body); got != "<html>" {
				t.Errorf("body is %q", got)
			}
			for name, want := range map[string][]string{
				"X-Ours": {"ours"}, "Set-Cookie": {"a=1", "b=2"}, "X-Large": {large},
				"Content-Type": nil, "X-Hop": nil, "Keep-Alive": nil, "Connection": nil, "Link": nil,
			} {
				if got := res.Header[name]; !slices.Equal(got, want) {
					t.Errorf("%s is %.80q instead of %.80q", name, got, want)
				}
			}
		})
	}
}

func TestStatusesWithoutBody(t *testing.T) {
	backend := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(http.StatusNoContent)
		case "/304":
			w.Header().Set("Etag", `"1"`)
			w.WriteHeader(http.StatusNotModified)
		default:
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "hello")
		}
	})
	f := to(t, backend.Listener.Addr().String())
	for _, tt := range []struct {
		method, path string
		status       int
		length       int64
		body         string
	}{
		{http.MethodHead, "/", 200, 5, ""},
		{http.MethodGet, "/", 200, 5, "hello"},
		{http.MethodGet, "/204", 204, 0, ""},
		{http.MethodGet, "/304", 304, 0, ""},
	} {
		r, err := http.NewRequest(tt.method, f.front.URL+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res := f.do(t, r)
		body := read(t, res.Body)
		if res.StatusCode != tt.status || res.ContentLength != tt.length || body != tt.body {
			t.Errorf("%s %s: status %d, length %d, body %q", tt.method, tt.path, res.StatusCode, res.ContentLength, body)
		}
		if err := f.result(t); err != nil {
			t.Errorf("%s %s: %v", tt.method, tt.path, err)
		}
	}
}
