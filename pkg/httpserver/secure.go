package httpserver

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
)

// secureConn is TLS that net/http takes for plain. If net/http read a *tls.Conn itself, we could
// not see the frames and could not charge for header blocks.
type secureConn struct {
	net.Conn // a *tls.Conn whose other methods net/http must not find
	tcp      *tcpConn
	ready    bool // the handshake is over; of the goroutine that reads
}

// secureConfig returns the configuration of TLS connections, with the protocols of o.
func secureConfig(o *tls.Config) *tls.Config {
	c := o.Clone()
	for _, protocol := range []string{"h2", "http/1.1"} {
		if !slices.Contains(c.NextProtos, protocol) {
			c.NextProtos = append(c.NextProtos, protocol)
		}
	}
	return c
}

func newSecureConn(tcp *tcpConn, config *tls.Config) *secureConn {
	tcp.secure = true
	return &secureConn{Conn: tls.Server(tcp, config), tcp: tcp}
}

// Read reads, after a handshake, and charges for what may be a head.
func (c *secureConn) Read(b []byte) (int, error) {
	if !c.ready {
		if err := c.handshake(); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Read(b)
	if n > 0 && !c.tcp.of.read(c.tcp, b[:n]) {
		return 0, net.ErrClosed
	}
	return n, err
}

// Write writes.
func (c *secureConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.tcp.of.wrote(c.tcp, b[:n])
	return n, err
}

// handshake is bounded by the deadline for the first head.
func (c *secureConn) handshake() error {
	conn := c.Conn.(*tls.Conn)
	if err := conn.Handshake(); err != nil {
		var record tls.RecordHeaderError
		if errors.As(err, &record) && record.Conn != nil && startsHTTP(record.RecordHeader) {
			_, _ = io.WriteString(record.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
		}
		c.tcp.of.log.V(1).Info("TLS handshake failed", "client", c.RemoteAddr().String(), "reason", err.Error())
		return io.EOF // net/http does not answer that
	}
	state := conn.ConnectionState()
	if state.NegotiatedProtocol == "h2" && state.Version < tls.VersionTLS12 { // RFC 9113, 9.2
		return io.EOF
	}
	c.ready = true
	c.tcp.client.tls = &state
	c.tcp.client.free = freeHead
	c.tcp.of.parsed(c.tcp)
	return nil
}

// CloseWrite tells the client that nothing more comes.
func (c *secureConn) CloseWrite() error { return c.Conn.(*tls.Conn).CloseWrite() }

// startsHTTP reports whether a TLS record begins like a request of HTTP/1.1.
func startsHTTP(record [5]byte) bool {
	return slices.Contains([]string{"GET /", "HEAD ", "POST ", "PUT /", "OPTIO"}, string(record[:]))
}

// secured sets the TLS field of a request.
func secured(r *http.Request) {
	if c := ClientOf(r.Context()); c != nil {
		r.TLS = c.tls
	}
}
