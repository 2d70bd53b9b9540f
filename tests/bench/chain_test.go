package bench

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/go-logr/logr"

	interceptor "github.com/kedacore/http-add-on/interceptor/app"
	"github.com/kedacore/http-add-on/interceptor/config"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/inflight"
	"github.com/kedacore/http-add-on/tests/bench/role"
)

// BenchmarkWarmRequest compares what a warm request costs in the whole chain, its
// backend on loopback included, with a bare reverse proxy of the standard library.
func BenchmarkWarmRequest(b *testing.B) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok"))
	}))
	defer backend.Close()

	b.Run("bare", func(b *testing.B) {
		target, err := url.Parse(backend.URL)
		if err != nil {
			b.Fatal(err)
		}
		transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100}
		defer transport.CloseIdleConnections()
		measure(b, &httputil.ReverseProxy{
			Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
			Transport:     transport,
			FlushInterval: -1,
		})
	})
	b.Run("interceptor", func(b *testing.B) {
		env := map[string]string{"KEDA_HTTP_PROXY_PORT": "0", "KEDA_HTTP_ADMIN_PORT": "0", "KEDA_HTTP_SHUTDOWN_DELAY": "0s", "OTEL_PROM_EXPORTER_PORT": "0"}
		cfg, err := config.Load(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
		if err != nil {
			b.Fatal(err)
		}
		listeners := make([]net.Listener, 2)
		for i := range listeners {
			if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
				b.Fatal(err)
			}
		}
		store := endpoints.NewStore()
		a, err := interceptor.New(cfg, interceptor.Deps{
			Source: role.Objects(role.InterceptorOptions{Services: []string{"app"}}), Store: store, Tracker: inflight.NewTracker(nil), Log: logr.Discard(),
			Proxy: listeners[0], Admin: listeners[1],
		})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-done; err != nil {
				b.Error(err)
			}
		}()
		store.Update("default", "app", map[string][]string{"http": {backend.Listener.Addr().String()}})
		for code := 0; code != http.StatusOK; {
			w := httptest.NewRecorder()
			a.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://app/", nil))
			code = w.Code
		}
		measure(b, a.Handler())
	})
}

// measure sends requests one after the other, so that allocations are exact.
func measure(b *testing.B, handler http.Handler) {
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://app/", nil))
		if w.Code != http.StatusOK {
			b.Fatalf("status %d", w.Code)
		}
	}
}
