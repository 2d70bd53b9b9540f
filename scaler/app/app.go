// Package app puts the scaler together: its parts (app.go), what it reads from the cluster
// (cluster.go), and its start and stop (lifecycle.go). Only main packages and tests import it.
package app

import (
	"context"
	"fmt"
	"net"
	"runtime/debug"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc/filters"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/klog/v2"
	kubeconfig "sigs.k8s.io/controller-runtime/pkg/client/config"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/kedacore/http-add-on/pkg/demand"
	"github.com/kedacore/http-add-on/pkg/telemetry"
	"github.com/kedacore/http-add-on/scaler/collect"
	"github.com/kedacore/http-add-on/scaler/config"
	"github.com/kedacore/http-add-on/scaler/externalscaler"
	"github.com/kedacore/http-add-on/scaler/externalscaler/pb"
)

// The gRPC health services that probes ask for: a frozen contract (0.16).
const (
	HealthLiveness  = "liveness"
	HealthReadiness = "readiness"
)

// Deps are the dependencies of an App. New creates those that are nil.
type Deps struct {
	// Source of routes and interceptors. Required.
	Source Source
	// GRPC and Metrics are listeners that replace the configured ports.
	GRPC, Metrics net.Listener
	// DialContext opens connections to interceptors.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// Log of the process.
	Log logr.Logger
}

// App is a scaler.
type App struct {
	cfg       config.Config
	source    Source
	log       logr.Logger
	telemetry *telemetry.Telemetry
	demand    *demand.Aggregate
	collector *collect.Collector
	slices    *collect.Slices
	routes    *externalscaler.Routes
	scaler    *externalscaler.Server
	health    *health.Server
	grpc      *grpc.Server
	listeners listeners
}

// listeners are the open ports of an App; nil means that the port is not served.
type listeners struct{ grpc, metrics, pprof net.Listener }

// NewOnCluster returns a scaler for the cluster that the process runs in, or that its kubeconfig
// names.
func NewOnCluster(cfg config.Config, log logr.Logger) (*App, error) {
	ctrllog.SetLogger(log)
	klog.SetLogger(log.WithName("client-go"))
	otel.SetErrorHandler(telemetry.ErrorHandler(log.WithName("telemetry")))
	cluster, err := kubeconfig.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	source, err := NewClusterSource(cluster, cfg.Target, cfg.ResyncPeriod)
	if err != nil {
		return nil, err
	}
	return New(cfg, Deps{Source: source, Log: log})
}

// New returns a scaler that listens, but serves nothing until Run.
func New(cfg config.Config, deps Deps) (*App, error) {
	a := &App{cfg: cfg, source: deps.Source, log: deps.Log, demand: demand.New()}
	var err error
	a.telemetry, err = telemetry.New(cfg.Telemetry, a.log.WithName("telemetry"))
	if err != nil {
		return nil, fmt.Errorf("starting telemetry: %w", err)
	}
	a.collector, err = collect.New(collect.Options{
		Demand:       a.demand,
		PollInterval: cfg.QueueTick,
		Timeout:      cfg.FetchTimeout(),
		DialContext:  deps.DialContext,
		Meters:       a.telemetry.Provider(),
		Traces:       a.telemetry.Traces(),
		Log:          a.log.WithName("interceptors"),
		Service:      cfg.Target.Namespace + "/" + cfg.Target.Service,
		Deployment:   cfg.Target.Namespace + "/" + cfg.Target.Deployment,
	})
	if err != nil {
		return nil, err
	}
	a.slices = collect.NewSlices(a.collector, cfg.Target.Port)
	a.routes = externalscaler.NewRoutes(a.demand)
	a.scaler = externalscaler.New(externalscaler.Options{
		Demand: a.demand, Routes: a.routes, Ready: a.collector.Ready(), Spacing: cfg.StreamInterval,
	})
	a.health = health.NewServer()
	a.health.SetServingStatus(HealthLiveness, healthv1.HealthCheckResponse_SERVING)
	a.health.SetServingStatus(HealthReadiness, healthv1.HealthCheckResponse_NOT_SERVING)
	a.grpc = grpc.NewServer(append(limits(cfg.Streams(debug.SetMemoryLimit(-1))), traced(a.telemetry.Traces()))...)
	pb.RegisterExternalScalerServer(a.grpc, a.scaler)
	healthv1.RegisterHealthServer(a.grpc, a.health)
	if err := a.listen(deps); err != nil {
		return nil, err
	}
	return a, nil
}

// traced records a span for each call of KEDA, in KEDA's trace if the call carries one. Probes
// get no span.
func traced(traces trace.TracerProvider) grpc.ServerOption {
	if traces == nil {
		return grpc.EmptyServerOption{}
	}
	return grpc.StatsHandler(otelgrpc.NewServerHandler(
		otelgrpc.WithTracerProvider(traces),
		otelgrpc.WithMeterProvider(noop.NewMeterProvider()),
		otelgrpc.WithPropagators(propagation.TraceContext{}),
		otelgrpc.WithFilter(filters.Not(filters.HealthCheck())),
	))
}

// GRPCAddr returns the address that KEDA connects to.
func (a *App) GRPCAddr() net.Addr { return a.listeners.grpc.Addr() }

// sink takes what the source reports.
type sink struct{ *App }

func (s sink) SetRoute(u *unstructured.Unstructured)        { s.routes.Set(u) }
func (s sink) DeleteRoute(u *unstructured.Unstructured)     { s.routes.Delete(u) }
func (s sink) SetSlice(slice *discoveryv1.EndpointSlice)    { s.slices.Set(slice) }
func (s sink) DeleteSlice(slice *discoveryv1.EndpointSlice) { s.slices.Delete(slice) }

// Synced implements Sink.
func (s sink) Synced() {
	s.demand.Begin()
	s.routes.Synced()
	s.collector.Synced()
}
