package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/kedacore/http-add-on/interceptor/exchange"
)

const (
	// idleTimeout closes connections that nobody used.
	idleTimeout = 90 * time.Second
	// handshakeTimeout bounds a TLS handshake; fresh pods on a busy node are slow.
	handshakeTimeout = 10 * time.Second
	// continueTimeout is how long a backend may take to answer to
	// "Expect: 100-continue" before the body is sent anyway (RFC 9110, 10.1.1).
	continueTimeout = time.Second
)

// transports are the pools of connections to backends, one per protocol.
type transports struct {
	// plain speaks HTTP/1.1, h2c HTTP/2 with prior knowledge.
	plain, h2c *http.Transport
	// tls speaks what is negotiated, tls1 HTTP/1.1: HTTP/2 has no upgrades.
	tls, tls1 *http.Transport
}

func newTransports(o Options) transports {
	dial := o.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	// One connection of HTTP/2 serves all who wait for one.
	one := &dialer{places: 1, timeout: o.ConnectTimeout, dial: dial, lines: make(map[string]*line)}
	few := &dialer{places: places, timeout: o.ConnectTimeout, dial: dial, lines: make(map[string]*line)}

	var http1, http2, both http.Protocols
	http1.SetHTTP1(true)
	http2.SetUnencryptedHTTP2(true)
	both.SetHTTP1(true)
	both.SetHTTP2(true)

	var t transports
	t.plain = newTransport(o, &http1)
	t.plain.DialContext = few.DialContext
	t.h2c = newTransport(o, &http2)
	t.h2c.DialContext = one.DialContext
	t.tls = newTransport(o, &both)
	t.tls.DialTLSContext = handshake(few.DialContext, o.TLS, "h2", "http/1.1")
	t.tls1 = newTransport(o, &http1)
	t.tls1.DialTLSContext = handshake(few.DialContext, o.TLS, "http/1.1")
	return t
}

func newTransport(o Options, protocols *http.Protocols) *http.Transport {
	return &http.Transport{
		Protocols:             protocols,
		MaxIdleConns:          o.MaxIdleConns,
		MaxIdleConnsPerHost:   o.MaxIdleConnsPerHost,
		IdleConnTimeout:       idleTimeout,
		ExpectContinueTimeout: continueTimeout,
		// The backend answers the client's Accept-Encoding, not ours.
		DisableCompression: true,
	}
}

// pick is the transport for a request.
func (t *transports) pick(x *exchange.Exchange, upgrade bool) *http.Transport {
	switch {
	case x.TLS && upgrade:
		return t.tls1
	case x.TLS:
		return t.tls
	case x.Upstream.Target.Protocol == exchange.H2C && !upgrade:
		return t.h2c
	}
	return t.plain
}

func (t *transports) close() {
	for _, transport := range [...]*http.Transport{t.plain, t.h2c, t.tls, t.tls1} {
		transport.CloseIdleConnections()
	}
}

// A transport pools connections by the host of the URL. A TLS connection belongs
// to an address and a server name: one pod may be behind several Services. So the
// host of a TLS request is both, and needs no transport per name.
const nameSeparator = "|"

// withName makes the host of a TLS request.
func withName(serverName, address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return net.JoinHostPort(serverName+nameSeparator+host, port)
}

// splitName undoes withName.
func splitName(joined string) (serverName, address string, err error) {
	host, port, err := net.SplitHostPort(joined)
	if err != nil {
		return "", "", err
	}
	serverName, host, ok := strings.Cut(host, nameSeparator)
	if !ok {
		return "", "", errors.New("address without server name")
	}
	return serverName, net.JoinHostPort(host, port), nil
}

// handshake dials and negotiates TLS.
func handshake(dial func(context.Context, string, string) (net.Conn, error), template *tls.Config, protocols ...string) func(context.Context, string, string) (net.Conn, error) {
	if template == nil {
		template = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return func(ctx context.Context, network, joined string) (net.Conn, error) {
		serverName, address, err := splitName(joined)
		if err != nil {
			return nil, err
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		config := template.Clone()
		config.ServerName, config.NextProtos = serverName, protocols
		ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
		defer cancel()
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
				err = &dialError{err} // nothing of the request was sent
			}
			return nil, err
		}
		return secure, nil
	}
}
