package exchange

import (
	"sync"

	"go.opentelemetry.io/otel/metric"
)

// Measurement names one series of a route's request metrics. Method is one of
// the standard methods or "_OTHER", so that the number of series is bounded.
type Measurement struct {
	// Code is the status that is recorded.
	Code int
	// Method of the request.
	Method string
	// Cold says that the request met no ready endpoint.
	Cold bool
}

// Measurements caches the attribute sets of a route's series, so that recording
// a request allocates nothing. The zero value is ready to use.
type Measurements struct{ cache sync.Map }

// Load returns the attributes of a series, making them on first use.
func (m *Measurements) Load(of Measurement, build func() metric.MeasurementOption) metric.MeasurementOption {
	if v, ok := m.cache.Load(of); ok {
		return v.(metric.MeasurementOption)
	}
	v, _ := m.cache.LoadOrStore(of, build())
	return v.(metric.MeasurementOption)
}
