package httpserver

import (
	"bytes"
	"time"
)

const (
	// freeHead is how much of a head costs nothing, and freeHandshake how much of a TLS
	// handshake.
	freeHead, freeHandshake = 512, 4 << 10
	// headMemory is the most memory that a byte of a head takes. A field of 7 bytes has a key, a
	// value and an entry in a growing map. A field of HPACK's static table is one byte on the
	// wire and 40 in memory.
	headMemory = 32
)

// read charges for the bytes of heads that are read. It reports false if the connection is
// closed.
func (c *connections) read(conn *tcpConn, b []byte) bool {
	switch f := &conn.frames; {
	case f.other:
		return conn.client.phase.Load() != reading || c.received(conn, conn.client.headLength(b))
	case f.matched < len(preface):
		n := min(len(b), len(preface)-f.matched)
		if string(b[:n]) != preface[f.matched:][:n] {
			f.other = true
			return c.received(conn, int64(f.matched)+conn.client.headLength(b))
		}
		f.matched += n
		if f.matched == len(preface) && !c.beginHTTP2(conn) {
			return false
		}
		b = b[n:]
	}
	for len(b) > 0 {
		n, block, end, began := conn.frames.next(b)
		if began && conn.frames.head[3] == frameReset {
			c.closed(conn, conn.frames.stream())
		}
		if block > 0 && !c.received(conn, int64(block)) {
			return false
		}
		if end {
			size := c.parsed(conn)
			if c.streams.max > 0 {
				c.opened(conn, conn.frames.stream(), size)
			}
		}
		b = b[n:]
	}
	return true
}

// headLength returns how many of the bytes just read may belong to an HTTP/1.1 head. Bytes of a
// body that arrived with the end of its head do not count. Otherwise they would close the
// connection before net/http has parsed the head.
func (c *Client) headLength(b []byte) int64 {
	if c.head.Load()+int64(len(b)) <= c.free {
		return int64(len(b)) // it costs nothing anyway
	}
	if end := bytes.Index(b, []byte("\r\n\r\n")); end >= 0 {
		b = b[:end]
	}
	return int64(len(b))
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

// parsed gives back what a head was charged with, and returns its length.
func (c *connections) parsed(conn *tcpConn) int64 {
	length := conn.client.head.Swap(0)
	if length > conn.client.free {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.refund(conn)
	}
	return length
}

// refund is parsed with the lock held. Only open connections are charged.
func (c *connections) refund(conn *tcpConn) {
	c.heads -= conn.client.charged
	conn.client.charged = 0
}
