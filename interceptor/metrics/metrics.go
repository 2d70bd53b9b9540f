// Package metrics is what the interceptor measures. The names, labels and
// buckets are a frozen contract with dashboards and alerts (0.16). It must not
// know how measurements leave the process.
package metrics

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/exchange"
)

// The meter and its instruments as OTLP shows them. The Prometheus exporter writes
// underscores for dots and adds the suffixes of counters (_total) and units (_seconds).
const (
	scope = "keda-interceptor-proxy"

	nameRequests    = "interceptor.request.count"
	nameConcurrency = "interceptor.request.concurrency"
	nameDuration    = "interceptor.request.duration"
	nameRejections  = "interceptor.cold_start.rejections"
	nameColdStart   = "interceptor.cold_start.duration"
	nameLostAnswers = "interceptor.cold_start.lost_answers"
	nameEndpoints   = "interceptor.route.ready_endpoints"
	nameWakeIgnored = "interceptor.wake.ignored"
)

// Labels.
const (
	labelCode      = "code"
	labelMethod    = "method"
	labelName      = "route_name"
	labelNamespace = "route_namespace"
	labelColdStart = "cold_start"
	labelOutcome   = "outcome"
	labelRule      = "rule"
)

// otherMethod stands for every method that is not of RFC 9110 or PATCH: the
// label is bounded, whatever clients send.
const otherMethod = "_OTHER"

// buckets of durations, in seconds.
func buckets() metric.HistogramOption {
	return metric.WithExplicitBucketBoundaries(.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 15, 30, 60, 120, 300)
}

// Outcome is how the wait of a cold request ended.
type Outcome string

// The outcomes.
const (
	OutcomeReady     Outcome = "ready"
	OutcomeTimeout   Outcome = "timeout"
	OutcomeCancelled Outcome = "cancelled"
	// OutcomeFailed is of a request whose target cannot wake.
	OutcomeFailed Outcome = "failed"
	// OutcomeShed is of a request that was ended for want of memory.
	OutcomeShed Outcome = "shed"
)

// PerRoute calls observe with a value of every route. It is called at every scrape, from
// any goroutine.
type PerRoute func(observe func(namespace, name string, value int64))

// Gauges are the values that are read at every scrape. Those that are nil are left out.
type Gauges struct {
	// Concurrency is the requests in flight.
	Concurrency PerRoute
	// ReadyEndpoints is the ready endpoints of the target.
	ReadyEndpoints PerRoute
}

// Metrics are the instruments of one interceptor. Safe for concurrent use.
// Recording a request allocates nothing once a request of its kind was recorded.
type Metrics struct {
	requests   metric.Int64Counter
	duration   metric.Float64Histogram
	rejections metric.Int64Counter
	coldStart  metric.Float64Histogram
	lost       metric.Int64Counter
	ignored    metric.Int64Counter

	// unrouted is the cache of requests that matched no route.
	unrouted exchange.Series
}

// New makes the instruments.
func New(provider metric.MeterProvider, gauges Gauges) (*Metrics, error) {
	m := &Metrics{}
	meter := provider.Meter(scope)
	var err error
	if m.requests, err = meter.Int64Counter(nameRequests,
		metric.WithDescription("Requests answered, by route and status")); err != nil {
		return nil, fmt.Errorf("creating instrument %s: %w", nameRequests, err)
	}
	if m.duration, err = meter.Float64Histogram(nameDuration, metric.WithUnit("s"), buckets(),
		metric.WithDescription("Time from the arrival of a request to the end of its response")); err != nil {
		return nil, fmt.Errorf("creating instrument %s: %w", nameDuration, err)
	}
	if m.rejections, err = meter.Int64Counter(nameRejections,
		metric.WithDescription("Cold requests that found every place taken")); err != nil {
		return nil, fmt.Errorf("creating instrument %s: %w", nameRejections, err)
	}
	if m.coldStart, err = meter.Float64Histogram(nameColdStart, metric.WithUnit("s"), buckets(),
		metric.WithDescription("How long cold requests waited for an endpoint")); err != nil {
		return nil, fmt.Errorf("creating instrument %s: %w", nameColdStart, err)
	}
	if m.lost, err = meter.Int64Counter(nameLostAnswers,
		metric.WithDescription("Successful answers that a stream replaced by a failure, as they were neither a stream nor JSON of the API")); err != nil {
		return nil, fmt.Errorf("creating instrument %s: %w", nameLostAnswers, err)
	}
	if m.ignored, err = meter.Int64Counter(nameWakeIgnored,
		metric.WithDescription("Requests that found their target asleep and did not wake it, as a static route answered them")); err != nil {
		return nil, fmt.Errorf("creating instrument %s: %w", nameWakeIgnored, err)
	}
	if gauges.Concurrency != nil {
		if _, err = meter.Int64ObservableUpDownCounter(nameConcurrency,
			metric.WithDescription("Requests in flight, by route"), metric.WithInt64Callback(gauges.Concurrency.observe)); err != nil {
			return nil, fmt.Errorf("creating instrument %s: %w", nameConcurrency, err)
		}
	}
	if gauges.ReadyEndpoints != nil {
		if _, err = meter.Int64ObservableGauge(nameEndpoints,
			metric.WithDescription("Ready endpoints of the target, by route; 0 while it sleeps or wakes"), metric.WithInt64Callback(gauges.ReadyEndpoints.observe)); err != nil {
			return nil, fmt.Errorf("creating instrument %s: %w", nameEndpoints, err)
		}
	}
	return m, nil
}

// observe is the callback of an instrument.
func (p PerRoute) observe(_ context.Context, o metric.Int64Observer) error {
	p(func(namespace, name string, value int64) {
		o.Observe(value, metric.WithAttributeSet(routeAttributes(namespace, name)))
	})
	return nil
}

// Request records a request that is over. code is what the client was meant to
// get (499 if it had left).
func (m *Metrics) Request(ctx context.Context, x *exchange.Exchange, code int, method string, took time.Duration) {
	var namespace, name string
	cache := &m.unrouted
	if x.Route != nil {
		namespace, name = x.Route.Namespace, x.Route.Name
		cache = &x.Route.Series
	}
	s := seriesOf(cache, seriesKey{code: status(code), method: Method(method), cold: x.Cold}, namespace, name)
	m.requests.Add(ctx, 1, s.add...)
	m.duration.Record(ctx, took.Seconds(), s.record...)
}

// Rejected counts a cold request of a route that found every place taken.
func (m *Metrics) Rejected(ctx context.Context, route *exchange.Route) {
	m.rejections.Add(ctx, 1, metric.WithAttributeSet(routeAttributes(route.Namespace, route.Name)))
}

// LostAnswer counts a successful answer that a stream replaced by a failure.
func (m *Metrics) LostAnswer(ctx context.Context, route *exchange.Route) {
	m.lost.Add(ctx, 1, metric.WithAttributeSet(routeAttributes(route.Namespace, route.Name)))
}

// WakeIgnored counts a request that found its target asleep and did not wake it. rule names
// the static route that answered.
func (m *Metrics) WakeIgnored(ctx context.Context, route *exchange.Route, rule string) {
	m.ignored.Add(ctx, 1, metric.WithAttributeSet(attribute.NewSet(
		attribute.String(labelRule, rule), attribute.String(labelName, route.Name), attribute.String(labelNamespace, route.Namespace))))
}

// ColdStart records how long a cold request waited, and how that ended.
func (m *Metrics) ColdStart(ctx context.Context, route *exchange.Route, outcome Outcome, waited time.Duration) {
	record, ok := route.Series.Load(outcome)
	if !ok {
		// A set needs 5 KiB of stack while it is made. Each of thousands of requests that are
		// released together would grow its stack for it.
		set := metric.WithAttributeSet(attribute.NewSet(attribute.String(labelOutcome, string(outcome)),
			attribute.String(labelName, route.Name), attribute.String(labelNamespace, route.Namespace)))
		record, _ = route.Series.LoadOrStore(outcome, []metric.RecordOption{set})
	}
	m.coldStart.Record(ctx, waited.Seconds(), record.([]metric.RecordOption)...)
}

// status returns the status, or its class for one that no one has registered: a backend may
// answer with 900 different ones.
func status(code int) int {
	if http.StatusText(code) != "" || code == clienterror.StatusClientClosedRequest {
		return code
	}
	return code / 100 * 100
}

// maxSeries is how many series a route may have. Further requests are recorded under the
// attributes of overflow.
const maxSeries = 64

// overflow, in place of a code and a method, is as OpenTelemetry marks what exceeds a
// cardinality limit (Metrics SDK, "Overflow attribute").
const overflow = "otel.metric.overflow"

// seriesKey names one series of a route's request metrics. Method is a standard method or
// "_OTHER". The zero key is that of the overflow.
type seriesKey struct {
	code   int
	method string
	cold   bool
}

// series are the attributes of one series, in the slices that the instruments take:
// building those for each request would allocate them.
type series struct {
	add    []metric.AddOption
	record []metric.RecordOption
}

// seriesOf returns a series, making it on first use.
func seriesOf(cache *exchange.Series, key seriesKey, namespace, name string) *series {
	if known, ok := cache.Load(key); ok {
		return known.(*series)
	}
	attributes := []attribute.KeyValue{attribute.String(labelName, name), attribute.String(labelNamespace, namespace)}
	if key != (seriesKey{}) {
		if cache.Count.Add(1) > maxSeries {
			cache.Count.Add(-1)
			return seriesOf(cache, seriesKey{}, namespace, name)
		}
		attributes = append(attributes, attribute.Int(labelCode, key.code),
			attribute.String(labelMethod, key.method), attribute.String(labelColdStart, strconv.FormatBool(key.cold)))
	} else {
		attributes = append(attributes, attribute.Bool(overflow, true))
	}
	option := metric.WithAttributeSet(attribute.NewSet(attributes...))
	made, loaded := cache.LoadOrStore(key, &series{add: []metric.AddOption{option}, record: []metric.RecordOption{option}})
	if loaded && key != (seriesKey{}) {
		cache.Count.Add(-1) // another goroutine made the same
	}
	return made.(*series)
}

func routeAttributes(namespace, name string) attribute.Set {
	return attribute.NewSet(attribute.String(labelName, name), attribute.String(labelNamespace, namespace))
}

// Method returns the method, or what stands for all that are not of RFC 9110 or
// PATCH.
func Method(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return otherMethod
}
