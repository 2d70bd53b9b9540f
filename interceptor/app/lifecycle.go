package app

import (
	"context"
	"errors"
	"math"
	"net"
	"runtime/debug"

	"github.com/kedacore/http-add-on/interceptor/pressure"
	"github.com/kedacore/http-add-on/pkg/lifecycle"
)

// listeners are the open ports of an App; nil is a port that is not served.
type listeners struct{ proxy, proxyTLS, admin, metrics, pprof net.Listener }

// listen opens the ports, so that a port that is taken fails the start.
func (a *App) listen(deps Deps) error {
	a.listeners = listeners{proxy: deps.Proxy, proxyTLS: deps.ProxyTLS, admin: deps.Admin, metrics: deps.Metrics}
	l := &a.listeners
	port := func(port int, served bool) string { return lifecycle.Numbered(a.cfg.ListenAddress, port, served) }
	return lifecycle.Listen(
		lifecycle.Port{Name: "proxy", Address: port(a.cfg.ProxyPort, true), Listener: &l.proxy},
		lifecycle.Port{Name: "TLS proxy", Address: port(a.cfg.TLS.Port, a.cfg.TLS.Enabled), Listener: &l.proxyTLS},
		lifecycle.Port{Name: "admin", Address: port(a.cfg.AdminPort, true), Listener: &l.admin},
		lifecycle.Port{Name: "metrics", Address: port(a.cfg.Telemetry.PrometheusPort, a.cfg.Telemetry.Prometheus), Listener: &l.metrics},
		lifecycle.Port{Name: "profiling", Address: a.cfg.ProfilingAddress, Listener: &l.pprof},
	)
}

// Run serves until ctx ends, and then stops as a lifecycle.Process does.
func (a *App) Run(ctx context.Context) error {
	lifecycle.Warn(a.log, a.cfg.Warnings)
	return lifecycle.Process{
		Parts: a.parts(),
		Servers: []lifecycle.Server{
			{Name: "admin", Handler: a.admin, Listener: a.listeners.admin},
			{Name: "metrics", Handler: a.telemetry.Handler(), Listener: a.listeners.metrics},
			{Name: "pprof", Handler: lifecycle.Profiles(), Listener: a.listeners.pprof},
		},
		Ready: func(context.Context) {
			addresses := []any{"address", a.ProxyAddr().String(), "admin", a.AdminAddr().String()}
			if a.listeners.proxyTLS != nil {
				addresses = append(addresses, "tls", a.listeners.proxyTLS.Addr().String())
			}
			a.log.Info("serving", addresses...)
		},
		NotReady: func() { a.draining.Store(true) },
		Delay:    a.cfg.ShutdownDelay,
		Drain:    a.drain,
		Close: func(ctx context.Context) error {
			a.forwarder.Close()
			return a.telemetry.Shutdown(ctx)
		},
		Log: a.log,
	}.Run(ctx)
}

// parts are what requests need.
func (a *App) parts() []func(context.Context) error {
	parts := []func(context.Context) error{
		func(ctx context.Context) error { return a.sync.Run(ctx, a.source) },
		func(context.Context) error { return a.proxy.Serve(a.listeners.proxy) },
		func(ctx context.Context) error { a.cold.KeepWarm(ctx, a.sync.Warm, a.sync.Rewarmed()); return nil },
	}
	if a.certificates != nil {
		parts = append(parts,
			func(context.Context) error { return a.proxy.ServeTLS(a.listeners.proxyTLS) },
			func(ctx context.Context) error {
				a.certificates.Run(ctx, a.log.WithName("certificates"))
				return nil
			})
	}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		watch := pressure.Watch{Limit: limit, Read: pressure.Read, Waiting: a.cold.Waiting, Shed: a.shed, Log: a.log.WithName("pressure")}
		parts = append(parts, func(ctx context.Context) error { watch.Run(ctx); return nil })
	}
	if a.accessLog != nil {
		parts = append(parts, func(ctx context.Context) error { a.accessLog.Run(ctx, a.log); return nil })
	}
	return parts
}

// shed ends requests that wait. If none does, heads that are late take the memory.
func (a *App) shed(n int) int {
	if shed := a.cold.Shed(n); shed > 0 {
		return shed
	}
	return a.proxy.CloseLate()
}

// drain waits for requests in flight, and cuts those that do not end in time, without an error.
// Then it ends the streams of /queue, which report requests until then.
func (a *App) drain() error {
	defer close(a.watchesDone)
	a.log.Info("draining", "timeout", a.cfg.DrainTimeout.String())
	ctx := context.Background()
	if a.cfg.DrainTimeout > 0 {
		bounded, cancel := context.WithTimeout(ctx, a.cfg.DrainTimeout)
		defer cancel()
		ctx = bounded
	}
	err := a.proxy.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		a.log.Info("cut requests at the end of the drain", "reason", err.Error())
		return nil
	}
	return err
}
