// Package conformance runs the interceptor's real chain on loopback, without a
// cluster: objects as YAML and requests in, responses out. One file is one
// feature.
package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/interceptor/app"
	"github.com/kedacore/http-add-on/interceptor/config"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/inflight"
	"github.com/kedacore/http-add-on/interceptor/routesync"
	"github.com/kedacore/http-add-on/pkg/queue"
	"github.com/kedacore/http-add-on/tests/support/listen"
	"github.com/kedacore/http-add-on/tests/support/objects"
	"github.com/kedacore/http-add-on/tests/support/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what must happen; nothing waits for it when all is well.
const patience = time.Minute

// world is an interceptor with objects, and backends that become ready when the test makes them.
type world struct {
	t       *testing.T
	app     *app.App
	store   *endpoints.Store
	tracker *inflight.Tracker
	sink    chan routesync.Sink
	objects []client.Object
	url     string
	admin   string
	client  *http.Client
	skipped *atomic.Int64 // how far the tracker's clock, which stands still, was moved
	log     *logbook
}

// logbook keeps what an interceptor logs.
type logbook struct {
	*testing.T
	mu    sync.Mutex
	lines []string
}

// Log implements testr.TestingT.
func (b *logbook) Log(args ...any) {
	b.Helper()
	b.T.Log(args...)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, fmt.Sprint(args...))
}

// with returns the lines that have all of some texts.
func (b *logbook) with(texts ...string) (lines []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, line := range b.lines {
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
			lines = append(lines, line)
		}
	}
	return lines
}

// Run implements routesync.Source: it tells the world's objects, and then
// leaves the sink to the test.
func (w *world) Run(ctx context.Context, sink routesync.Sink) error {
	for _, obj := range w.objects {
		sink.Set(obj)
	}
	sink.Synced()
	w.sink <- sink
	<-ctx.Done()
	return nil
}

// newWorld starts an interceptor with objects (YAML documents) and environment
// settings (name, value, name, value…).
func newWorld(t *testing.T, objects string, env ...string) *world {
	t.Helper()
	return newWorldWith(t, objects, listeners{}, env...)
}

// newWorldWith is newWorld with more listeners.
func newWorldWith(t *testing.T, objects string, more listeners, env ...string) *world {
	t.Helper()
	start, skipped := time.Now(), new(atomic.Int64)
	w := &world{
		t: t, store: endpoints.NewStore(), skipped: skipped, log: &logbook{T: t},
		tracker: inflight.NewTracker(func() time.Time { return start.Add(time.Duration(skipped.Load())) }),
		sink:    make(chan routesync.Sink, 1), objects: parse(t, objects),
	}
	cfg, err := config.Load(settings.Lookup(append([]string{
		"KEDA_HTTP_PROXY_PORT", "0", "KEDA_HTTP_ADMIN_PORT", "0", "OTEL_PROM_EXPORTER_ENABLED", "false",
		"KEDA_HTTP_SHUTDOWN_DELAY", "0s", "KEDA_HTTP_DRAIN_TIMEOUT", "2s",
	}, env...)...))
	if err != nil {
		t.Fatalf("loading the configuration: %v", err)
	}
	proxy, admin := listen.Loopback(t), listen.Loopback(t)
	w.app, err = app.New(cfg, app.Deps{
		Source: w, Proxy: proxy, ProxyTLS: more.tls, Metrics: more.metrics, Admin: admin, Store: w.store, Tracker: w.tracker,
		Log: testr.NewWithInterface(w.log, testr.Options{Verbosity: 1}),
	})
	if err != nil {
		t.Fatalf("making the interceptor: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.app.Run(ctx) }()
	transport := &http.Transport{}
	w.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the interceptor ended with %v", err)
		}
	})
	w.url, w.admin = "http://"+proxy.Addr().String(), "http://"+admin.Addr().String()
	w.eventually("the interceptor is ready", func() bool {
		response, err := w.client.Get(w.admin + "/readyz")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return w
}

// parse reads YAML documents as a Source hands them on.
func parse(t *testing.T, documents string) []client.Object {
	t.Helper()
	decoded, err := objects.Decode([]byte(documents))
	if err != nil {
		t.Fatalf("parsing objects: %v", err)
	}
	var all []client.Object
	for _, u := range decoded {
		if u.GetNamespace() == "" {
			u.SetNamespace("default")
		}
		all = append(all, typed(t, u))
	}
	return all
}

func typed(t *testing.T, u *unstructured.Unstructured) client.Object {
	t.Helper()
	var into client.Object
	switch u.GetKind() {
	case "Service":
		into = &corev1.Service{}
	case "ConfigMap":
		into = &corev1.ConfigMap{}
	default:
		return u
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into); err != nil {
		t.Fatalf("decoding %s: %v", u.GetKind(), err)
	}
	return into
}

// change hands new or changed objects to the interceptor.
func (w *world) change(documents string) {
	w.t.Helper()
	sink := <-w.sink
	w.sink <- sink
	for _, obj := range parse(w.t, documents) {
		sink.Set(obj)
	}
}

// reports hands the wake of a route to the interceptor, as its watch of routes does that sees it
// change.
func (w *world) reports(name string, wake map[string]any) { w.reported(name, wake, true) }

// reported hands the wake of a route to the interceptor, which may have seen it change.
func (w *world) reported(name string, wake map[string]any, seen bool) {
	w.t.Helper()
	sink := <-w.sink
	w.sink <- sink
	sink.Wake(&unstructured.Unstructured{Object: map[string]any{
		"kind": "InterceptorRoute", "metadata": map[string]any{"namespace": "default", "name": name}, "status": map[string]any{"wake": wake},
	}}, seen)
}

// backend starts a server that no Service knows yet and returns its address.
func (w *world) backend(handler http.HandlerFunc) string {
	w.t.Helper()
	server := httptest.NewServer(handler)
	w.t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// ready makes addresses the ready endpoints of a Service's port named "http".
func (w *world) ready(service string, addresses ...string) {
	w.store.Update("default", service, map[string][]string{"http": addresses})
}

// request builds a request for a host.
func (w *world) request(method, host, path string, body string, headers ...string) *http.Request {
	w.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, w.url+path, reader)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Host = host
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// answer is a whole response.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

// do sends a request and reads the whole response.
func (w *world) do(r *http.Request) answer {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	response, err := w.client.Do(r.WithContext(ctx))
	if err != nil {
		return answer{err: err}
	}
	defer response.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(response.Body)
	return answer{status: response.StatusCode, header: response.Header, body: body.String(), err: err}
}

// later sends a request while the test goes on.
func (w *world) later(r *http.Request) <-chan answer {
	c := make(chan answer, 1)
	go func() { c <- w.do(r) }()
	return c
}

// counts is what /queue says.
func (w *world) counts() queue.Counts {
	w.t.Helper()
	response, err := w.client.Get(w.admin + "/queue")
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	counts := queue.Counts{}
	if err := json.NewDecoder(response.Body).Decode(&counts); err != nil {
		w.t.Fatalf("decoding /queue: %v", err)
	}
	return counts
}

// pass lets time pass for leases and the measure of wakes. For them no other time passes, however
// slow the machine is.
func (w *world) pass(d time.Duration) { w.skipped.Add(int64(d)) }

// eventually polls for what other goroutines bring about.
func (w *world) eventually(what string, is func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !is() {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain: %s", what)
		}
		<-tick.C
	}
}

// held waits until n requests of a route are held.
func (w *world) held(route string, n int64) {
	w.t.Helper()
	w.eventually("requests are held", func() bool { return w.tracker.Route(route).Held() == n })
}

// service is a Service "app" with one port.
const service = `
apiVersion: v1
kind: Service
metadata: {name: app}
spec:
  ports: [{name: http, port: 80}]
---
`
