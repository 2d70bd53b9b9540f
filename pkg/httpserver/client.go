package httpserver

import (
	"context"
	"crypto/tls"
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
// net/http notices that a client has left by reading from its connection. On HTTP/1.1 it
// does not read while the body of the request is unread, nor once a byte has arrived
// behind the request. So the server asks the kernel, which knows of a FIN or a reset
// although bytes before it are unread.
type Client struct {
	socket syscall.RawConn // nil if the connection is not a socket
	// cancel ends the contexts of the requests on the connection.
	cancel context.CancelFunc
	// busy reports that a request is being served, and that net/http serves it.
	busy atomic.Bool
}

// clientKey is the key of the *Client in the context of a connection. The value belongs
// to the connection, is set once, and costs requests nothing.
type clientKey struct{}

// ClientOf returns the client of a request by its context, nil if the request did not
// come through a Server.
func ClientOf(ctx context.Context) *Client {
	c, _ := ctx.Value(clientKey{}).(*Client)
	return c
}

// Left asks the kernel whether the client has closed its end, or half of it. Bytes that
// do not fit the socket's buffer hide that. Nil has not left.
func (c *Client) Left() bool {
	return c != nil && c.socket != nil && hungUp(c.socket)
}

// connContext implements http.Server.ConnContext.
func connContext(ctx context.Context, conn net.Conn) context.Context {
	tcp := tcpOf(conn)
	if tcp == nil {
		return ctx
	}
	ctx, tcp.client.cancel = context.WithCancel(ctx)
	tcp.of.watch(tcp)
	return context.WithValue(ctx, clientKey{}, &tcp.client)
}

// connState implements http.Server.ConnState. net/http calls it twice for each request.
func connState(conn net.Conn, state http.ConnState) {
	if tcp := tcpOf(conn); tcp != nil {
		// A half-close is nothing special on a connection that was upgraded.
		tcp.client.busy.Store(state == http.StateActive)
	}
}

// tcpOf returns the connection below TLS, nil if it is not TCP.
func tcpOf(conn net.Conn) *tcpConn {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	tcp, _ := conn.(*tcpConn)
	return tcp
}
