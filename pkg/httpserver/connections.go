package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// connections are the open connections of a server. net/http forgets those that
// a handler hijacks (WebSocket and other upgrades); we wait for them. They are
// counted from Accept to Close, because http.Server.ConnState is silent after
// StateHijacked. That costs nothing a request.
type connections struct {
	log  logr.Logger
	mu   sync.Mutex
	open map[net.Conn]struct{}
	// none is closed while no connection is open.
	none chan struct{}
	// places holds one value for each open connection; nil means no bound.
	places chan struct{}
	// retired holds a value once a retired connection serves nothing.
	retired chan struct{}
	// shed ends the newest requests that wait, at most n; nil if none can.
	shed func(n int) int
	// refused is called with each request that found no room for its stream; it may be nil.
	refused func(*http.Request)
	// patience is how long a connection must be idle, or its head unfinished, before it makes
	// room for another one. The rest may be on the way.
	patience time.Duration
	// interval is the time between two looks for such a connection.
	interval time.Duration
	streams  streams
	// heads is what the unfinished heads of all connections are charged with, maxHeads the
	// most that may be; 0 means no bound.
	heads, maxHeads int64
	// maxHead bounds the head of a request, and with it its trailers; 0 means that it is unknown.
	maxHead int64
	cutting sync.Mutex // while a connection with many trailers is closed
	// watched are the connections whose clients are looked at by timer, which runs while
	// there are any.
	watched map[*tcpConn]struct{}
	timer   *time.Timer
}

// tcpConn is an accepted connection that tells when it is closed. It keeps the
// methods of *net.TCPConn (ReadFrom, WriteTo, CloseWrite), which let the kernel
// copy.
type tcpConn struct {
	*net.TCPConn
	of      *connections
	client  Client
	frames  frames                      // of the goroutine that reads
	secure  bool                        // it is below TLS
	streams atomic.Pointer[connStreams] // nil unless it speaks HTTP/2
}

// Read reads, and charges for what may be a head.
func (c *tcpConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	switch {
	case n == 0:
	case c.secure && c.client.tls != nil: // a secureConn counts
	case c.secure && !c.of.received(c, int64(n)), !c.secure && !c.of.read(c, b[:n]):
		return 0, net.ErrClosed
	}
	return n, err
}

// Write writes.
func (c *tcpConn) Write(b []byte) (int, error) {
	n, err := c.TCPConn.Write(b)
	if !c.secure {
		c.of.wrote(c, b[:n])
	}
	if c.client.phase.Load() == reading {
		c.ended()
	}
	return n, err
}

// Close closes the connection.
func (c *tcpConn) Close() error {
	defer c.of.remove(c)
	return c.TCPConn.Close()
}

// otherConn is a connection of any other kind.
type otherConn struct {
	net.Conn
	of *connections
}

// Close closes the connection.
func (c *otherConn) Close() error {
	defer c.of.remove(c)
	return c.Conn.Close()
}

// newConnections returns a set of at most that many connections; 0 means no bound.
func newConnections(most int) *connections {
	none := make(chan struct{})
	close(none)
	c := &connections{
		open: make(map[net.Conn]struct{}), watched: make(map[*tcpConn]struct{}), none: none,
		retired: make(chan struct{}, 1), patience: time.Second / 2, interval: 100 * time.Millisecond,
	}
	if most > 0 {
		c.places = make(chan struct{}, most)
	}
	return c
}

// listen returns l with its connections counted.
func (c *connections) listen(l net.Listener, secure *tls.Config) net.Listener {
	counted := &listener{Listener: l, of: c, secure: secure, free: freeHead, closed: make(chan struct{})}
	if secure != nil {
		counted.free += freeHandshake
	}
	return counted
}

type listener struct {
	net.Listener
	of     *connections
	secure *tls.Config // nil without TLS
	free   int64       // of Client
	once   sync.Once
	closed chan struct{}
}

// Close closes the listener, also one that waits for a place.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// Accept waits for a connection, and then for its place.
func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if !l.of.enter(l.closed) {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		socket, _ := tcp.SyscallConn() // fails for no connection that was accepted
		BoundUnsent(socket)
		c := &tcpConn{TCPConn: tcp, of: l.of, client: Client{socket: socket, free: l.free}}
		c.client.since.Store(time.Now().UnixNano())
		l.of.add(c)
		if l.secure != nil {
			return newSecureConn(c, l.secure), nil
		}
		return c, nil
	}
	conn = &otherConn{Conn: conn, of: l.of}
	l.of.add(conn)
	if l.secure != nil {
		conn = tls.Server(conn, l.secure)
	}
	return conn, nil
}

func (c *connections) add(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.open) == 0 {
		c.none = make(chan struct{})
	}
	c.open[conn] = struct{}{}
}

func (c *connections) remove(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.open[conn]; !ok {
		return
	}
	delete(c.open, conn)
	if tcp, ok := conn.(*tcpConn); ok {
		delete(c.watched, tcp)
		c.refund(tcp)
		defer c.forget(tcp)
	}
	c.leave()
	if len(c.open) == 0 {
		close(c.none)
	}
}

// watch begins to look at the client of a connection.
func (c *connections) watch(conn *tcpConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.open[conn]; !ok {
		return
	}
	c.watched[conn] = struct{}{}
	if c.timer == nil {
		c.timer = time.AfterFunc(watchInterval, c.look)
	} else if len(c.watched) == 1 {
		c.timer.Reset(watchInterval)
	}
}

// look ends the requests whose clients have left. The connections of idle ones are
// net/http's to close.
func (c *connections) look() {
	c.mu.Lock()
	busy := make([]*tcpConn, 0, len(c.watched))
	for conn := range c.watched {
		if conn.client.phase.Load() == serving {
			busy = append(busy, conn)
		}
	}
	c.mu.Unlock()
	for _, conn := range busy {
		// It may have been upgraded in between.
		if conn.client.Left() && conn.client.phase.Load() == serving {
			conn.client.cancel()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.watched) > 0 {
		c.timer.Reset(watchInterval)
	}
}

// closeAll closes connections, which net/http closes again.
func closeAll(conns []*tcpConn) {
	for _, conn := range conns {
		_ = conn.Close()
	}
}

// wait returns when no connection is open, or with ctx's error. All listeners must have stopped
// accepting.
func (c *connections) wait(ctx context.Context) error {
	c.mu.Lock()
	none := c.none
	c.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close cuts the open connections.
func (c *connections) close() error {
	c.mu.Lock()
	open := make([]net.Conn, 0, len(c.open))
	for conn := range c.open {
		open = append(open, conn)
	}
	c.mu.Unlock()
	var failed []error
	for _, conn := range open {
		// Its handler may close it at the same time.
		if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}
