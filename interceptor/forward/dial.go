package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/kedacore/http-add-on/pkg/httpserver"
)

// handshakeTimeout bounds a TLS handshake; fresh pods on a busy node are slow.
const handshakeTimeout = 10 * time.Second

// dialError means that there was no connection. The backend has seen nothing of the request,
// which can be retried.
type dialError struct{ err error }

func (e *dialError) Error() string { return "connecting: " + e.err.Error() }

func (e *dialError) Unwrap() error { return e.err }

// absent reports whether nothing has answered at an address.
func absent(err error) bool {
	var failed *dialError
	if !errors.As(err, &failed) || errors.As(err, new(*net.DNSError)) {
		return false
	}
	var waited net.Error
	return errors.As(err, &waited) && waited.Timeout() || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}

// dialFunc opens connections.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// connect returns dial with a bound; its errors are *dialErrors.
func connect(dial dialFunc, timeout time.Duration) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, &dialError{err}
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			socket, _ := tcp.SyscallConn() // fails for no open connection
			httpserver.BoundUnsent(socket)
		}
		return conn, nil
	}
}

// dial opens a connection of the pool's kind.
func (p *pool) dial() (sender, error) {
	client := p.host.client
	socket, err := client.connect(client.ctx, "tcp", p.host.address)
	if err != nil {
		return nil, err
	}
	wire := newWire(socket, &p.host.open)
	http2 := p.way == h2c
	var stream net.Conn = wire
	if p.way == secure || p.way == secureUpgrade {
		secured, err := p.handshake(wire)
		if err != nil {
			_ = wire.Close()
			return nil, err
		}
		stream, http2 = secured, secured.ConnectionState().NegotiatedProtocol == "h2"
	}
	if !http2 && !client.netHTTP {
		return newConn(stream, wire, p), nil
	}
	shared, err := newShared(stream, http2, p)
	if err != nil {
		return nil, err
	}
	return shared, nil
}

// handshake negotiates TLS.
func (p *pool) handshake(wire net.Conn) (*tls.Conn, error) {
	client := p.host.client
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if client.tls != nil {
		config = client.tls.Clone()
	}
	config.ServerName, config.NextProtos = p.host.serverName, []string{"h2", "http/1.1"}
	if p.way == secureUpgrade {
		config.NextProtos = config.NextProtos[1:]
	}
	ctx, cancel := context.WithTimeout(client.ctx, handshakeTimeout)
	defer cancel()
	secured := tls.Client(wire, config)
	err := secured.HandshakeContext(ctx)
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		err = &dialError{err} // nothing of the request was sent
	}
	return secured, err
}
