package otlp

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// Instruments returns what a collector would see of each instrument, one line each:
// meter, name, kind, unit, buckets, and the attributes with their types.
func Instruments(t testing.TB, reader sdk.Reader) []string {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			lines = append(lines, strings.Join(strings.Fields(fmt.Sprintln(scope.Scope.Name, m.Name, describe(m.Data), m.Unit)), " "))
		}
	}
	slices.Sort(lines)
	return lines
}

// describe returns the kind of an instrument and the attributes of its first point.
func describe(data metricdata.Aggregation) string {
	switch d := data.(type) {
	case metricdata.Sum[int64]:
		kind := "up-down counter"
		if d.IsMonotonic {
			kind = "counter"
		}
		return kind + types(d.DataPoints[0].Attributes)
	case metricdata.Gauge[int64]:
		return "gauge" + types(d.DataPoints[0].Attributes)
	case metricdata.Histogram[float64]:
		return fmt.Sprint("histogram ", d.DataPoints[0].Bounds) + types(d.DataPoints[0].Attributes)
	}
	return fmt.Sprintf("%T", data)
}

func types(attributes attribute.Set) string {
	var b strings.Builder
	for _, a := range attributes.ToSlice() {
		fmt.Fprintf(&b, " %s:%s", a.Key, strings.ToLower(a.Value.Type().String()))
	}
	return b.String()
}
