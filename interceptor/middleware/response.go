package middleware

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// response notes what was committed to the client. It forwards everything else
// by Unwrap, so that flushes, deadlines and full duplex keep working.
type response struct {
	http.ResponseWriter
	status int
	bytes  int64
	body   *body // of the request; nil if it cannot block
}

// WriteHeader notes the first final status; informational ones pass by. An
// answer to a request that has not arrived to its end is the last one on its
// connection: with full duplex net/http does not say so by itself, takes what
// comes after its patience for the next request, and panics if the end comes
// after the handler's (Go 1.26).
func (w *response) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
		if status >= 200 && w.body != nil && !w.body.ended.Load() {
			w.Header().Set("Connection", "close")
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes of the body.
func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Hijack notes the upgrade: net/http's reverse proxy writes the 101 to the
// connection itself.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buf, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil && w.status == 0 {
		w.status = http.StatusSwitchingProtocols
	}
	return conn, buf, err
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// committed says that the status line is out of our hands.
func (w *response) committed() bool { return w.status != 0 }

// body is a request's, and knows whether it was read to its end.
type body struct {
	io.ReadCloser
	ended atomic.Bool
}

// Read reads from the client.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.ended.Store(true)
	}
	return n, err
}
