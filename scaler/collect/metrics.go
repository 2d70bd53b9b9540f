package collect

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// The meter and its instruments as OTLP shows them, a frozen contract (0.16). The
// Prometheus exporter writes underscores for dots and adds the suffixes of counters
// (_total) and units (_seconds).
const (
	scope = "keda-external-scaler"

	nameDuration    = "scaler.pinger.fetch.duration"
	nameErrors      = "scaler.pinger.fetch.errors"
	nameEndpoints   = "scaler.pinger.endpoints"
	nameUnreachable = "scaler.pinger.unreachable_pods"
)

// measurements are the instruments of a Collector.
type measurements struct {
	duration    metric.Float64Histogram
	errors      metric.Int64Counter
	listed      atomic.Int64
	unreachable atomic.Int64
}

func newMeasurements(provider metric.MeterProvider) (*measurements, error) {
	m := &measurements{}
	meter := provider.Meter(scope)
	var err error
	if m.duration, err = meter.Float64Histogram(nameDuration, metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5),
		metric.WithDescription("Time from asking an interceptor for its counts to having all of them")); err != nil {
		return nil, fmt.Errorf("creating instrument %s: %w", nameDuration, err)
	}
	if m.errors, err = meter.Int64Counter(nameErrors,
		metric.WithDescription("Interceptors that could not be asked, and streams that broke")); err != nil {
		return nil, fmt.Errorf("creating instrument %s: %w", nameErrors, err)
	}
	for _, gauge := range []struct {
		name, description string
		value             *atomic.Int64
	}{
		{nameEndpoints, "Interceptors that are listed", &m.listed},
		{nameUnreachable, "Listed interceptors that could not be reached when last tried", &m.unreachable},
	} {
		if _, err = meter.Int64ObservableGauge(gauge.name, metric.WithDescription(gauge.description),
			metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
				o.Observe(gauge.value.Load())
				return nil
			})); err != nil {
			return nil, fmt.Errorf("creating instrument %s: %w", gauge.name, err)
		}
	}
	// Alerts need the counter to exist before the first error.
	m.errors.Add(context.Background(), 0)
	return m, nil
}

// fetched records how long one fetch of all counts of an interceptor took.
func (m *measurements) fetched(ctx context.Context, took time.Duration) {
	m.duration.Record(ctx, took.Seconds())
}
