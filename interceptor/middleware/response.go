package middleware

import (
	"bufio"
	"net"
	"net/http"

	"github.com/kedacore/http-add-on/interceptor/body"
)

// response records what was committed to the client. It forwards everything else
// by Unwrap, so that flushes, deadlines and full duplex keep working.
type response struct {
	http.ResponseWriter
	status  int
	bytes   int64
	body    *body.Body  // of the request; nil if its connection does not depend on it
	leaving func() bool // reports whether connections are about to be closed; nil means never
}

// WriteHeader notes the first final status; informational ones pass by.
func (w *response) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
		if status >= 200 && w.last() {
			w.Header().Set("Connection", "close")
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// last reports whether the answer is the last one on its connection. It is if the
// request has not arrived to its end: with full duplex net/http (Go 1.26) does not close
// the connection by itself, takes what comes later for the next request, and panics if
// the end comes after the handler's. It also is while the process is about to stop: a
// request that a client sends in the moment in which its idle connection is closed would
// be lost.
func (w *response) last() bool {
	return !w.body.Ended() || w.leaving != nil && w.leaving()
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
