package forward

import "sync"

// heads bounds the memory of the HTTP/1.1 response heads that are being read. A head may take as
// long as its backend likes. When there is no room, the host that takes most loses its largest
// one, and the heads of other backends are read on.
type heads struct {
	max int64 // in bytes; 0 means no bound

	mu      sync.Mutex
	used    int64
	reading map[*conn]struct{} // those that are charged
}

// charge charges the head that a connection reads.
func (h *heads) charge(c *conn, bytes int64) {
	if h.max <= 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.cut {
		return
	}
	h.reading[c] = struct{}{}
	h.add(c, bytes)
	for h.used > h.max {
		h.cut(h.largest())
	}
}

// done ends the reading of a head. It reports whether the head was cut.
func (h *heads) done(c *conn) (cut bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget(c)
	cut, c.cut = c.cut, false
	return cut
}

// The methods below are called with the lock held.

func (h *heads) add(c *conn, bytes int64) {
	h.used += bytes
	c.charged += bytes
	c.pool.host.charged += bytes
}

func (h *heads) forget(c *conn) {
	h.add(c, -c.charged)
	delete(h.reading, c)
}

// cut ends the reading of a head. Its connection is of no further use.
func (h *heads) cut(c *conn) {
	h.forget(c)
	c.cut = true
	c.cancel()
}

// largest returns the connection with the largest head of the host that takes most.
func (h *heads) largest() (largest *conn) {
	for c := range h.reading {
		if largest == nil {
			largest = c
			continue
		}
		of, than := c.pool.host, largest.pool.host
		if of == than && c.charged > largest.charged || of.charged > than.charged {
			largest = c
		}
	}
	return largest
}
