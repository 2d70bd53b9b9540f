// Package app puts the interceptor together: its parts (app.go), the order in which a request
// meets the steps (chain.go), and its start and stop (lifecycle.go). Only main packages and tests
// import it.
package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/kedacore/http-add-on/interceptor/admin"
	"github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/coldstart"
	"github.com/kedacore/http-add-on/interceptor/config"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/forward"
	"github.com/kedacore/http-add-on/interceptor/inflight"
	"github.com/kedacore/http-add-on/interceptor/metrics"
	"github.com/kedacore/http-add-on/interceptor/middleware"
	"github.com/kedacore/http-add-on/interceptor/routesync"
	"github.com/kedacore/http-add-on/pkg/httpserver"
	"github.com/kedacore/http-add-on/pkg/queue"
	"github.com/kedacore/http-add-on/pkg/routing"
	"github.com/kedacore/http-add-on/pkg/telemetry"
)

// Deps are what an App is given. What is nil is made.
type Deps struct {
	// Source of the routes. Required.
	Source routesync.Source
	// Store of ready endpoints. The owner of the Source's endpoints updates it.
	Store *endpoints.Store
	// Tracker of requests in flight.
	Tracker *inflight.Tracker
	// Proxy, ProxyTLS, Admin and Metrics are listeners in place of the configured
	// ports.
	Proxy, ProxyTLS, Admin, Metrics net.Listener
	// DialContext opens connections to backends.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// ExaminesRoutes means that the caller logs what is wrong with routes.
	ExaminesRoutes bool
	// Unrouted answers requests that no route matches and reports whether it did; nil answers
	// none, and they get 404.
	Unrouted func(http.ResponseWriter, *http.Request) bool
	// Log of the process.
	Log logr.Logger
}

// App is an interceptor.
type App struct {
	cfg       config.Config
	source    routesync.Source
	tracker   *inflight.Tracker
	log       logr.Logger
	now       func() time.Time
	telemetry *telemetry.Telemetry
	metrics   *metrics.Metrics
	accessLog *middleware.AccessLog
	budget    *body.Budget // of everything that waits
	heads     *body.Budget // of large heads of requests and responses in service
	forwarder *forward.Forwarder
	cold      *coldstart.ColdStart
	sync      *routesync.Sync
	unrouted  func(http.ResponseWriter, *http.Request) bool
	handler   *middleware.Edge

	proxy     *httpserver.Server
	admin     http.Handler
	listeners listeners
	// certificates of the TLS listener; nil without one.
	certificates *httpserver.Certificates

	draining atomic.Bool
	// watchesDone ends the watch streams of /queue.
	watchesDone chan struct{}
}

// New makes an interceptor that listens, but serves nothing until Run.
func New(cfg config.Config, deps Deps) (*App, error) {
	a := &App{cfg: cfg, source: deps.Source, tracker: deps.Tracker, unrouted: deps.Unrouted, log: deps.Log, now: time.Now, watchesDone: make(chan struct{})}
	store := deps.Store
	if store == nil {
		store = endpoints.NewStore()
	}
	if a.tracker == nil {
		a.tracker = inflight.NewTracker(nil)
	}
	a.sync = routesync.New(routesync.Options{
		Store: store, Tracker: a.tracker, Settings: cfg.Routes, Log: a.log.WithName("routes"), Quiet: deps.ExaminesRoutes,
		Defaults: routesync.Defaults{
			Readiness:      cfg.Timeouts.Readiness,
			Request:        cfg.Timeouts.Request,
			ResponseHeader: cfg.Timeouts.ResponseHeader,
			Lease:          cfg.ColdStart.ActivationLease,
			MaxPending:     cfg.ColdStart.MaxPendingRequests,
			NoSessions:     !cfg.DirectPodRouting,
		},
	})
	// Gauges read the routes as soon as there is telemetry.
	if err := a.measure(); err != nil {
		return nil, err
	}
	if cfg.LogRequests {
		a.accessLog = middleware.NewAccessLog(os.Stdout)
	}
	backendTLS, err := cfg.TLS.Client()
	if err != nil {
		return nil, fmt.Errorf("configuring TLS to backends: %w", err)
	}
	memory := debug.SetMemoryLimit(-1)
	a.budget = body.NewBudget(cfg.ColdStart.BufferedBytes(memory))
	a.heads = body.NewBudget(cfg.Clients.HeadMemory(memory))
	a.forwarder = forward.New(forward.Options{
		ConnectTimeout:         cfg.Backends.ConnectTimeout,
		UploadTimeout:          cfg.Timeouts.Upload,
		MaxIdleConns:           cfg.Backends.MaxIdleConns,
		MaxIdleConnsPerHost:    cfg.Backends.MaxIdleConnsPerHost,
		MaxResponseHeaderBytes: cfg.Backends.MaxResponseHeaderBytes,
		MaxHeadMemory:          cfg.Clients.HeadMemory(memory),
		MaxCopyMemory:          cfg.Clients.HeadMemory(memory),
		Heads:                  a.heads,
		Serving:                body.NewBudget(cfg.Clients.ServingMemory(memory)),
		DirectPodRouting:       cfg.DirectPodRouting,
		TLS:                    backendTLS,
		DialContext:            deps.DialContext,
		Log:                    a.log.WithName("forward"),
	})
	a.handler = a.chain()
	proxy := httpserver.Options{
		// Between the edge's bound and this one the edge answers, in the client's shape.
		MaxHeaderBytes: 2 * int(cfg.Clients.MaxHeaderBytes),
		MaxHeadMemory:  cfg.Clients.HeadMemory(memory),
		MaxConnections: cfg.Clients.Connections(memory),
		MaxStreams:     cfg.Clients.Streams(memory),
		Shed:           a.cold.Shed,
		Refused:        a.handler.Refused,
		Log:            a.log.WithName("proxy"),
	}
	if cfg.TLS.Enabled {
		a.certificates, err = httpserver.LoadCertificates(httpserver.CertificateFiles{
			Cert: cfg.TLS.CertPath, Key: cfg.TLS.KeyPath, Stores: cfg.TLS.CertStorePaths,
		})
		if err != nil {
			return nil, fmt.Errorf("loading the certificates of the proxy: %w", err)
		}
		proxy.TLS = cfg.TLS.Server(a.certificates.Get)
	}
	a.proxy = httpserver.New(a.handler, proxy)
	a.admin = admin.New(queue.NewHandler(a.tracker, a.watchesDone), a.ready)
	if err := a.listen(deps); err != nil {
		return nil, err
	}
	return a, nil
}

// Handler is the chain itself, for tests that need no socket.
func (a *App) Handler() http.Handler { return a.handler }

// ProxyAddr is the address that clients connect to.
func (a *App) ProxyAddr() net.Addr { return a.listeners.proxy.Addr() }

// AdminAddr is the address of the admin port.
func (a *App) AdminAddr() net.Addr { return a.listeners.admin.Addr() }

// ready says whether traffic may come.
func (a *App) ready() bool { return a.sync.Ready() && !a.draining.Load() }

// measure makes the instruments.
func (a *App) measure() error {
	var err error
	a.telemetry, err = telemetry.New(a.cfg.Telemetry, a.log.WithName("telemetry"))
	if err != nil {
		return fmt.Errorf("starting telemetry: %w", err)
	}
	a.metrics, err = metrics.New(a.telemetry.Provider(), metrics.Gauges{Concurrency: a.concurrency, ReadyEndpoints: a.readyEndpoints})
	return err
}

func (a *App) concurrency(observe func(namespace, name string, value int64)) {
	a.tracker.Each(func(key string, route *inflight.Route) {
		namespace, name, _ := strings.Cut(key, "/")
		observe(namespace, name, route.InFlight())
	})
}

// readyEndpoints observes nothing if there are more routes than the setting allows.
func (a *App) readyEndpoints(observe func(namespace, name string, value int64)) {
	table := a.sync.Table()
	if table.Len() > a.cfg.MaxEndpointSeries {
		return
	}
	for r := range table.All() {
		observe(r.Namespace, r.Name, int64(r.Target.Endpoints.Count()))
	}
}

// coldStartOptions are the settings of the cold start.
func (a *App) coldStartOptions() coldstart.Options {
	return coldstart.Options{
		Budget:  a.budget,
		MaxBody: a.cfg.ColdStart.MaxBodyBytes,
		Metrics: a.metrics,
		Now:     a.now,
		Log:     a.log.WithName("coldstart"),
		Match: func(r *http.Request, host, path string) (*exchange.Route, bool) {
			return a.sync.Table().Match(&routing.Request{
				Host: host, Path: path, Method: r.Method, Header: r.Header, Peer: r.RemoteAddr, Trusted: a.cfg.Clients.TrustedProxies,
			})
		},
		Route: func(key routing.Key) (*exchange.Route, bool) { return a.sync.Table().Find(key) },
	}
}
