package httpserver

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// connections are the open connections of a server. net/http forgets those that
// a handler hijacks (WebSocket and other upgrades); we wait for them. They are
// counted from Accept to Close, because http.Server.ConnState is silent after
// StateHijacked. That costs nothing a request.
type connections struct {
	mu   sync.Mutex
	open map[net.Conn]struct{}
	// none is closed while no connection is open.
	none chan struct{}
	// places holds one value for each open connection; nil means no bound.
	places chan struct{}
	// heads is what the unfinished heads of all connections are charged with, maxHeads the
	// most that may be; 0 means no bound.
	heads, maxHeads int64
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
	of     *connections
	client Client
}

// Read reads, and charges for what may be a head.
func (c *tcpConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if n > 0 && c.client.phase.Load() == reading && !c.of.received(c, int64(n)) {
		return 0, net.ErrClosed
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
	c := &connections{open: make(map[net.Conn]struct{}), watched: make(map[*tcpConn]struct{}), none: none}
	if most > 0 {
		c.places = make(chan struct{}, most)
	}
	return c
}

// listen returns l with its connections counted.
func (c *connections) listen(l net.Listener, secure bool) net.Listener {
	counted := &listener{Listener: l, of: c, free: freeHead, closed: make(chan struct{})}
	if secure {
		counted.free += freeHandshake
	}
	return counted
}

type listener struct {
	net.Listener
	of     *connections
	free   int64 // of Client
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
		c := &tcpConn{TCPConn: tcp, of: l.of, client: Client{socket: socket, free: l.free}}
		c.client.since.Store(time.Now().UnixNano())
		conn = c
	} else {
		conn = &otherConn{Conn: conn, of: l.of}
	}
	l.of.add(conn)
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

// received charges for n bytes of a head. It reports false if the connection is closed.
// Without room it closes those whose heads are unfinished for longest, not the newcomer:
// heads that never end would keep everybody out.
func (c *connections) received(conn *tcpConn, n int64) bool {
	client := &conn.client
	head := client.head.Add(n)
	if head == n {
		client.began.Store(time.Now().UnixNano())
	}
	cost := headMemory * min(head-client.free, n)
	if c.maxHeads <= 0 || cost <= 0 {
		return true
	}
	c.mu.Lock()
	_, open := c.open[conn]
	var late []*tcpConn
	if open {
		client.charged += cost
		c.heads += cost
		for c.heads > c.maxHeads {
			oldest := c.oldestHead(conn)
			if oldest == nil {
				break // net/http bounds a single head
			}
			c.refund(oldest)
			late = append(late, oldest)
		}
	}
	c.mu.Unlock()
	closeAll(late)
	return open
}

// oldestHead returns the connection whose head is charged for and began first, except one.
func (c *connections) oldestHead(except *tcpConn) (oldest *tcpConn) {
	for conn := range c.watched {
		if conn == except || conn.client.charged == 0 {
			continue
		}
		if oldest == nil || conn.client.began.Load() < oldest.client.began.Load() {
			oldest = conn
		}
	}
	return oldest
}

// parsed gives back what a head was charged with.
func (c *connections) parsed(conn *tcpConn) {
	if conn.client.head.Swap(0) <= conn.client.free {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refund(conn)
}

// refund is parsed with the lock held. Only open connections are charged.
func (c *connections) refund(conn *tcpConn) {
	c.heads -= conn.client.charged
	conn.client.charged = 0
}

// closeAll closes connections, which net/http closes again.
func closeAll(conns []*tcpConn) {
	for _, conn := range conns {
		_ = conn.Close()
	}
}

const (
	// headPatience is how long a head may take that comes while connections wait.
	headPatience = 10 * time.Second
	// idlePatience is how long a connection is idle before it makes room for another one:
	// its request may be on the way.
	idlePatience = time.Second
	// evictInterval is the time between two looks for a connection to evict.
	evictInterval = 100 * time.Millisecond
)

// enter waits for a place. It evicts the connection that has been idle for longest, so
// that idle clients keep out nobody. It reports false once closed is.
func (c *connections) enter(closed <-chan struct{}) bool {
	for c.places != nil {
		select {
		case c.places <- struct{}{}:
			return true
		default:
		}
		if c.evict() {
			continue
		}
		timer := time.NewTimer(evictInterval)
		select {
		case c.places <- struct{}{}:
			timer.Stop()
			return true
		case <-closed:
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
	return true
}

// evict closes the connection that has waited for longest for a request, or for the rest
// of a head that is late. It reports whether there is one.
func (c *connections) evict() bool {
	now := time.Now()
	idle, late := now.Add(-idlePatience).UnixNano(), now.Add(-headPatience).UnixNano()
	c.mu.Lock()
	var oldest *tcpConn
	for conn := range c.watched {
		client := &conn.client
		since := client.since.Load()
		if client.phase.Load() != reading || since > idle || client.head.Load() > 0 && since > late {
			continue
		}
		if oldest == nil || since < oldest.client.since.Load() {
			oldest = conn
		}
	}
	c.mu.Unlock()
	if oldest == nil {
		return false
	}
	_ = oldest.Close() // net/http closes it again
	return true
}

// shed closes the connections whose heads are late.
func (c *connections) shed() int {
	late := time.Now().Add(-time.Second).UnixNano()
	c.mu.Lock()
	var shed []*tcpConn
	for conn := range c.watched {
		if client := &conn.client; client.phase.Load() == reading && client.head.Load() > 0 && client.since.Load() < late {
			shed = append(shed, conn)
		}
	}
	c.mu.Unlock()
	closeAll(shed)
	return len(shed)
}

// leave gives a place back.
func (c *connections) leave() {
	if c.places != nil {
		<-c.places
	}
}

// wait returns when no connection is open, or with ctx's error. No listener may
// be accepting any more.
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

// close cuts what is open.
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
