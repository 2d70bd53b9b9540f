package metrics

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"

	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/pkg/telemetry"
)

func newMetrics(t *testing.T, concurrency Concurrency) (*Metrics, *telemetry.Metrics) {
	t.Helper()
	out, err := telemetry.NewMetrics(telemetry.Options{Prometheus: true, Log: testr.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := out.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	m, err := New(out.Provider(), concurrency)
	if err != nil {
		t.Fatal(err)
	}
	return m, out
}

// scrape returns the lines of /metrics that are the interceptor's, or that no
// dashboard expects.
func scrape(out *telemetry.Metrics) []string {
	w := httptest.NewRecorder()
	out.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	var lines []string
	for line := range strings.Lines(w.Body.String()) {
		if strings.Contains(line, "interceptor_") || strings.Contains(line, "otel_") || strings.Contains(line, "target_info") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// Names, labels, types and buckets are a contract with dashboards and alerts. The
// reference page is generated from the golden file.
func TestMetricsAreFrozen(t *testing.T) {
	m, out := newMetrics(t, func(observe func(namespace, name string, inFlight int64)) {
		observe("apps", "llm", 3)
		observe("apps", "web", 0)
	})
	route := &exchange.Route{Namespace: "apps", Name: "llm"}
	ctx := t.Context()
	m.Request(ctx, &exchange.Exchange{Route: route, Cold: true}, http.StatusOK, http.MethodPost, 42*time.Second)
	m.Request(ctx, &exchange.Exchange{Route: route}, http.StatusOK, http.MethodPost, 60*time.Millisecond)
	m.Request(ctx, &exchange.Exchange{}, http.StatusNotFound, "BREW", 2*time.Millisecond)
	m.Request(ctx, &exchange.Exchange{}, http.StatusNotFound, "get", 3*time.Millisecond)
	m.Rejected(ctx, route)
	m.LostAnswer(ctx, route)
	m.ColdStart(ctx, route, OutcomeReady, 20*time.Second)
	m.ColdStart(ctx, route, OutcomeTimeout, time.Minute)
	m.ColdStart(ctx, route, OutcomeCancelled, time.Second)

	want, err := os.ReadFile(filepath.Join("testdata", "metrics.golden"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(string(want)), "\n"), scrape(out)); diff != "" {
		t.Errorf("the metrics have changed (-frozen +now):\n%s", diff)
	}
}

func TestRecordingARequestAllocatesNothing(t *testing.T) {
	m, _ := newMetrics(t, nil)
	ctx := t.Context()
	for _, test := range []struct {
		reason string
		x      *exchange.Exchange
	}{
		{"of a route", &exchange.Exchange{Route: &exchange.Route{Namespace: "apps", Name: "llm"}}},
		{"of no route", &exchange.Exchange{}},
	} {
		m.Request(ctx, test.x, http.StatusOK, http.MethodGet, time.Second)
		if n := testing.AllocsPerRun(100, func() { m.Request(ctx, test.x, http.StatusOK, http.MethodGet, time.Second) }); n != 0 {
			t.Errorf("recording a request %s allocates %v times", test.reason, n)
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	out, err := telemetry.NewMetrics(telemetry.Options{Prometheus: true})
	if err != nil {
		b.Fatal(err)
	}
	m, err := New(out.Provider(), nil)
	if err != nil {
		b.Fatal(err)
	}
	x := &exchange.Exchange{Route: &exchange.Route{Namespace: "apps", Name: "llm"}}
	b.ReportAllocs()
	for b.Loop() {
		m.Request(b.Context(), x, http.StatusOK, http.MethodGet, time.Second)
	}
}
