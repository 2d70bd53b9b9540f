package app

import (
	"github.com/kedacore/http-add-on/interceptor/coldstart"
	"github.com/kedacore/http-add-on/interceptor/middleware"
	"github.com/kedacore/http-add-on/interceptor/tracing"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// chain is the order in which a request meets the steps. Nothing else decides it.
func (a *App) chain() *middleware.Edge {
	a.cold = coldstart.New(a.forwarder, a.coldStartOptions())
	resolve := middleware.NewEndpointResolver(a.forwarder, a.cold, a.budget)
	proxies := routing.Proxies(a.cfg.Clients.TrustedProxies)
	static := middleware.NewStaticRoutes(resolve, a.forwarder, proxies, a.metrics.WakeIgnored)
	route := middleware.NewRouting(static, a.sync.Table, a.sync.Loaded(), a.budget, a.unrouted, proxies)
	return middleware.NewEdge(route, middleware.EdgeOptions{
		Heads: a.heads, DropUnderscores: a.cfg.Clients.DropUnderscores, MaxHeaderBytes: int(a.cfg.Clients.MaxHeaderBytes), MaxHeaderFields: a.cfg.Clients.MaxHeaderFields,
		ColdStartHeader: a.cfg.ColdStart.Header,
		Metrics:         a.metrics, Tracer: tracing.New(a.telemetry.Traces()), Access: a.accessLog, Log: a.log, Now: a.now, Leaving: a.draining.Load,
	})
}
