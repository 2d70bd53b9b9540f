package forward

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"github.com/kedacore/http-add-on/pkg/httpserver"
)

const (
	// streamWindow is how much of one HTTP/2 response may wait in memory for a client that does
	// not read. net/http's default is 4 MiB: 40 such clients took 160 MiB. With 64 KiB, 900 took
	// 56 MiB.
	streamWindow = 16 << 10
	// maxHints is how many informational responses a request may have. Their heads have the bound of one head.
	maxHints = 5000
	// settingsTimeout is how long a new connection waits for the SETTINGS of its server.
	settingsTimeout = time.Second
	// moment is how long the head of a response waits for the first bytes of its body.
	moment = 5 * time.Millisecond
)

// shared is a connection that net/http serves: of HTTP/2, for many requests at a time, or of
// HTTP/1.1 in tests. Reservations and hooks of http.ClientConn cost more than the count here.
type shared struct {
	*http.ClientConn
	pool *pool
	used atomic.Bool // it had a request before

	// Guarded by the lock of the host.
	requests  int       // in flight
	idleUntil time.Time // when it is too old to be used; zero if it is not idle
}

// newShared begins to serve a connection, below which there may be TLS.
func newShared(stream net.Conn, http2 bool, p *pool) (*shared, error) {
	client := p.host.client
	var protocols http.Protocols
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	g := &greeting{Conn: stream, over: make(chan struct{})}
	if http2 {
		stream = g
	}
	// Each connection has a separate transport, which takes only connections from a dial.
	transport := &http.Transport{
		Protocols:              &protocols,
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return stream, nil },
		ExpectContinueTimeout:  continueTimeout,
		MaxResponseHeaderBytes: client.maxHead,
		HTTP2:                  &http.HTTP2Config{MaxReceiveBufferPerStream: streamWindow},
		// The backend answers the client's Accept-Encoding, not ours.
		DisableCompression: true,
	}
	conn, err := transport.NewClientConn(client.ctx, "http", p.host.address)
	if err != nil {
		_ = stream.Close()
		return nil, &dialError{err}
	}
	if http2 {
		timer := time.NewTimer(settingsTimeout)
		defer timer.Stop()
		select {
		case <-g.over:
		case <-timer.C:
		}
	}
	return &shared{ClientConn: conn, pool: p}, nil
}

// greeting is a connection whose first read brings the server's SETTINGS (RFC 9113, 3.4). Until
// net/http reads again, it does not know how many streams there may be. One request too many
// would wait in it for another to end.
type greeting struct {
	net.Conn
	reads atomic.Int32
	end   sync.Once
	over  chan struct{} // closed when the SETTINGS were read
}

func (g *greeting) Read(p []byte) (int, error) {
	if g.reads.Add(1) == 2 {
		g.ends()
	}
	return g.Conn.Read(p)
}

// Close closes the connection.
func (g *greeting) Close() error {
	g.ends()
	return g.Conn.Close()
}

func (g *greeting) ends() { g.end.Do(func() { close(g.over) }) }

// claim reports whether the connection has room for a request, and takes it. The caller holds
// the lock of the host.
func (s *shared) claim() bool {
	// What has ended at once is a failure like others: the first request finds it.
	if (s.requests > 0 || s.used.Load()) && (s.Err() != nil || s.requests >= s.Available()+s.InFlight()) {
		return false
	}
	s.requests++
	s.busy()
	return true
}

// busy ends the time in which the connection is idle. The caller holds the lock.
func (s *shared) busy() {
	if !s.idleUntil.IsZero() {
		s.idleUntil = time.Time{}
		s.pool.resting--
		s.pool.host.client.idle.Add(-1)
	}
}

// release ends the use of the connection by a request.
func (s *shared) release() {
	p := s.pool
	p.host.mu.Lock()
	s.requests--
	p.share(s)
	p.grow()
	p.host.mu.Unlock()
	s.retire()
}

// retire closes the connection if it is no longer useful.
func (s *shared) retire() {
	p := s.pool
	p.host.mu.Lock()
	// Available is 0 if there is no room. A connection without requests that still has no room
	// got a GOAWAY.
	old := !time.Now().Before(s.idleUntil)
	done := s.requests == 0 && (old || p.host.closed || s.Err() != nil || s.Available() == 0 && s.InFlight() == 0)
	if done {
		s.busy()
		p.shared = slices.DeleteFunc(p.shared, func(other *shared) bool { return other == s })
	}
	p.host.mu.Unlock()
	if done {
		_ = s.Close()
	}
}

// check implements sender. The transport notices the end of the connection.
func (s *shared) check(client *httpserver.Client) (left, usable bool) { return client.Left(), true }

// send sends the request of an attempt, with the hooks of net/http that tell how far it
// comes.
func (s *shared) send(a *attempt) (*http.Response, error) {
	if a.cancel != nil {
		a.cancel(nil) // of the attempt before
	}
	ctx, cancel := context.WithCancelCause(a.in.Context())
	a.cancel = cancel
	if !a.clock.watch(func() { cancel(errTimeout) }) {
		cancel(errTimeout)
	}
	t := &trip{attempt: a, conn: s, url: *a.request.URL}
	t.trace = httptrace.ClientTrace{
		WroteHeaders:         func() { t.wrote.Store(true) },
		GotFirstResponseByte: func() { t.heard.Store(true) },
		Got1xxResponse:       t.informational,
	}
	t.url.Scheme, t.url.Host = "http", a.address
	if a.x.Secure() {
		t.url.Scheme = "https"
	}
	r := a.request.WithContext(httptrace.WithClientTrace(ctx, &t.trace))
	r.URL = &t.url
	reused := s.used.Swap(true)
	res, err := s.RoundTrip(r)
	t.returns()
	if err != nil {
		s.release()
		failed := &sendError{err: err, reused: reused}
		switch {
		case !t.wrote.Load() || unprocessed(err) && !t.heard.Load():
			failed.reached = unsent
		case !t.heard.Load():
			failed.reached = silent
		case t.onlyHinted():
			failed.reached = hinted
		}
		return nil, failed
	}
	if _, upgraded := res.Body.(io.ReadWriteCloser); upgraded {
		s.release()
		return res, nil
	}
	t.body, res.Body = res.Body, t
	t.begun = res.ContentLength == 0 || r.Method == http.MethodHead
	return res, nil
}

// unprocessed reports whether an HTTP/2 backend promises that it has not processed a request (RFC
// 9113, 8.7). net/http keeps the error of a GOAWAY to itself, except for its text. Some servers
// send PROTOCOL_ERROR (golang.org/issue/42777). net/http reports that too for responses that it
// refuses, without the cause of a reset by the peer.
func unprocessed(err error) bool {
	var reset http2.StreamError
	if errors.As(err, &reset) {
		return reset.Cause != nil && reset.Cause.Error() == "received from peer" && (reset.Code == http2.ErrCodeRefusedStream || reset.Code == http2.ErrCodeProtocol)
	}
	return strings.HasSuffix(err.Error(), "graceful shutdown GOAWAY")
}

// trip is a request on a shared connection: how far it has come, and the body of its
// response.
type trip struct {
	*attempt
	conn          *shared
	url           url.URL
	trace         httptrace.ClientTrace
	wrote, heard  atomic.Bool
	mu            sync.Mutex // net/http may call a hook after RoundTrip has returned
	returned      bool
	hints, hinted int // informational responses, and what their headers take in memory

	body     io.ReadCloser
	begun    bool
	flushing sync.WaitGroup
	closed   bool
}

func (t *trip) informational(code int, header textproto.MIMEHeader) error {
	if code == http.StatusSwitchingProtocols {
		return errors.New("HTTP/2 has no status 101") // RFC 9113, 8.6
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	bytes, _ := headSize(http.Header(header))
	t.hints, t.hinted = t.hints+1, t.hinted+bytes
	if t.hints > maxHints || int64(t.hinted) > t.conn.pool.host.client.maxHead {
		return errHeadTooLarge
	}
	if !t.returned {
		t.attempt.informational(code, http.Header(header))
	}
	return nil
}

// onlyHinted reports whether an answer consists of informational responses. net/http takes the head
// of an HTTP/2 response as a whole.
func (t *trip) onlyHinted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.hints > 0 && t.hints <= maxHints && int64(t.hinted) <= t.conn.pool.host.client.maxHead
}

func (t *trip) returns() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.returned = true
}

// Read reads the next bytes. net/http does not report whether that waits, so the buffered bytes
// are flushed before. The head is an exception: the first bytes nearly always come with it. It
// waits for them for a moment, to be one packet with them.
func (t *trip) Read(p []byte) (int, error) {
	if t.begun {
		t.client.flush()
		return t.body.Read(p)
	}
	t.begun = true
	t.flushing.Add(1)
	timer := time.AfterFunc(moment, func() {
		defer t.flushing.Done()
		t.client.flush()
	})
	n, err := t.body.Read(p)
	if !timer.Stop() {
		t.flushing.Wait()
	}
	return n, err
}

// Close ends the use of the connection.
func (t *trip) Close() error {
	if t.closed {
		return nil
	}
	t.closed = true
	if t.attempt.body != nil {
		t.client.flush() // an answer does not wait for the rest of its request
		t.attempt.body.StopSending(t.patience())
	}
	err := t.body.Close()
	t.conn.release()
	return err
}
