package scaler_test

import (
	"context"
	"errors"
	"net"
	"sync"

	"k8s.io/client-go/rest"
)

// gate is between a client and its API server, which goes away when it is shut.
type gate struct {
	mu     sync.Mutex
	shut   bool
	opened []net.Conn
}

// through returns a configuration of clients that go through the gate.
func (g *gate) through(config *rest.Config) *rest.Config {
	gated := rest.CopyConfig(config)
	gated.Dial = g.dial
	return gated
}

func (g *gate) dial(ctx context.Context, network, address string) (net.Conn, error) {
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

// set shuts the gate, which breaks every connection, or opens it.
func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	for _, c := range g.opened {
		_ = c.Close()
	}
	g.opened = nil
}
