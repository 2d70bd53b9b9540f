// Package externalscaler answers KEDA: the metrics of a route, their values, and, on streams,
// that a client wants the route now. It must not know where the demand comes from.
package externalscaler

import (
	"context"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/demand"
	"github.com/kedacore/http-add-on/scaler/externalscaler/pb"
)

// Options configures a Server. All are required.
type Options struct {
	// Demand of the routes.
	Demand *demand.Aggregate
	// Routes are what they are scaled on.
	Routes *Routes
	// Ready is closed when Demand is complete. Before that KEDA gets no number, because it would
	// take a number that is too small for the truth and scale down.
	Ready <-chan struct{}
	// Spacing is the time between two "active" messages that are not urgent, over all streams.
	Spacing time.Duration
}

// Server is KEDA's external scaler.
type Server struct {
	pb.UnimplementedExternalScalerServer
	demand  *demand.Aggregate
	routes  *Routes
	ready   <-chan struct{}
	pacer   *pacer
	stopped chan struct{}
	stop    func()
}

// New returns a Server. Its streams live while Run does.
func New(o Options) *Server {
	stopped := make(chan struct{})
	return &Server{
		demand: o.Demand, routes: o.Routes, ready: o.Ready, pacer: newPacer(o.Demand, o.Spacing),
		stopped: stopped, stop: sync.OnceFunc(func() { close(stopped) }),
	}
}

// Run keeps the streams going until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	s.pacer.run(ctx)
	return nil
}

// Stop ends all current and future streams without an error. KEDA then opens them again at once,
// at another replica, rather than backing off.
func (s *Server) Stop() { s.stop() }

// IsActive implements pb.ExternalScalerServer.
func (s *Server) IsActive(_ context.Context, ref *pb.ScaledObjectRef) (*pb.IsActiveResponse, error) {
	_, state, err := s.measure(ref)
	if err != nil {
		return nil, err
	}
	return &pb.IsActiveResponse{Result: state.Active()}, nil
}

// GetMetricSpec implements pb.ExternalScalerServer. It needs only the routes, so that KEDA can
// create its HPA regardless of the interceptors.
func (s *Server) GetMetricSpec(_ context.Context, ref *pb.ScaledObjectRef) (*pb.GetMetricSpecResponse, error) {
	t, err := parse(ref)
	if err != nil {
		return nil, err
	}
	metrics, err := s.metrics(t)
	if err != nil {
		return nil, err
	}
	return specs(metrics), nil
}

// GetMetrics implements pb.ExternalScalerServer.
func (s *Server) GetMetrics(_ context.Context, request *pb.GetMetricsRequest) (*pb.GetMetricsResponse, error) {
	metrics, state, err := s.measure(request.GetScaledObjectRef())
	if err != nil {
		return nil, err
	}
	name := request.GetMetricName()
	response := &pb.GetMetricsResponse{}
	var names []string
	for _, m := range metrics {
		names = append(names, m.name)
		// The integer kinds have one metric, whatever name the call contains.
		if name == "" || name == m.name || m.whole {
			response.MetricValues = append(response.MetricValues, m.valueOf(state))
		}
	}
	if len(response.MetricValues) == 0 {
		return nil, status.Errorf(codes.NotFound, "there is no metric %q; the trigger's metrics are %q", name, names)
	}
	return response, nil
}

// measure returns the metrics of a trigger and the demand that they measure.
func (s *Server) measure(ref *pb.ScaledObjectRef) ([]metric, demand.State, error) {
	t, err := parse(ref)
	if err != nil {
		return nil, demand.State{}, err
	}
	metrics, err := s.metrics(t)
	if err != nil {
		return nil, demand.State{}, err
	}
	select {
	case <-s.ready:
	default:
		return nil, demand.State{}, status.Error(codes.Unavailable, "the scaler has just started and does not have the counts of all interceptors yet")
	}
	return metrics, s.demand.State(t.key()), nil
}

// metrics returns the metrics of a trigger.
func (s *Server) metrics(t trigger) ([]metric, error) {
	if t.fleet() {
		return []metric{{name: t.legacyName(), target: float64(t.pendingRequests), whole: true}}, nil
	}
	spec, err := s.routes.lookup(t.routeRef)
	if err != nil {
		return nil, err
	}
	return t.metrics(spec), nil
}

// metric is one metric of a trigger.
type metric struct {
	name   string
	target float64
	rate   bool // requests per second; else concurrency
	whole  bool // sent as integers: HTTPScaledObjects and the fleet
}

// metrics returns the metrics of a route.
func (t trigger) metrics(spec v1beta1.ScalingMetricSpec) []metric {
	var all []metric
	if c := spec.Concurrency; c != nil {
		all = append(all, metric{name: "http_" + t.name + "_concurrency", target: float64(c.TargetValue)})
	}
	if r := spec.RequestRate; r != nil {
		all = append(all, metric{name: "http_" + t.name + "_rate", target: float64(r.TargetValue), rate: true})
	}
	if t.kind == api.KindHTTPScaledObject {
		all = all[:1] // they exclude each other
		all[0].name, all[0].whole = t.legacyName(), true
	}
	return all
}

// specs returns metrics and their targets as KEDA reads them.
func specs(metrics []metric) *pb.GetMetricSpecResponse {
	response := &pb.GetMetricSpecResponse{}
	for _, m := range metrics {
		spec := &pb.MetricSpec{MetricName: m.name}
		if m.whole {
			spec.TargetSize = int64(m.target)
		} else {
			spec.TargetSizeFloat = m.target
		}
		response.MetricSpecs = append(response.MetricSpecs, spec)
	}
	return response
}

// tolerance keeps a rate that is whole except for rounding errors from being rounded up.
const tolerance = 1e-9

// valueOf returns the metric's value.
func (m metric) valueOf(state demand.State) *pb.MetricValue {
	value := float64(state.Concurrency())
	if m.rate {
		value = state.Rate
	}
	if m.whole {
		return &pb.MetricValue{MetricName: m.name, MetricValue: int64(math.Ceil(value - tolerance))}
	}
	return &pb.MetricValue{MetricName: m.name, MetricValueFloat: value}
}
