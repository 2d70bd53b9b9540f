package metrics

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/pkg/telemetry"
	"github.com/kedacore/http-add-on/tests/support/otlp"
)

func newMetrics(t *testing.T, gauges Gauges) (*Metrics, *telemetry.Metrics) {
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
	m, err := New(out.Provider(), gauges)
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
	m, out := newMetrics(t, gauges())
	record(t.Context(), m)

	want, err := os.ReadFile(filepath.Join("testdata", "metrics.golden"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(string(want)), "\n"), scrape(out)); diff != "" {
		t.Errorf("the metrics have changed (-frozen +now):\n%s", diff)
	}
}

func gauges() Gauges {
	return Gauges{
		Concurrency: func(observe func(namespace, name string, value int64)) {
			observe("apps", "llm", 3)
			observe("apps", "web", 0)
		},
		ReadyEndpoints: func(observe func(namespace, name string, value int64)) {
			observe("apps", "llm", 2)
			observe("apps", "web", 0)
		},
	}
}

// record uses every instrument.
func record(ctx context.Context, m *Metrics) {
	route := &exchange.Route{Namespace: "apps", Name: "llm"}
	m.Request(ctx, &exchange.Exchange{Route: route, Cold: true}, http.StatusOK, http.MethodPost, 42*time.Second)
	m.Request(ctx, &exchange.Exchange{Route: route}, http.StatusOK, http.MethodPost, 60*time.Millisecond)
	m.Request(ctx, &exchange.Exchange{}, http.StatusNotFound, "BREW", 2*time.Millisecond)
	m.Request(ctx, &exchange.Exchange{}, http.StatusNotFound, "get", 3*time.Millisecond)
	m.Rejected(ctx, route)
	m.LostAnswer(ctx, route)
	m.WakeIgnored(ctx, route, "robots")
	m.ColdStart(ctx, route, OutcomeReady, 20*time.Second)
	m.ColdStart(ctx, route, OutcomeTimeout, time.Minute)
	m.ColdStart(ctx, route, OutcomeCancelled, time.Second)
}

// Whoever sends metrics to a collector has dashboards on these names and types (0.16).
func TestInstrumentsAreFrozen(t *testing.T) {
	reader := sdk.NewManualReader()
	m, err := New(sdk.NewMeterProvider(sdk.WithReader(reader)), gauges())
	if err != nil {
		t.Fatal(err)
	}
	record(t.Context(), m)
	const durations = "[0.005 0.01 0.025 0.05 0.075 0.1 0.25 0.5 0.75 1 2.5 5 7.5 10 15 30 60 120 300]"
	want := []string{
		"keda-interceptor-proxy interceptor.cold_start.duration histogram " + durations + " outcome:string route_name:string route_namespace:string s",
		"keda-interceptor-proxy interceptor.cold_start.lost_answers counter route_name:string route_namespace:string",
		"keda-interceptor-proxy interceptor.cold_start.rejections counter route_name:string route_namespace:string",
		"keda-interceptor-proxy interceptor.request.concurrency up-down counter route_name:string route_namespace:string",
		"keda-interceptor-proxy interceptor.request.count counter code:int64 cold_start:string method:string route_name:string route_namespace:string",
		"keda-interceptor-proxy interceptor.request.duration histogram " + durations + " code:int64 cold_start:string method:string route_name:string route_namespace:string s",
		"keda-interceptor-proxy interceptor.route.ready_endpoints gauge route_name:string route_namespace:string",
		"keda-interceptor-proxy interceptor.wake.ignored counter route_name:string route_namespace:string rule:string",
	}
	if diff := cmp.Diff(want, otlp.Instruments(t, reader)); diff != "" {
		t.Errorf("the instruments have changed (-frozen +now):\n%s", diff)
	}
}

// A backend chooses its statuses, and clients their methods: neither may inflate a page of
// metrics.
func TestSeriesOfARouteAreBounded(t *testing.T) {
	m, out := newMetrics(t, Gauges{})
	odd := &exchange.Exchange{Route: &exchange.Route{Namespace: "apps", Name: "odd"}}
	for _, code := range []int{200, 299, 287, 499, 599, 700, 999} {
		m.Request(t.Context(), odd, code, http.MethodGet, time.Second)
	}
	many := &exchange.Exchange{Route: &exchange.Route{Namespace: "apps", Name: "many"}}
	total := 0
	for code := 100; code < 1000; code++ {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
			m.Request(t.Context(), many, code, method, time.Second)
			total++
		}
	}
	got, series, overflowed := map[string]string{}, 0, 0
	for _, line := range scrape(out) {
		name, value, _ := strings.Cut(line, "} ")
		switch {
		case !strings.HasPrefix(name, "interceptor_request_count_total{"):
		case strings.Contains(name, `route_name="odd"`):
			_, code, _ := strings.Cut(name, `code="`)
			got[code[:3]] = value
		case strings.Contains(name, `otel_metric_overflow="true"`):
			overflowed++
			fallthrough
		default:
			series++
			n, err := strconv.Atoi(value)
			if err != nil {
				t.Fatal(err)
			}
			total -= n
		}
	}
	if diff := cmp.Diff(map[string]string{"200": "3", "499": "1", "500": "1", "700": "1", "900": "1"}, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	if series != maxSeries+1 || overflowed != 1 || total != 0 {
		t.Errorf("%d series, %d of them the overflow's, and %d requests are not counted", series, overflowed, total)
	}
}

func TestRecordingARequestAllocatesNothing(t *testing.T) {
	m, _ := newMetrics(t, Gauges{})
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
	m, err := New(out.Provider(), Gauges{})
	if err != nil {
		b.Fatal(err)
	}
	x := &exchange.Exchange{Route: &exchange.Route{Namespace: "apps", Name: "llm"}}
	b.ReportAllocs()
	for b.Loop() {
		m.Request(b.Context(), x, http.StatusOK, http.MethodGet, time.Second)
	}
}
