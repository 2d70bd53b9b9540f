package role

import (
	"bufio"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// ShortBacklog is the length of the accept queue of the backend's "short" port.
	ShortBacklog = 128
	// EventInterval is how often each event stream of the backend has an event.
	EventInterval = 100 * time.Millisecond
	// ClosingIdle is when the backend's "closing" port closes idle connections.
	ClosingIdle = time.Second
	// maxBody is the largest body that the backend answers with.
	maxBody = 10 << 20
)

var zeros = make([]byte, maxBody)

// BackendOptions are files of the certificate of the "tls" port, which is served if
// they are given.
type BackendOptions struct{ Certificate, Key string }

// backend answers at once. Its ports:
//   - "fast" speaks HTTP/1.1 by epoll and costs little;
//   - "http" is a net/http server with h2c, event streams and a WebSocket echo;
//   - "tls" is the same for HTTP/1.1 over TLS;
//   - "closing" closes idle connections soon;
//   - "short" has a short accept queue, and counts its connections (/dialled).
//
// It answers GET and POST of /b/N with N bytes.
func (s *stage) backend() (func(context.Context) error, error) {
	var o BackendOptions
	if err := options(&o); err != nil {
		return nil, err
	}
	fast, err := s.listen("fast")
	if err != nil {
		return nil, err
	}
	tcp := make(map[string]net.Listener)
	for _, name := range []string{"http", "closing", "short"} {
		if tcp[name], err = s.listen(name); err != nil {
			return nil, err
		}
	}
	if o.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(o.Certificate, o.Key)
		if err != nil {
			return nil, err
		}
		plain, err := s.listen("tls")
		if err != nil {
			return nil, err
		}
		// One protocol for all: some proxies would choose HTTP/2 and others not.
		tcp["tls"] = tls.NewListener(plain, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}})
	}
	if err := shorten(tcp["short"]); err != nil {
		return nil, err
	}
	var dialled atomic.Int64
	s.number("/dialled", dialled.Load)
	s.number("/started", func() int64 { return 1 })

	mux := http.NewServeMux()
	mux.HandleFunc("/b/{bytes}", sized)
	mux.HandleFunc("/events", sendEvents)
	mux.HandleFunc("/echo", echo)
	both := &http.Server{Handler: mux, Protocols: new(http.Protocols)}
	both.Protocols.SetHTTP1(true)
	both.Protocols.SetUnencryptedHTTP2(true)
	servers := map[string]*http.Server{
		"http":    both,
		"tls":     {Handler: mux},
		"closing": {Handler: mux, IdleTimeout: ClosingIdle},
		"short": {
			Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }),
			ConnState: func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					dialled.Add(1)
				}
			},
		},
	}
	return func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return serveFast(ctx, fast.(*net.TCPListener)) })
		for name, l := range tcp {
			group.Go(func() error { return serveHTTP(ctx, servers[name], l) })
		}
		return group.Wait()
	}, nil
}

// shorten gives a listener a short accept queue: calling listen again changes it.
func shorten(l net.Listener) error {
	socket, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = socket.Control(func(fd uintptr) { failed = syscall.Listen(int(fd), ShortBacklog) })
	return errors.Join(err, failed)
}

func sized(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	n, err := strconv.Atoi(r.PathValue("bytes"))
	if err != nil || n < 0 || n > maxBody {
		http.Error(w, "no such size", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(n))
	_, _ = w.Write(zeros[:n])
}

// sendEvents sends the time, in nanoseconds since the epoch, as events.
func sendEvents(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	control := http.NewResponseController(w)
	ticker := time.NewTicker(EventInterval)
	defer ticker.Stop()
	for {
		if _, err := w.Write([]byte("data: " + strconv.FormatInt(time.Now().UnixNano(), 10) + "\n\n")); err != nil || control.Flush() != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		}
	}
}

// echo accepts a WebSocket and returns every byte as it came. Proxies do not look
// into frames, so these stay masked.
func echo(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		http.Error(w, "a WebSocket is expected", http.StatusUpgradeRequired)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "no upgrade", http.StatusHTTPVersionNotSupported)
		return
	}
	defer conn.Close()
	accept := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, err = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(accept[:]) + "\r\n\r\n"))
	if err != nil {
		return
	}
	_ = copyAll(conn, buffered.Reader) // until either side leaves
}

func copyAll(to io.Writer, from *bufio.Reader) error {
	for {
		if _, err := from.Peek(1); err != nil {
			return err
		}
		b, err := from.Peek(from.Buffered())
		if err != nil {
			return err
		}
		if _, err := to.Write(b); err != nil {
			return err
		}
		if _, err := from.Discard(len(b)); err != nil {
			return err
		}
	}
}
