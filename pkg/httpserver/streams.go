package httpserver

import (
	"container/list"
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// freeTrailers is how much of a request's trailers costs nothing. A reference to a declared name is
// one byte on the wire, and 16 in memory.
const freeTrailers = 64

// turnTimeout is how long a request waits for its turn while too many streams are open.
const turnTimeout = 10 * time.Second

// streams bounds the open HTTP/2 streams of all connections. A stream costs memory until its last
// frame is written, which may be long after its handler has returned. The reason is a client that
// does not read: 16 connections of 225 small answers ended a process of 64 MiB. net/http does not
// report this, but the frames show it.
type streams struct {
	max    int64 // 0 means no bound
	open   atomic.Int64
	queued atomic.Int64 // open ones whose requests wait for their turn
	// trailers is what the trailers of open streams are charged with. net/http keeps them until
	// their stream ends.
	trailers atomic.Int64

	mu    sync.Mutex
	queue list.List   // of chan struct{}, in order of arrival
	timer *time.Timer // runs while there are any
}

// connStreams are the open streams of one connection of HTTP/2.
type connStreams struct {
	out frames // of what the server writes, one write after the other

	mu       sync.Mutex
	last     uint32          // highest ID so far
	answered map[uint32]bool // open IDs; true once the response head was written
	unread   int             // answered ones
	progress time.Time       // when a frame of a response was written
	// trailers is what open IDs are charged with, and charged their sum.
	trailers map[uint32]int64
	charged  int64
}

// beginHTTP2 notes that a connection speaks HTTP/2. It reports false if the connection is closed:
// its streams would be counted forever.
func (c *connections) beginHTTP2(conn *tcpConn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, open := c.open[conn]
	if open {
		conn.streams.Store(new(connStreams))
	}
	return open
}

// opened notes a header block of a length that has ended: of a new stream, or trailers.
func (c *connections) opened(conn *tcpConn, id uint32, length int64) {
	s := conn.streams.Load()
	s.mu.Lock()
	if id <= s.last {
		c.keepTrailers(s, id, length)
		s.mu.Unlock()
		c.cutTrailers()
		return
	}
	defer s.mu.Unlock()
	s.last = id
	if s.answered == nil {
		s.answered = make(map[uint32]bool)
	}
	s.answered[id] = false
	c.streams.open.Add(1)
}

// keepTrailers charges an open stream for its trailers. net/http keeps no more than twice the
// bound of a head. The caller holds the lock of s.
func (c *connections) keepTrailers(s *connStreams, id uint32, length int64) {
	cost := headMemory * (length - freeTrailers)
	if c.maxHead > 0 {
		cost = min(cost, 2*c.maxHead)
	}
	if _, open := s.answered[id]; !open || cost <= 0 {
		return
	}
	if s.trailers == nil {
		s.trailers = make(map[uint32]int64)
	}
	s.trailers[id] += cost
	s.charged += cost
	c.streams.trailers.Add(cost)
}

// cutTrailers closes the connection whose open streams have the most trailers, if all take too
// much memory.
func (c *connections) cutTrailers() {
	if c.maxHeads <= 0 || c.streams.trailers.Load() <= c.maxHeads {
		return
	}
	c.cutting.Lock() // one is enough
	defer c.cutting.Unlock()
	if c.streams.trailers.Load() <= c.maxHeads {
		return
	}
	if worst := c.mostTrailers(); worst != nil {
		c.log.Info("the trailers of requests take too much memory, closing the connection with the most", "client", worst.RemoteAddr().String())
		_ = worst.Close() // net/http closes it again
	}
}

// mostTrailers returns the connection whose open streams have the most trailers, or nil.
func (c *connections) mostTrailers() (worst *tcpConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	most := int64(0)
	for open := range c.open {
		conn, ok := open.(*tcpConn)
		if !ok {
			continue
		}
		s := conn.streams.Load()
		if s == nil {
			continue
		}
		s.mu.Lock()
		if s.charged > most {
			worst, most = conn, s.charged
		}
		s.mu.Unlock()
	}
	return worst
}

// closed notes the end of a stream.
func (c *connections) closed(conn *tcpConn, id uint32) {
	s := conn.streams.Load()
	s.mu.Lock()
	answered, ok := s.answered[id]
	if ok {
		delete(s.answered, id)
		c.streams.open.Add(-1)
	}
	if answered {
		s.unread--
	}
	if cost, ok := s.trailers[id]; ok {
		delete(s.trailers, id)
		s.charged -= cost
		c.streams.trailers.Add(-cost)
	}
	s.mu.Unlock()
	if ok {
		c.streams.wake()
	}
}

// forget notes the end of a connection.
func (c *connections) forget(conn *tcpConn) {
	s := conn.streams.Load()
	if s == nil {
		return
	}
	s.mu.Lock()
	n := len(s.answered)
	s.answered, s.unread, s.last = nil, 0, 1<<31 // no more are opened
	c.streams.trailers.Add(-s.charged)
	s.trailers, s.charged = nil, 0
	s.mu.Unlock()
	c.streams.open.Add(-int64(n))
	c.streams.wake()
}

// wrote follows what the server writes.
func (c *connections) wrote(conn *tcpConn, b []byte) {
	s := conn.streams.Load()
	if c.streams.max <= 0 || s == nil {
		return
	}
	for len(b) > 0 {
		n, _, _, began := s.out.next(b)
		b = b[n:]
		if !began {
			continue
		}
		kind, end := s.out.head[3], s.out.head[4]&flagEndStream != 0
		switch {
		case kind == frameReset, end && (kind == frameData || kind == frameHeaders):
			c.closed(conn, s.out.stream())
		case kind == frameData, kind == frameHeaders:
			s.answer(s.out.stream())
		}
	}
}

// answer notes a frame of a response that does not end it.
func (s *connStreams) answer(id uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress = time.Now()
	if answered, ok := s.answered[id]; ok && !answered {
		s.answered[id] = true
		s.unread++
	}
}

// handler is what a server does with each request before the next handler. It is one step,
// because its frame stays on the stack of every request that waits.
type handler struct {
	of   *connections
	next http.Handler
}

// ServeHTTP has each request of HTTP/2 wait while too many streams are open, and sets its TLS field.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 2 && !h.of.turn(r.Context()) {
		h.of.refuse(w, r)
		return
	}
	secured(r)
	h.next.ServeHTTP(w, r)
}

// refuse answers a request of HTTP/2 that got no turn.
func (c *connections) refuse(w http.ResponseWriter, r *http.Request) {
	// Without a body it ends at once, whether the client reads or not.
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	if c.refused != nil && r.Context().Err() == nil {
		c.refused(r)
	}
}

// turn waits while too many streams are open, and reports whether the request may be served. One
// that waits for too long, or that is one of too many, may not.
func (c *connections) turn(ctx context.Context) bool {
	s := &c.streams
	if s.max <= 0 || s.open.Load()-s.queued.Load() <= s.max {
		return true
	}
	ready := make(chan struct{})
	s.mu.Lock()
	if int64(s.queue.Len()) >= s.max {
		s.mu.Unlock()
		return false
	}
	place := s.queue.PushBack(ready)
	s.queued.Add(1)
	if s.queue.Len() == 1 {
		s.timer = time.AfterFunc(c.interval, c.relieve)
	}
	s.mu.Unlock()
	s.wake() // others may have ended before it was in the queue
	timer := time.NewTimer(turnTimeout)
	defer timer.Stop()
	select {
	case <-ready:
		return true
	case <-ctx.Done():
	case <-timer.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-ready: // in the meantime
		return true
	default:
		s.queue.Remove(place)
		s.queued.Add(-1)
		return false
	}
}

// wake gives turns to waiting requests while there is room.
func (s *streams) wake() {
	if s.queued.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.queue.Len() > 0 && s.open.Load()-s.queued.Load() < s.max {
		close(s.queue.Remove(s.queue.Front()).(chan struct{}))
		s.queued.Add(-1)
	}
}

// relieve makes room for waiting requests. It closes the connection with the most responses that
// have begun, if its client has read nothing of them for a while. Otherwise it sheds the newest
// requests that wait for a target.
func (c *connections) relieve() {
	c.streams.wake()
	if c.streams.queued.Load() > 0 {
		if stalled := c.stalled(); stalled != nil {
			c.log.Info("too many streams are open, closing a connection whose client does not read", "client", stalled.RemoteAddr().String())
			_ = stalled.Close() // net/http closes it again
		} else if c.shed != nil {
			c.shed(1 + int(c.streams.queued.Load())/8)
		}
	}
	c.streams.mu.Lock()
	defer c.streams.mu.Unlock()
	if c.streams.queue.Len() > 0 {
		c.streams.timer = time.AfterFunc(c.interval, c.relieve)
	}
}

// stalled returns a connection that has written nothing of its responses for a while, or
// nil. Of several, it returns the one with the most responses that have begun.
func (c *connections) stalled() (stalled *tcpConn) {
	late := time.Now().Add(-c.patience)
	c.mu.Lock()
	defer c.mu.Unlock()
	most := 0
	for conn := range c.watched {
		s := conn.streams.Load()
		if s == nil {
			continue
		}
		s.mu.Lock()
		if s.unread > most && s.progress.Before(late) {
			stalled, most = conn, s.unread
		}
		s.mu.Unlock()
	}
	return stalled
}
