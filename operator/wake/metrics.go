package wake

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// The histogram of phases. It has no label of routes: a thousand of them would be tens of
// thousands of series.
const (
	namePhaseDuration = "operator_wake_phase_duration_seconds"
	labelPhase        = "phase"
)

// newDurations returns the histogram of phases in a registry, which the operators of one
// process share.
func newDurations(registry prometheus.Registerer) (*prometheus.HistogramVec, error) {
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    namePhaseDuration,
		Help:    "How long wakes stayed in a phase that they left",
		Buckets: []float64{.5, 1, 2.5, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800},
	}, []string{labelPhase})
	err := registry.Register(durations)
	if other := (prometheus.AlreadyRegisteredError{}); errors.As(err, &other) {
		if shared, ok := other.ExistingCollector.(*prometheus.HistogramVec); ok {
			return shared, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("registering %s: %w", namePhaseDuration, err)
	}
	return durations, nil
}
