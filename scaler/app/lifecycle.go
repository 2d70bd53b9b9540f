package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/kedacore/http-add-on/pkg/httpserver"
	"github.com/kedacore/http-add-on/pkg/telemetry"
)

// stopTimeout bounds the end: nothing here takes long.
const stopTimeout = 5 * time.Second

// flushTimeout is how long a collector may take for the last that it is sent.
const flushTimeout = 3 * time.Second

// listen opens the ports, so that a port that is taken fails the start.
func (a *App) listen(deps Deps) error {
	a.grpcListener, a.metricsListener = deps.GRPC, deps.Metrics
	var err error
	if a.grpcListener == nil {
		if a.grpcListener, err = net.Listen("tcp", fmt.Sprintf(":%d", a.cfg.Port)); err != nil {
			return fmt.Errorf("opening the gRPC port: %w", err)
		}
	}
	if a.metricsListener == nil && a.cfg.Telemetry.Prometheus {
		if a.metricsListener, err = net.Listen("tcp", fmt.Sprintf(":%d", a.cfg.Telemetry.PrometheusPort)); err != nil {
			return errors.Join(fmt.Errorf("opening the metrics port: %w", err), a.grpcListener.Close())
		}
	}
	return nil
}

// Run serves until ctx ends, and then stops in this order: not ready; a delay in
// which the Service takes notice; every stream ends without an error, so that KEDA
// opens it at another replica as soon as it ever does; calls that are in flight are
// answered; last what they needed for that.
func (a *App) Run(ctx context.Context) error {
	infrastructure, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, running := errgroup.WithContext(infrastructure)
	group.Go(func() error { return a.source.Run(running, sink{a}) })
	group.Go(func() error { return a.collector.Run(running) })
	group.Go(func() error { return a.scaler.Run(running) })
	group.Go(a.serve)
	others := a.others()
	for _, o := range others {
		group.Go(o.serve)
	}
	a.log.Info("serving", "address", a.grpcListener.Addr().String(), "service", a.cfg.Target.Namespace+"/"+a.cfg.Target.Service)

	for ready := a.collector.Ready(); ctx.Err() == nil && running.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-running.Done():
		case <-ready:
			ready = nil
			a.health.SetServingStatus(HealthReadiness, healthv1.HealthCheckResponse_SERVING)
			a.log.Info("every interceptor that is listed was heard or given up")
		}
	}
	a.health.SetServingStatus(HealthReadiness, healthv1.HealthCheckResponse_NOT_SERVING)
	a.log.Info("stopping", "delay", a.cfg.ShutdownDelay.String())
	after(running, a.cfg.ShutdownDelay)
	a.health.Shutdown()
	a.scaler.Stop()
	a.drain()
	bounded, cancel := context.WithTimeout(infrastructure, stopTimeout)
	defer cancel()
	var err error
	for _, o := range others {
		err = errors.Join(err, o.server.Shutdown(bounded))
	}
	stop()
	err = errors.Join(err, group.Wait())
	flush, done := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer done()
	return errors.Join(err, a.telemetry.Shutdown(flush))
}

// after returns when d is over, or ctx.
func after(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// serve answers gRPC until drain is called, which may be before it.
func (a *App) serve() error {
	if err := a.grpc.Serve(a.grpcListener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serving gRPC: %w", err)
	}
	return nil
}

// drain lets calls end, and cuts those that do not.
func (a *App) drain() {
	cut := time.AfterFunc(stopTimeout, a.grpc.Stop)
	defer cut.Stop()
	a.grpc.GracefulStop()
}

// other is a server beside gRPC.
type other struct {
	server *httpserver.Server
	serve  func() error
}

// others are the servers that the configuration asks for.
func (a *App) others() []other {
	var all []other
	if a.metricsListener != nil {
		server := httpserver.New(a.telemetry.Handler(), httpserver.Options{Log: a.log.WithName("metrics")})
		all = append(all, other{server, func() error { return server.Serve(a.metricsListener) }})
	}
	if address := a.cfg.ProfilingAddress; address != "" {
		server := httpserver.New(telemetry.Profiles(), httpserver.Options{Log: a.log.WithName("pprof")})
		all = append(all, other{server, func() error {
			l, err := net.Listen("tcp", address)
			if err != nil {
				return fmt.Errorf("opening the profiling port: %w", err)
			}
			return server.Serve(l)
		}})
	}
	return all
}
