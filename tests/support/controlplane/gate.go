package controlplane

import (
	"context"
	"errors"
	"net"
	"sync"

	"k8s.io/client-go/rest"
)

// Gate is between clients and their API server, which is away for them while it is shut. The
// zero Gate is open. It is safe for concurrent use.
type Gate struct {
	mu     sync.Mutex
	shut   bool
	opened []net.Conn
}

// Through returns a configuration of clients that go through the gate.
func (g *Gate) Through(config *rest.Config) *rest.Config {
	gated := rest.CopyConfig(config)
	gated.Dial = g.dial
	return gated
}

func (g *Gate) dial(ctx context.Context, network, address string) (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return nil, errors.New("the API server is away")
	}
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil {
		g.opened = append(g.opened, c)
	}
	return c, err
}

// Set shuts the gate, which breaks every connection, or opens it.
func (g *Gate) Set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	for _, c := range g.opened {
		_ = c.Close()
	}
	g.opened = nil
}
