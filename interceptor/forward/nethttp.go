package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/kedacore/http-add-on/interceptor/exchange"
)

const (
	// idleTimeoutHTTP2 is longer than that of HTTP/1.1: a connection of HTTP/2 is not
	// closed without a word.
	idleTimeoutHTTP2 = 90 * time.Second
	// handshakeTimeout bounds a TLS handshake; fresh pods on a busy node are slow.
	handshakeTimeout = 10 * time.Second
	// streamWindow is how much of one response over HTTP/2 may wait in memory for a client
	// that does not read. net/http's default is 4 MiB: 40 such clients took 160 MiB.
	streamWindow = 64 << 10
)

// maxInformational is how many informational responses a request may have.
const maxInformational = 5000

// transports are the client for all that is not plain HTTP/1.1: net/http's pools of
// connections, one per protocol.
type transports struct {
	// plain speaks HTTP/1.1, for tests and upgrades; h2c HTTP/2 with prior knowledge.
	plain, h2c *http.Transport
	// tls speaks what is negotiated, tls1 HTTP/1.1: HTTP/2 has no upgrades.
	tls, tls1 *http.Transport
}

func newTransports(o Options) *transports {
	connect := connect(o.DialContext, o.ConnectTimeout)
	// One connection of HTTP/2 serves all who wait for one.
	one := &dialer{places: 1, connect: connect, lines: make(map[string]*line)}
	few := &dialer{places: places, connect: connect, lines: make(map[string]*line)}

	var http1, http2, both http.Protocols
	http1.SetHTTP1(true)
	http2.SetUnencryptedHTTP2(true)
	both.SetHTTP1(true)
	both.SetHTTP2(true)

	t := new(transports)
	t.plain = newTransport(o, &http1, idleTimeout)
	t.plain.DialContext = few.DialContext
	t.h2c = newTransport(o, &http2, idleTimeoutHTTP2)
	t.h2c.DialContext = one.DialContext
	t.tls = newTransport(o, &both, idleTimeout)
	t.tls.DialTLSContext = handshake(few.DialContext, o.TLS, "h2", "http/1.1")
	t.tls1 = newTransport(o, &http1, idleTimeout)
	t.tls1.DialTLSContext = handshake(few.DialContext, o.TLS, "http/1.1")
	return t
}

func newTransport(o Options, protocols *http.Protocols, idle time.Duration) *http.Transport {
	return &http.Transport{
		Protocols:              protocols,
		MaxIdleConns:           o.MaxIdleConns,
		MaxIdleConnsPerHost:    o.MaxIdleConnsPerHost,
		IdleConnTimeout:        idle,
		ExpectContinueTimeout:  continueTimeout,
		MaxResponseHeaderBytes: o.MaxResponseHeaderBytes,
		HTTP2:                  &http.HTTP2Config{MaxReceiveBufferPerStream: streamWindow},
		// The backend answers the client's Accept-Encoding, not ours.
		DisableCompression: true,
	}
}

// pick returns the transport for a request.
func (t *transports) pick(x *exchange.Exchange, r *http.Request) *http.Transport {
	upgrade := r.Header["Upgrade"] != nil
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

// send sends the request of an attempt, with the hooks of net/http that tell how far it
// comes.
func (t *transports) send(a *attempt) (*http.Response, error) {
	if a.cancel != nil {
		a.cancel(nil) // of the attempt before
	}
	ctx, cancel := context.WithCancelCause(a.in.Context())
	a.cancel = cancel
	if !a.clock.watch(func() { cancel(errTimeout) }) {
		cancel(errTimeout)
	}
	var want want
	defer want.end()
	var connected, reused, heard atomic.Bool
	var mu sync.Mutex // net/http may call a hook after RoundTrip has returned
	returned, informational := false, 0
	ctx = context.WithValue(ctx, wantKey{}, &want)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: want.begin,
		GotConn: func(info httptrace.GotConnInfo) {
			want.end()
			connected.Store(true)
			reused.Store(info.Reused)
		},
		GotFirstResponseByte: func() { heard.Store(true) },
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			mu.Lock()
			defer mu.Unlock()
			if informational++; informational > maxInformational {
				return errHeadTooLarge
			}
			if !returned {
				a.informational(code, http.Header(header))
			}
			return nil
		},
	})
	r := a.request.WithContext(ctx)
	url := *r.URL
	r.URL = &url
	url.Scheme, url.Host = "http", a.address
	if a.x.TLS {
		url.Scheme, url.Host = "https", withName(a.x.Upstream.Target.ServerName, a.address)
	}
	res, err := t.pick(a.x, r).RoundTrip(r)
	mu.Lock()
	returned = true
	mu.Unlock()
	if err != nil {
		failed := &sendError{err: err, reused: reused.Load()}
		switch {
		case errors.As(err, new(*dialError)):
			failed.reached = refused
		case connected.Load() && !heard.Load():
			failed.reached = silent
		}
		return nil, failed
	}
	if _, upgraded := res.Body.(io.ReadWriteCloser); !upgraded && res.ContentLength != 0 && r.Method != http.MethodHead {
		res.Body = &flushingBody{ReadCloser: res.Body, client: &a.client}
	}
	return res, nil
}

// flushingBody is a body of which is not known whether a read waits.
type flushingBody struct {
	io.ReadCloser
	client *downstream
}

// Read reads on.
func (b *flushingBody) Read(p []byte) (int, error) {
	b.client.flush()
	return b.ReadCloser.Read(p)
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
