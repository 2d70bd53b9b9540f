package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kedacore/http-add-on/interceptor/exchange"
	interceptor "github.com/kedacore/http-add-on/interceptor/metrics"
	"github.com/kedacore/http-add-on/pkg/demand"
	"github.com/kedacore/http-add-on/pkg/queue"
	"github.com/kedacore/http-add-on/pkg/telemetry"
	"github.com/kedacore/http-add-on/scaler/collect"
)

// labels are what the labels say: the code has no place for that. A label that is
// not here fails the generator.
var labels = map[string]string{
	"code":            "HTTP status that the client was meant to get: after a committed stream the backend's real one, 499 when the client had left",
	"method":          "HTTP method; `_OTHER` is every one that is not standard",
	"route_name":      "name of the InterceptorRoute or HTTPScaledObject; empty when no route matched",
	"route_namespace": "its namespace",
	"cold_start":      "`true` if the target had no ready endpoint when the request came",
	"outcome":         "how the wait ended: `ready`, `timeout`, or `cancelled` (the client left, or its body failed)",
}

// metricsPage measures one of everything, and lists what a scrape then shows.
func metricsPage(known map[string]bool) ([]byte, error) {
	b := generated("Metrics")
	fmt.Fprint(b, `
Interceptor and scaler serve Prometheus metrics at `+"`/metrics`"+` on port 2223 (`+"`OTEL_PROM_EXPORTER_PORT`"+`), with those of
the Go runtime and of the process beside these. The operator serves those of its controller library on port 8443, by TLS
and to whom the API server allows it. What to watch and what to alert on stands in [operations](../operations.md#what-to-watch).
`)
	used := map[string]bool{}
	for _, component := range []struct {
		title   string
		measure func(*telemetry.Metrics) error
	}{
		{"interceptor", measureInterceptor},
		{"scaler", measureScaler},
	} {
		families, err := scrape(component.measure)
		if err != nil {
			return nil, fmt.Errorf("measuring for the page of metrics: %w", err)
		}
		fmt.Fprintf(b, "\n## %s\n\n| Metric | Type | Labels | |\n| --- | --- | --- | --- |\n", strings.ToUpper(component.title[:1])+component.title[1:])
		for _, name := range slices.Sorted(maps.Keys(families)) {
			if !strings.HasPrefix(name, component.title+"_") {
				continue // the Go runtime's
			}
			known[name] = true
			row(b, name, families[name], used)
		}
	}
	fmt.Fprint(b, "\n## Labels\n\n| Label | |\n| --- | --- |\n")
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if labels[name] == "" {
			return nil, fmt.Errorf("the label %s is not explained in hack/docs", name)
		}
		fmt.Fprintf(b, "| `%s` | %s |\n", name, labels[name])
	}
	return b.Bytes(), nil
}

// metric is one of a scrape, with what its series show.
type metric struct {
	kind, help string
	labels     map[string]bool
	// buckets are the upper bounds of a histogram.
	buckets []string
}

func row(b *bytes.Buffer, name string, m *metric, used map[string]bool) {
	var shown []string
	for _, label := range slices.Sorted(maps.Keys(m.labels)) {
		used[label] = true
		shown = append(shown, "`"+label+"`")
	}
	help := cell(m.help)
	if len(m.buckets) > 0 {
		help += "; buckets " + strings.Join(m.buckets, " ")
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", name, m.kind, strings.Join(shown, ", "), help)
}

// scrape measures and returns what Prometheus would be shown.
func scrape(measure func(*telemetry.Metrics) error) (map[string]*metric, error) {
	out, err := telemetry.NewMetrics(telemetry.Options{Prometheus: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Shutdown(context.Background()) }() // nothing is sent
	if err := measure(out); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	out.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return exposition(w.Body.String()), nil
}

var labelPattern = regexp.MustCompile(`([a-z_]+)="([^"]*)"`)

// exposition reads Prometheus' text format, as far as the page needs it: the
// series of a metric follow its HELP and TYPE.
func exposition(text string) map[string]*metric {
	all := map[string]*metric{}
	current := &metric{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if help, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, help, _ := strings.Cut(help, " ")
			current = &metric{help: help, labels: map[string]bool{}}
			all[name] = current
			continue
		}
		if kind, ok := strings.CutPrefix(line, "# TYPE "); ok {
			_, current.kind, _ = strings.Cut(kind, " ")
			continue
		}
		for _, label := range labelPattern.FindAllStringSubmatch(line, -1) {
			switch name, value := label[1], label[2]; {
			case name != "le":
				current.labels[name] = true
			case value != "+Inf" && !slices.Contains(current.buckets, value):
				current.buckets = append(current.buckets, value)
			}
		}
	}
	return all
}

func measureInterceptor(out *telemetry.Metrics) error {
	route := &exchange.Route{Namespace: "apps", Name: "app"}
	m, err := interceptor.New(out.Provider(), func(observe func(namespace, name string, inFlight int64)) {
		observe(route.Namespace, route.Name, 1)
	})
	if err != nil {
		return err
	}
	ctx := context.Background()
	m.Request(ctx, &exchange.Exchange{Route: route}, http.StatusOK, http.MethodGet, time.Second)
	m.Rejected(ctx, route)
	m.LostAnswer(ctx, route)
	m.ColdStart(ctx, route, interceptor.OutcomeReady, time.Second)
	return nil
}

// measureScaler has a Collector hear one interceptor.
func measureScaler(out *telemetry.Metrics) error {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		body, err := json.Marshal(queue.Event{Type: queue.Snapshot, Counts: queue.Counts{}})
		if err == nil {
			w.Header().Set("Content-Type", "application/x-ndjson")
			_, _ = io.WriteString(w, string(body)+"\n")
		}
	}))
	defer server.Close()
	collector, err := collect.New(collect.Options{
		Demand: demand.New(), PollInterval: time.Second, Timeout: 10 * time.Second, Meters: out.Provider(),
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- collector.Run(ctx) }()
	collector.List(map[string]string{"interceptor": strings.TrimPrefix(server.URL, "http://")})
	collector.Synced()
	select {
	case <-collector.Ready():
	case <-ctx.Done():
	}
	stop()
	return <-ended
}
