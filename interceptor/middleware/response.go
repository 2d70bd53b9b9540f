package middleware

import (
	"bufio"
	"net"
	"net/http"
)

// response notes what was committed to the client. It forwards everything else
// by Unwrap, so that flushes, deadlines and full duplex keep working.
type response struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader notes the first final status; informational ones pass by.
func (w *response) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes of the body.
func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
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
