// Package httpserver serves HTTP/1.1 and HTTP/2, with and without TLS, on listeners that the
// caller opens. It shuts down without cutting requests in flight, WebSockets included. It must
// not know what is served.
package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
)

const (
	// readHeaderTimeout bounds the head of a request, so that idle half-sent
	// requests cannot use up the process.
	readHeaderTimeout = 30 * time.Second
	// idleTimeout of kept connections. It is longer than that of load balancers in front of us
	// (up to 10 minutes), because they must be the ones to close. Otherwise a request may meet a
	// connection that is just closing.
	idleTimeout = 620 * time.Second
	// maxStreams on one HTTP/2 connection. A gRPC client holds a single connection, and
	// opens another one when held requests use that up.
	maxStreams = 250
	// connectionWindow is StreamWindow for all streams of a connection: larger, so that a few
	// unread uploads do not stall an ingress's connection.
	connectionWindow = 1 << 20
	// frameSize is the lowest maximum frame size of HTTP/2 (RFC 9113, 4.2). net/http's default is
	// 1 MiB. It allocates a buffer for a frame after the 9 bytes that carry the frame's length.
	frameSize = 16 << 10
	// An HTTP/2 client that has vanished is found by pings: no write fails while
	// nothing is written. For HTTP/1.1 TCP's keep-alive does it.
	pingAfter, pingTimeout = 30 * time.Second, 15 * time.Second
)

// StreamWindow is how many bytes of one HTTP/2 request body may wait in memory for their
// handler.
const StreamWindow = 64 << 10

// FieldMemory is the memory that a field of a head takes in addition to its name and its value,
// in bytes.
const FieldMemory = 64

// Options configures a Server.
type Options struct {
	// TLS configures the TLS listeners; nil if there are none. It must provide certificates
	// itself. Do not change it afterwards.
	TLS *tls.Config
	// MaxHeaderBytes bounds the head of a request; 0 is net/http's default, 1 MiB. HTTP/2
	// adds 32 bytes for each field. net/http answers a longer one with 431 by itself.
	MaxHeaderBytes int
	// MaxHeadMemory bounds the memory, in bytes, of heads that are being read, except for the
	// first bytes of each. Beyond it, the server cuts the heads that have been unfinished for
	// longest. 0 means no bound.
	MaxHeadMemory int64
	// MaxConnections bounds the open connections of all listeners together. To admit another one,
	// the server closes the connection that has been idle for longest; if none is idle, it calls
	// Shed. 0 means no bound.
	MaxConnections int
	// MaxStreams bounds the open HTTP/2 streams of all connections together. Further requests
	// wait for their turn, at most as many again. Meanwhile the server closes connections whose
	// clients do not read, or else calls Shed. 0 means no bound.
	MaxStreams int
	// Shed ends the newest requests that wait, n at most, and returns how many it ended.
	// Each calls Retire of its Client. Nil if no request can be ended.
	Shed func(n int) int
	// Refused is called with each request that was answered with 503 as too many streams are
	// open; Handler never sees it. It must not keep the request. Nil if no one counts them.
	Refused func(r *http.Request)
	// Log for what happens on connections.
	Log logr.Logger
}

// Server serves one handler on any number of listeners. It has no write timeout, because streams
// and held requests live long.
type Server struct {
	http        *http.Server
	connections *connections
	secure      *tls.Config
}

// New returns a server that listens to nothing yet.
func New(next http.Handler, o Options) *Server {
	s := &Server{connections: newConnections(o.MaxConnections)}
	s.connections.maxHeads, s.connections.shed, s.connections.refused = o.MaxHeadMemory, o.Shed, o.Refused
	s.connections.maxHead = int64(o.MaxHeaderBytes)
	s.connections.log = o.Log
	s.connections.streams.max = int64(o.MaxStreams)
	if o.TLS != nil {
		s.secure = secureConfig(o.TLS)
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http = &http.Server{
		Handler:           &handler{s.connections, next},
		Protocols:         &protocols,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    o.MaxHeaderBytes,
		// The handler logs and counts OPTIONS * too.
		DisableGeneralOptionsHandler: true,

		ConnContext: connContext,
		ConnState:   connState,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReadFrameSize:              frameSize,
			MaxReceiveBufferPerStream:     StreamWindow,
			MaxReceiveBufferPerConnection: connectionWindow,
			SendPingTimeout:               pingAfter,
			PingTimeout:                   pingTimeout,
		},
		ErrorLog: errorLog(o.Log),
	}
	return s
}

// Serve answers plain HTTP on a listener, which it owns from then on. It returns
// nil as soon as Shutdown is called, which returns when all is over.
func (s *Server) Serve(l net.Listener) error {
	return ended(l, s.http.Serve(s.connections.listen(l, nil)))
}

// ServeTLS is Serve for TLS.
func (s *Server) ServeTLS(l net.Listener) error {
	return ended(l, s.http.Serve(s.connections.listen(l, s.secure)))
}

func ended(l net.Listener, err error) error {
	if err == nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving on %s: %w", l.Addr(), err)
}

// CloseLate closes the connections that have sent a part of a head for longer than half a
// second, and returns how many there were. What they take in memory is not known.
func (s *Server) CloseLate() int { return s.connections.late() }

// Shutdown closes the listeners, and waits until every request is answered and every hijacked
// connection is closed. When ctx ends first, it cuts the rest and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err == nil {
		// What is open now was hijacked.
		err = s.connections.wait(ctx)
	}
	if err == nil {
		return nil
	}
	cut := errors.Join(s.http.Close(), s.connections.close())
	return errors.Join(fmt.Errorf("waiting for requests to end: %w", err), cut)
}
