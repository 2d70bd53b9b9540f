package lifecycle

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"

	"github.com/kedacore/http-add-on/pkg/httpserver"
)

const (
	// shutdownTimeout bounds the end of servers that have nothing to drain.
	shutdownTimeout = 5 * time.Second
	// closeTimeout bounds Close: a collector may not answer.
	closeTimeout = 3 * time.Second
	// The bounds of an auxiliary server: probes, scalers and Prometheus need much less.
	maxHeaderBytes, maxHeadMemory, maxConnections, maxStreams = 16 << 10, 2 << 20, 256, 256
)

// Process is what a binary runs, and how it stops. It stops in this order: not
// ready, a delay in which load balancers take notice, the drain, the auxiliary
// servers, the parts, and Close. So requests that are held still wake their
// target during the drain, and the end can still be measured.
type Process struct {
	// Parts run until their context ends, which it does after the drain. A part
	// that returns an error stops the process without a delay.
	Parts []func(ctx context.Context) error
	// Servers are served until the drain is over.
	Servers []Server
	// Ready is called when everything runs. It must return when ctx ends: when the process is
	// asked to stop, or a part has failed.
	Ready func(ctx context.Context)
	// NotReady has the readiness probe fail.
	NotReady func()
	// Delay between NotReady and Drain.
	Delay time.Duration
	// Drain closes the ports that clients use, and waits for requests in flight.
	Drain func() error
	// Close is the last call.
	Close func(ctx context.Context) error
	Log   logr.Logger
}

// Server is an auxiliary server, such as that of metrics.
type Server struct {
	// Name of its log.
	Name    string
	Handler http.Handler
	// TLS of the server, which must give certificates by itself; nil serves without.
	TLS *tls.Config
	// Listener of the server; without one it is not served.
	Listener net.Listener
}

// Run runs the process until ctx ends or a part fails. It returns when everything
// has stopped, with all errors.
func (p Process) Run(ctx context.Context) error {
	parts, stopParts := context.WithCancel(context.WithoutCancel(ctx))
	defer stopParts()
	group, running := errgroup.WithContext(parts)
	for _, part := range p.Parts {
		group.Go(func() error { return part(running) })
	}
	var servers []*httpserver.Server
	for _, s := range p.Servers {
		if s.Listener == nil {
			continue
		}
		server := httpserver.New(s.Handler, httpserver.Options{
			MaxHeaderBytes: maxHeaderBytes, MaxHeadMemory: maxHeadMemory, MaxConnections: maxConnections, MaxStreams: maxStreams,
			TLS: s.TLS, Log: p.Log.WithName(s.Name),
		})
		servers = append(servers, server)
		serve := server.Serve
		if s.TLS != nil {
			serve = server.ServeTLS
		}
		group.Go(func() error { return serve(s.Listener) })
	}

	serving, stopServing := context.WithCancel(ctx)
	defer context.AfterFunc(running, stopServing)()
	p.Ready(serving)
	<-serving.Done()
	stopServing()
	p.NotReady()
	p.Log.Info("stopping", "delay", p.Delay.String())
	after(running, p.Delay)

	err := p.Drain()
	bounded, cancel := context.WithTimeout(parts, shutdownTimeout)
	defer cancel()
	for _, server := range servers {
		err = errors.Join(err, server.Shutdown(bounded))
	}
	stopParts()
	err = errors.Join(err, group.Wait())
	last, done := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer done()
	return errors.Join(err, p.Close(last))
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
