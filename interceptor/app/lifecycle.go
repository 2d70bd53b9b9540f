package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kedacore/http-add-on/pkg/httpserver"
	"github.com/kedacore/http-add-on/pkg/telemetry"
)

// stopTimeout bounds the end of what has nothing to drain.
const stopTimeout = 5 * time.Second

// flushTimeout is how long a collector may take for the last that it is sent.
const flushTimeout = 3 * time.Second

// listeners are what an App listens on; nil is a port that is not served.
type listeners struct{ proxy, proxyTLS, admin, metrics net.Listener }

// listen opens the ports, so that a port that is taken fails the start.
func (a *App) listen(deps Deps) error {
	l := listeners{proxy: deps.Proxy, proxyTLS: deps.ProxyTLS, admin: deps.Admin, metrics: deps.Metrics}
	ports := []struct {
		listener *net.Listener
		port     int
		wanted   bool
		what     string
	}{
		{&l.proxy, a.cfg.ProxyPort, true, "proxy"},
		{&l.proxyTLS, a.cfg.TLS.Port, a.cfg.TLS.Enabled, "TLS proxy"},
		{&l.admin, a.cfg.AdminPort, true, "admin"},
		{&l.metrics, a.cfg.Telemetry.PrometheusPort, a.cfg.Telemetry.Prometheus, "metrics"},
	}
	for i, p := range ports {
		if *p.listener != nil || !p.wanted {
			continue
		}
		opened, err := net.Listen("tcp", fmt.Sprintf(":%d", p.port))
		if err != nil {
			for _, before := range ports[:i] {
				if *before.listener != nil {
					_ = (*before.listener).Close()
				}
			}
			return fmt.Errorf("opening the %s port: %w", p.what, err)
		}
		*p.listener = opened
	}
	a.listeners = l
	return nil
}

// Run serves until ctx ends, and then stops in this order: not ready, a delay in
// which load balancers take notice, no new connections, a drain in which held
// requests still wake their targets, and last what they needed for that.
func (a *App) Run(ctx context.Context) error {
	for _, warning := range a.cfg.Warnings {
		a.log.Info("configuration", "reason", warning)
	}
	infrastructure, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, running := errgroup.WithContext(infrastructure)
	group.Go(func() error { return a.sync.Run(running, a.source) })
	group.Go(func() error { return a.proxy.Serve(a.listeners.proxy) })
	group.Go(func() error { return a.admin.Serve(a.listeners.admin) })
	if a.certificates != nil {
		group.Go(func() error { return a.proxy.ServeTLS(a.listeners.proxyTLS) })
		group.Go(func() error { a.certificates.Run(running, a.log.WithName("certificates")); return nil })
	}
	if a.accessLog != nil {
		group.Go(func() error { a.accessLog.Run(running, a.log); return nil })
	}
	others := a.others()
	for _, o := range others {
		group.Go(o.serve)
	}
	a.log.Info("serving", "address", a.listeners.proxy.Addr().String(), "admin", a.listeners.admin.Addr().String())

	select {
	case <-ctx.Done():
		a.draining.Store(true)
		a.log.Info("stopping", "delay", a.cfg.ShutdownDelay.String(), "drain", a.cfg.DrainTimeout.String())
		after(running, a.cfg.ShutdownDelay)
	case <-running.Done():
		a.draining.Store(true)
	}

	err := a.drain()
	close(a.watchesDone)
	bounded, cancel := context.WithTimeout(infrastructure, stopTimeout)
	defer cancel()
	err = errors.Join(err, a.admin.Shutdown(bounded))
	for _, o := range others {
		err = errors.Join(err, o.server.Shutdown(bounded))
	}
	stop()
	err = errors.Join(err, group.Wait())
	a.forwarder.Close()
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

// drain lets what is in flight end. What does not end in time is cut, which is
// not an error of ours.
func (a *App) drain() error {
	ctx := context.Background()
	if a.cfg.DrainTimeout > 0 {
		bounded, cancel := context.WithTimeout(ctx, a.cfg.DrainTimeout)
		defer cancel()
		ctx = bounded
	}
	err := a.proxy.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		a.log.Info("requests were cut at the end of the drain", "reason", err.Error())
		return nil
	}
	return err
}

// other is a server beside proxy and admin.
type other struct {
	server *httpserver.Server
	serve  func() error
}

// others are the servers that the configuration asks for.
func (a *App) others() []other {
	var all []other
	if a.listeners.metrics != nil {
		server := httpserver.New(a.telemetry.Handler(), httpserver.Options{Log: a.log.WithName("metrics")})
		all = append(all, other{server, func() error { return server.Serve(a.listeners.metrics) }})
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
