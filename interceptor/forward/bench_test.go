package forward_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/forward"
)

// sink is a client that takes everything and costs nothing.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Flush()                      {}

// BenchmarkForward compares a forwarded request with net/http's bare proxy in the
// same run; what the backend and the transport cost is in both.
func BenchmarkForward(b *testing.B) {
	small, large := []byte("hello"), []byte(strings.Repeat("x", 1<<20))
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			_, _ = w.Write(large)
			return
		}
		_, _ = w.Write(small)
	}))
	defer backend.Close()

	store := endpoints.NewStore()
	store.Update("ns", "svc", map[string][]string{"": {backend.Listener.Addr().String()}})
	target := &exchange.Target{Endpoints: store.Port(endpoints.Key{Namespace: "ns", Service: "svc"}), ServerName: "svc.ns"}
	route := &exchange.Route{Target: target, ResponseHeader: 300 * time.Second}
	f := forward.New(options())
	defer f.Close()
	ours := func(w http.ResponseWriter, r *http.Request) {
		x := &exchange.Exchange{Start: time.Now(), Route: route}
		x.Upstream.Target = target
		x.Upstream.Slot, _ = target.Endpoints.Pick()
		if err := f.ServeExchange(w, r, x); err != nil {
			b.Error(err)
		}
	}

	address, err := url.Parse(backend.URL)
	if err != nil {
		b.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 200, DisableCompression: true, ResponseHeaderTimeout: 300 * time.Second}
	defer transport.CloseIdleConnections()
	bare := &httputil.ReverseProxy{Transport: transport, FlushInterval: -1, Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(address)
		p.SetXForwarded()
	}}

	for _, path := range []string{"/small", "/large"} {
		for _, proxy := range []struct {
			name  string
			serve http.HandlerFunc
		}{{"ours", ours}, {"bare", bare.ServeHTTP}} {
			b.Run(path[1:]+"/"+proxy.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, path, nil)
					proxy.serve(&sink{header: make(http.Header)}, r)
				}
			})
		}
	}
}
