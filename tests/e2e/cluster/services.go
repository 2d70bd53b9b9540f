//go:build e2e

package cluster

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
)

// serviceProxy is kube-proxy. Each TCP port of a cluster IP with a ready endpoint is a listener
// that passes connections on to the endpoints in turn. Without an endpoint there is no listener,
// and a client is refused.
type serviceProxy struct {
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
	out      io.Writer
	dirty    chan struct{}

	ports map[netip.AddrPort]*servicePort // owned by run
}

// servicePort is one port of a cluster IP.
type servicePort struct {
	listener  net.Listener
	endpoints atomic.Pointer[[]string]
	turn      atomic.Uint64
}

func newServiceProxy(services corelisters.ServiceLister, slices discoverylisters.EndpointSliceLister, out io.Writer) *serviceProxy {
	return &serviceProxy{
		services: services, slices: slices, out: out,
		dirty: make(chan struct{}, 1), ports: map[netip.AddrPort]*servicePort{},
	}
}

// handler follows Services and EndpointSlices.
func (s *serviceProxy) handler() cache.ResourceEventHandler {
	touch := func() {
		select {
		case s.dirty <- struct{}{}:
		default:
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { touch() },
		UpdateFunc: func(any, any) { touch() },
		DeleteFunc: func(any) { touch() },
	}
}

// run serves until ctx ends.
func (s *serviceProxy) run(ctx context.Context) {
	for {
		select {
		case <-s.dirty:
			s.update(ctx)
		case <-ctx.Done():
			for _, port := range s.ports {
				_ = port.listener.Close()
			}
			return
		}
	}
}

// update opens and closes listeners.
func (s *serviceProxy) update(ctx context.Context) {
	wanted := map[netip.AddrPort][]string{}
	all, _ := s.services.List(labels.Everything()) // from memory: cannot fail
	for _, service := range all {
		address, err := netip.ParseAddr(service.Spec.ClusterIP)
		if err != nil {
			continue // headless
		}
		for _, port := range service.Spec.Ports {
			if endpoints := s.endpoints(service, port.Name); len(endpoints) > 0 && port.Protocol == corev1.ProtocolTCP {
				wanted[netip.AddrPortFrom(address, uint16(port.Port))] = endpoints
			}
		}
	}
	maps.DeleteFunc(s.ports, func(address netip.AddrPort, port *servicePort) bool {
		if _, keep := wanted[address]; keep {
			return false
		}
		_ = port.listener.Close()
		return true
	})
	for address, endpoints := range wanted {
		port := s.ports[address]
		if port == nil {
			listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(address))
			if err != nil {
				_, _ = fmt.Fprintf(s.out, "  service proxy: listening on %s: %v\n", address, err)
				continue
			}
			port = &servicePort{listener: listener}
			s.ports[address] = port
			port.endpoints.Store(&endpoints)
			go port.serve(ctx)
		}
		port.endpoints.Store(&endpoints)
	}
}

// endpoints are the addresses of the ready endpoints of a Service's port, else of
// those that still serve while they terminate.
func (s *serviceProxy) endpoints(service *corev1.Service, portName string) []string {
	selector := labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: service.Name})
	found, _ := s.slices.EndpointSlices(service.Namespace).List(selector) // from memory: cannot fail
	var ready, draining []string
	for _, slice := range found {
		for _, port := range slice.Ports {
			if port.Port == nil || port.Name != nil && *port.Name != portName {
				continue
			}
			for _, endpoint := range slice.Endpoints {
				address := net.JoinHostPort(endpoint.Addresses[0], strconv.Itoa(int(*port.Port)))
				switch c := endpoint.Conditions; {
				case c.Ready == nil || *c.Ready:
					ready = append(ready, address)
				case c.Serving != nil && *c.Serving && c.Terminating != nil && *c.Terminating:
					draining = append(draining, address)
				}
			}
		}
	}
	if len(ready) == 0 {
		ready = draining
	}
	slices.Sort(ready)
	return ready
}

func (p *servicePort) serve(ctx context.Context) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		endpoints := *p.endpoints.Load()
		go connect(ctx, client.(*net.TCPConn), endpoints[p.turn.Add(1)%uint64(len(endpoints))])
	}
}

// connect passes all data between a client and an endpoint. It resets a client whose endpoint
// cannot be reached.
func connect(ctx context.Context, client *net.TCPConn, endpoint string) {
	defer func() { _ = client.Close() }()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", endpoint)
	if err != nil {
		_ = client.SetLinger(0)
		return
	}
	backend := conn.(*net.TCPConn)
	defer func() { _ = backend.Close() }()
	var both sync.WaitGroup
	pass := func(to, from *net.TCPConn) {
		if _, err := io.Copy(to, from); err != nil {
			// One side was reset: so is the other.
			_, _ = to.SetLinger(0), from.SetLinger(0)
			_, _ = to.Close(), from.Close()
			return
		}
		_ = to.CloseWrite()
	}
	both.Go(func() { pass(backend, client) })
	both.Go(func() { pass(client, backend) })
	both.Wait()
}
