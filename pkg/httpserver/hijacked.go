package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
)

// hijacked are the open connections that handlers took over (WebSocket and
// other upgrades). net/http forgets about those; we wait for them.
//
// Connections are wrapped where they are accepted, because only Close tells
// when a hijacked one is over: http.Server.ConnState is silent after
// StateHijacked. That costs one small object a connection and nothing a request.
type hijacked struct {
	mu    sync.Mutex
	conns map[tracked]struct{}
	// none is closed while there is no connection.
	none chan struct{}
}

// tracked is an accepted connection that tells when it is closed.
type tracked interface {
	net.Conn
	isTracked()
}

// tcpConn keeps the methods of *net.TCPConn (ReadFrom, WriteTo, CloseWrite),
// which let the kernel copy.
type tcpConn struct {
	*net.TCPConn
	of *hijacked
}

func (*tcpConn) isTracked() {}

// Close closes the connection.
func (c *tcpConn) Close() error {
	c.of.remove(c)
	return c.TCPConn.Close()
}

// otherConn is a connection of any other kind.
type otherConn struct {
	net.Conn
	of *hijacked
}

func (*otherConn) isTracked() {}

// Close closes the connection.
func (c *otherConn) Close() error {
	c.of.remove(c)
	return c.Conn.Close()
}

func newHijacked() *hijacked {
	none := make(chan struct{})
	close(none)
	return &hijacked{conns: make(map[tracked]struct{}), none: none}
}

// listen returns l with its connections wrapped.
func (h *hijacked) listen(l net.Listener) net.Listener { return &listener{Listener: l, of: h} }

type listener struct {
	net.Listener
	of *hijacked
}

// Accept waits for a connection.
func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		return &tcpConn{TCPConn: tcp, of: l.of}, nil
	}
	return &otherConn{Conn: conn, of: l.of}, nil
}

// observe is http.Server.ConnState.
func (h *hijacked) observe(conn net.Conn, state http.ConnState) {
	if state != http.StateHijacked {
		return
	}
	if over, ok := conn.(*tls.Conn); ok {
		conn = over.NetConn()
	}
	if c, ok := conn.(tracked); ok {
		h.add(c)
	}
}

func (h *hijacked) add(c tracked) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.conns) == 0 {
		h.none = make(chan struct{})
	}
	h.conns[c] = struct{}{}
}

func (h *hijacked) remove(c tracked) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.conns[c]; !ok {
		return
	}
	delete(h.conns, c)
	if len(h.conns) == 0 {
		close(h.none)
	}
}

// wait returns when no hijacked connection is open, or with ctx's error. None
// is added any more once http.Server.Shutdown has returned without an error.
func (h *hijacked) wait(ctx context.Context) error {
	h.mu.Lock()
	none := h.none
	h.mu.Unlock()
	select {
	case <-none:
		return nil
	default:
	}
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close cuts what is open.
func (h *hijacked) close() error {
	h.mu.Lock()
	conns := make([]tracked, 0, len(h.conns))
	for c := range h.conns {
		conns = append(conns, c)
	}
	h.mu.Unlock()
	var failed []error
	for _, c := range conns {
		// Its handler may close it at the same time.
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}
