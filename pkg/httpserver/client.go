package httpserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"
)

// watchInterval is the time between two looks at the clients of requests. A departure is
// noticed within twice as long.
const watchInterval = 2 * time.Second

// Client is the other end of one connection. It is safe for concurrent use.
//
// net/http notices that a client has left by reading from its connection. On HTTP/1.1 it does not
// read while the body of the request is unread, nor once a byte has arrived behind the request.
// So the server asks the kernel, which knows of a FIN or a reset even if bytes before it are
// unread.
type Client struct {
	// Context of the requests on the connection.
	context.Context
	socket syscall.RawConn // nil if the connection is not a socket
	// free is how many bytes are not charged.
	free int64
	// tls is the state of TLS after its handshake, nil without.
	tls *tls.ConnectionState
	// cancel ends the contexts of the requests on the connection.
	cancel context.CancelFunc
	// since is when the phase reading began, in nanoseconds since 1970.
	since atomic.Int64
	// phase is a phase of the connection.
	phase atomic.Int32
	// retired is set by Retire, over once nothing is served after that and the last answer
	// is written.
	retired, over atomic.Bool
	// head is how many bytes of an unfinished head were read, began when the first was.
	head, began atomic.Int64
	// charged is what the head is charged with. connections.mu guards it.
	charged int64
}

// The phases of a connection.
const (
	reading  int32 = iota // waits for a request, or reads its head
	serving               // a request is being served, by net/http
	upgraded              // net/http has given it away
)

// clientKey is the key of the *Client in its own context.
type clientKey struct{}

// ClientOf returns the client of a request by its context, nil if the request did not
// come through a Server.
func ClientOf(ctx context.Context) *Client {
	c, _ := ctx.Value(clientKey{}).(*Client)
	return c
}

// ErrLeft is the departure of a client that net/http has not noticed.
var ErrLeft = fmt.Errorf("the client has closed the connection: %w", context.Canceled)

// Departure returns an error if no one waits for the answer to a request: the cause of the end of
// its context, or ErrLeft.
func Departure(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if ClientOf(ctx).Left() {
		return ErrLeft
	}
	return nil
}

// Left asks the kernel whether the client has closed its end, or half of it. Bytes that
// do not fit the socket's buffer hide that. Nil has not left.
func (c *Client) Left() bool {
	return c != nil && c.socket != nil && hungUp(c.socket)
}

// Look is Left, and asks in the same system call about another socket. unread is false if nothing
// waits to be read there, not even its end. It is true if that is unknown.
func (c *Client) Look(other syscall.RawConn) (left, unread bool) {
	if c == nil || c.socket == nil {
		return false, true
	}
	return look(c.socket, other)
}

// Sends reports whether the client has sent bytes that no one has read, and has not left. Nil
// has sent none.
func (c *Client) Sends() bool {
	return c != nil && c.socket != nil && readable(c.socket) && !hungUp(c.socket)
}

// unread reports whether the kernel has the beginning of a request that no one has read.
func (c *Client) unread() bool {
	return c.head.Load() == 0 && !c.over.Load() && readable(c.socket) && !hungUp(c.socket)
}

// waits returns since when the server waits for a request, or for the rest of its head, in
// nanoseconds since 1970, and whether it does.
func (c *Client) waits() (since int64, ok bool) {
	switch {
	case c.head.Load() > 0:
		return c.began.Load(), true
	case c.phase.Load() != reading:
		return 0, false
	case c.over.Load():
		return 0, true
	}
	return c.since.Load(), true
}

// Retire makes the connection the first to be closed for another one once no request is
// served on it.
func (c *Client) Retire() {
	if c != nil {
		c.retired.Store(true)
	}
}

// connContext implements http.Server.ConnContext.
func connContext(ctx context.Context, conn net.Conn) context.Context {
	tcp := tcpOf(conn)
	if tcp == nil {
		return ctx
	}
	tcp.client.Context, tcp.client.cancel = context.WithCancel(ctx)
	tcp.of.watch(tcp)
	return &tcp.client
}

// Value implements context.Context.
func (c *Client) Value(key any) any {
	if key == (clientKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// connState implements http.Server.ConnState. net/http calls it twice for each request.
func connState(conn net.Conn, state http.ConnState) {
	tcp := tcpOf(conn)
	if tcp == nil {
		return
	}
	switch state {
	case http.StateActive:
		tcp.client.phase.Store(serving)
		tcp.client.over.Store(false)
		if tcp.streams.Load() == nil { // whose blocks end by themselves
			tcp.of.parsed(tcp)
		}
	case http.StateIdle:
		tcp.client.since.Store(time.Now().UnixNano())
		tcp.client.phase.Store(reading)
		if tcp.streams.Load() == nil { // which has written the end of the answer only to its buffer
			tcp.ended()
		}
	case http.StateHijacked:
		// A half-close is nothing special there.
		tcp.client.phase.Store(upgraded)
	}
}

// tcpOf returns the connection below TLS, nil if it is not TCP.
func tcpOf(conn net.Conn) *tcpConn {
	if secure, ok := conn.(*secureConn); ok {
		return secure.tcp
	}
	tcp, _ := conn.(*tcpConn)
	return tcp
}
