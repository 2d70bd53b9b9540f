// Package app composes standalone: the interceptor's own chain, fed from
// files; workloads as local processes; and what scales them.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	interceptor "github.com/kedacore/http-add-on/interceptor/app"
	"github.com/kedacore/http-add-on/interceptor/config"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/inflight"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/pkg/telemetry"
	"github.com/kedacore/http-add-on/standalone/manifest"
	"github.com/kedacore/http-add-on/standalone/process"
	"github.com/kedacore/http-add-on/standalone/scale"
	"github.com/kedacore/http-add-on/standalone/schema"
)

// Settings of a run.
type Settings struct {
	// Paths of manifests and folders.
	Paths []string
	// Lookup reads the environment.
	Lookup func(name string) (string, bool)
	// Environ lists the environment as os.Environ does: names that nothing reads are
	// warned of.
	Environ []string
	Log     logr.Logger
	// Output gets what the processes write, and what to try.
	Output io.Writer
	// Proxy and Admin are listened on if they are set, instead of the ports
	// that the environment names.
	Proxy, Admin net.Listener
}

// defaults suit one machine: ports that are free on most machines and only reachable locally, no
// metrics port. At the end nothing waits for other replicas to take over.
var defaults = map[string]string{
	config.EnvListenAddress:        "127.0.0.1",
	config.EnvProxyPort:            "8080",
	config.EnvAdminPort:            "9090",
	telemetry.EnvPrometheusEnabled: "false",
	config.EnvShutdownDelay:        "0s",
	config.EnvDrainTimeout:         "5s",
}

// Run serves until ctx ends; then nothing that it started is left.
func Run(ctx context.Context, s Settings) error {
	cfg, err := config.Load(func(name string) (string, bool) {
		if value, ok := s.Lookup(name); ok && value != "" {
			return value, true
		}
		value, ok := defaults[name]
		return value, ok
	}, s.Environ...)
	if err != nil {
		return err
	}
	cfg.DirectPodRouting = true // no DNS knows the Services

	validator, err := schema.New()
	if err != nil {
		return fmt.Errorf("compiling the schemas: %w", err)
	}
	store, tracker := endpoints.NewStore(), inflight.NewTracker(nil)
	node := process.NewNode(process.Options{Endpoints: store, Log: s.Log, Output: s.Output})
	defer node.Close()
	page := newIndex(store, tracker)
	c := &composition{log: s.Log, node: node, scaler: scale.New(tracker, node, s.Log), settings: cfg.Routes, output: s.Output, page: page}
	source, err := manifest.NewSource(s.Paths, manifest.Checker{Schema: validator, Ports: ownPorts(cfg, s)}, s.Log, c.observe)
	if err != nil {
		return err
	}
	edge, err := interceptor.New(cfg, interceptor.Deps{
		Source: source, Store: store, Tracker: tracker, ExaminesRoutes: true, Unrouted: page.serve, Log: s.Log, Proxy: s.Proxy, Admin: s.Admin,
	})
	if err != nil {
		return err
	}
	page.proxyPort, page.adminPort = portOf(edge.ProxyAddr()), portOf(edge.AdminAddr())

	// The scaler outlives the interceptor: held requests still wake while it drains.
	scaling, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { c.scaler.Run(scaling) })
	defer running.Wait()
	defer stop()
	if err := edge.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// composition passes each new Set on. The goroutine of the source owns it.
type composition struct {
	log      logr.Logger
	node     *process.Node
	scaler   *scale.Scaler
	settings route.Settings
	output   io.Writer
	page     *index
	problems []scale.Problem
	reported map[string]string   // the problems of each route, by its name
	broken   map[string]struct{} // routes that are not served
	welcomed string
}

func (c *composition) observe(set *manifest.Set) {
	c.node.Apply(manifest.All[*appsv1.Deployment](set), manifest.All[*corev1.Service](set))
	targets, problems := scale.Compile(set)
	c.scaler.Apply(targets)
	routes := examine(set, targets, c.settings)
	c.report(routes)
	for _, p := range problems {
		// A route that is not served has its line.
		if _, broken := c.broken[p.Object.String()]; !broken && !slices.Contains(c.problems, p) {
			c.log.Info("object scales nothing", "object", p.Object.String(), "reason", p.Reason)
		}
	}
	c.problems = problems
	c.page.routes.Store(&routes)
	if text := welcome(routes, c.page.proxyPort, c.page.adminPort); text != c.welcomed {
		c.welcomed = text
		_, _ = io.WriteString(c.output, text)
	}
}

// ownPorts returns the ports that standalone listens on, and which setting selects each. A port
// that the system chooses is not known yet.
func ownPorts(cfg config.Config, s Settings) map[int32]string {
	own := map[int32]string{}
	add := func(name string, port int) {
		if port != 0 {
			own[int32(port)] = name
		}
	}
	given := func(name string, l net.Listener, port int) {
		if l != nil {
			port, _ = strconv.Atoi(portOf(l.Addr())) // that of a Unix socket is 0
		}
		add(name, port)
	}
	given(config.EnvProxyPort, s.Proxy, cfg.ProxyPort)
	given(config.EnvAdminPort, s.Admin, cfg.AdminPort)
	add(config.EnvProxyTLSPort, cfg.TLS.Port)
	add(telemetry.EnvPrometheusPort, cfg.Telemetry.PrometheusPort)
	if _, port, err := net.SplitHostPort(cfg.ProfilingAddress); err == nil {
		number, _ := strconv.Atoi(port) // the configuration was checked
		add(config.EnvProfilingAddress, number)
	}
	return own
}

func portOf(address net.Addr) string {
	_, port, err := net.SplitHostPort(address.String())
	if err != nil {
		return address.String()
	}
	return port
}
