package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/kedacore/http-add-on/pkg/lifecycle"
)

// drainTimeout bounds the drain. No call takes long.
const drainTimeout = 5 * time.Second

// listen opens the ports here, so that a port in use fails the start.
func (a *App) listen(deps Deps) error {
	a.listeners = listeners{grpc: deps.GRPC, metrics: deps.Metrics}
	l := &a.listeners
	port := func(port int, served bool) string { return lifecycle.Numbered("", port, served) }
	return lifecycle.Listen(
		lifecycle.Port{Name: "gRPC", Address: port(a.cfg.Port, true), Listener: &l.grpc},
		lifecycle.Port{Name: "metrics", Address: port(a.cfg.Telemetry.PrometheusPort, a.cfg.Telemetry.Prometheus), Listener: &l.metrics},
		lifecycle.Port{Name: "profiling", Address: a.cfg.ProfilingAddress, Listener: &l.pprof},
	)
}

// Run serves until ctx ends, and then stops as a lifecycle.Process does.
func (a *App) Run(ctx context.Context) error {
	lifecycle.Warn(a.log, a.cfg.Warnings)
	return lifecycle.Process{
		Parts: []func(context.Context) error{
			func(ctx context.Context) error { return a.source.Run(ctx, sink{a}) },
			a.collector.Run,
			a.scaler.Run,
			a.serve,
		},
		Servers: []lifecycle.Server{
			{Name: "metrics", Handler: a.telemetry.Handler(), Listener: a.listeners.metrics},
			{Name: "pprof", Handler: lifecycle.Profiles(), Listener: a.listeners.pprof},
		},
		Ready:    a.ready,
		NotReady: func() { a.health.SetServingStatus(HealthReadiness, healthv1.HealthCheckResponse_NOT_SERVING) },
		Delay:    a.cfg.ShutdownDelay,
		Drain:    a.drain,
		Close:    a.telemetry.Shutdown,
		Log:      a.log,
	}.Run(ctx)
}

// ready makes the readiness probe succeed once the demand is complete.
func (a *App) ready(ctx context.Context) {
	a.log.Info("serving", "address", a.GRPCAddr().String(), "service", a.cfg.Target.Namespace+"/"+a.cfg.Target.Service)
	select {
	case <-ctx.Done():
	case <-a.collector.Ready():
		a.health.SetServingStatus(HealthReadiness, healthv1.HealthCheckResponse_SERVING)
		a.log.Info("received the first report of every interceptor, or timed out waiting")
	}
}

// serve answers gRPC until drain is called. That may happen before serve.
func (a *App) serve(context.Context) error {
	if err := a.grpc.Serve(limited(a.listeners.grpc)); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serving gRPC: %w", err)
	}
	return nil
}

// drain ends every stream without an error, so that KEDA opens it at another replica. It lets
// calls end, and then cuts those that do not.
func (a *App) drain() error {
	a.health.Shutdown()
	a.scaler.Stop()
	cut := time.AfterFunc(drainTimeout, a.grpc.Stop)
	defer cut.Stop()
	a.grpc.GracefulStop()
	return nil
}
