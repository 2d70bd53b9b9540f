package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// scrapes are what a scrape of each component shows; tests keep them up to date.
var scrapes = []struct{ title, file string }{
	{"Interceptor", "interceptor/metrics/testdata/metrics.golden"},
	{"Scaler", "scaler/collect/testdata/metrics.golden"},
	{"Operator", "operator/wake/testdata/metrics.golden"},
}

// labels describes the labels: the code has no place for that. A label that is
// missing here is an error.
var labels = map[string]string{
	"code":            "HTTP status that the client was meant to get: after a committed stream the backend's real one, 499 when the client had left",
	"method":          "HTTP method; `_OTHER` is every one that is not standard",
	"route_name":      "name of the InterceptorRoute or HTTPScaledObject; empty when no route matched",
	"route_namespace": "its namespace",
	"cold_start":      "`true` if the target had no ready endpoint when the request came",
	"phase":           "phase of a wake, as in `status.wake.phase`",
	"rule":            "the `name` of the static route that answered, or its place: `staticRoutes[0]`",
	"outcome":         "how the wait ended: `ready`, `timeout`, `cancelled`, `failed` or `shed`. `cancelled` means that the client left or its body failed. `failed` means that the target cannot wake, with `onFailure: Fail`. `shed` means that memory was short",
}

// metricsPage lists the metrics of each component, and the labels.
func metricsPage() ([]byte, error) {
	b := newPage("Metrics")
	fmt.Fprint(b, `
Interceptor and scaler serve Prometheus metrics at `+"`/metrics`"+` on port 2223 (`+"`OTEL_PROM_EXPORTER_PORT`"+`), together with
the metrics of the Go runtime and of the process. The operator serves its metrics and those of its controller library on
port 8443, over TLS and to clients that the API server authorizes. [Operations](../operations.md#what-to-watch) says what to
watch and what to alert on.

A collector gets the instruments of interceptor and scaler by OTLP. Their names have dots and no suffixes `+"`_total`"+` and `+"`_seconds`"+`, for example
`+"`interceptor.request.count`"+`. The status in `+"`code`"+` is a number.
`)
	used := map[string]bool{}
	for _, scrape := range scrapes {
		file, err := os.Open(scrape.file)
		if err != nil {
			return nil, fmt.Errorf("reading a scrape: %w", err)
		}
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(file)
		_ = file.Close() // it was only read
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", scrape.file, err)
		}
		fmt.Fprintf(b, "\n## %s\n\n| Metric | Type | Labels | |\n| --- | --- | --- | --- |\n", scrape.title)
		for _, name := range slices.Sorted(maps.Keys(families)) {
			metricRow(b, families[name], used)
		}
	}
	fmt.Fprint(b, "\n## Labels\n\n| Label | |\n| --- | --- |\n")
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if labels[name] == "" {
			return nil, fmt.Errorf("the label %s is not described in hack/docs", name)
		}
		fmt.Fprintf(b, "| `%s` | %s |\n", name, labels[name])
	}
	return b.Bytes(), nil
}

// metricRow writes the row of a metric and adds its labels to used.
func metricRow(b *bytes.Buffer, family *dto.MetricFamily, used map[string]bool) {
	var names []string
	series := family.GetMetric()[0]
	for _, label := range series.GetLabel() {
		used[label.GetName()] = true
		names = append(names, "`"+label.GetName()+"`")
	}
	slices.Sort(names)
	help := cell(family.GetHelp())
	if buckets := series.GetHistogram().GetBucket(); len(buckets) > 0 {
		help += "; buckets `"
		for _, bucket := range buckets[:len(buckets)-1] { // without +Inf
			help += fmt.Sprintf("%v ", bucket.GetUpperBound())
		}
		help = strings.TrimSuffix(help, " ") + "`"
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", family.GetName(), strings.ToLower(family.GetType().String()), strings.Join(names, ", "), help)
}
