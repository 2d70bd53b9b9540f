package httpserver

import "time"

// ended records that a retired connection serves nothing.
func (c *tcpConn) ended() {
	if !c.client.retired.Load() || c.client.over.Swap(true) {
		return
	}
	select {
	case c.of.retired <- struct{}{}:
	default:
	}
}

// enter waits for a place. It evicts the connection that has been idle for longest. If none is
// idle, it sheds the newest waiting requests, more each time, so that waiting clients keep no one
// out. It reports false once closed is closed.
func (c *connections) enter(closed <-chan struct{}) bool {
	for n := 1; c.places != nil; {
		select {
		case c.places <- struct{}{}:
			return true
		default:
		}
		select {
		case <-c.retired: // one before
		default:
		}
		if c.evict() {
			continue
		}
		if c.shed != nil {
			c.shed(n)
			n = min(2*n, 1<<10) // a connection may have many requests
		}
		timer := time.NewTimer(c.interval)
		select {
		case c.places <- struct{}{}:
			timer.Stop()
			return true
		case <-closed:
			timer.Stop()
			return false
		case <-c.retired:
			timer.Stop()
		case <-timer.C:
		}
	}
	return true
}

// evict closes the connection that has waited longest for a request, or for the rest of a head.
// It reports whether there is one. An unread request is a sign of a busy process, not of an idle
// client.
func (c *connections) evict() bool {
	late := time.Now().Add(-c.patience).UnixNano()
	c.mu.Lock()
	var oldest *tcpConn
	var first int64
	for conn := range c.watched {
		if since, ok := conn.client.waits(); ok && since <= late && (oldest == nil || since < first) && !conn.client.unread() {
			oldest, first = conn, since
		}
	}
	c.mu.Unlock()
	if oldest == nil {
		return false
	}
	_ = oldest.Close() // net/http closes it again
	return true
}

// late closes the connections whose heads are late, and returns how many there were.
func (c *connections) late() int {
	bound := time.Now().Add(-c.patience).UnixNano()
	c.mu.Lock()
	var late []*tcpConn
	for conn := range c.watched {
		if client := &conn.client; client.head.Load() > 0 && client.began.Load() <= bound {
			late = append(late, conn)
		}
	}
	c.mu.Unlock()
	closeAll(late)
	return len(late)
}

// leave gives a place back.
func (c *connections) leave() {
	if c.places != nil {
		<-c.places
	}
}
