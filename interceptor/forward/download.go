package forward

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// headPatience is how long the head of a response may wait for the beginning of
// its body, with which it shares a packet as a rule.
const headPatience = time.Millisecond

// download is the body of a response. It notes how it ended.
type download struct {
	io.ReadCloser
	clock *clock
	whole bool  // it was read to its end
	cut   error // why it was not; nil if nobody read on
}

// Read reads on.
func (d *download) Read(p []byte) (int, error) {
	n, err := d.ReadCloser.Read(p)
	if n > 0 || err != nil {
		d.clock.begun()
	}
	if err == io.EOF {
		d.whole = true
	} else if err != nil {
		d.cut = err
	}
	return n, err
}

// response is what the proxy writes a response of known length to. It sends each
// byte at once, as the proxy itself does where the length is not known, but for the
// last ones: the server sends those when the handler returns, which is now. So a
// short response is one packet and not two.
type response struct {
	http.ResponseWriter

	left int64 // of the body; not positive: none, or not known

	mu   sync.Mutex // a head is flushed on another goroutine, here or in the proxy
	head *time.Timer
	over bool
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// expect tells how much comes. A backend that speaks HTTP/2 may end the body long
// after its last byte, so nothing of that waits.
func (w *response) expect(res *http.Response) {
	if res.ContentLength <= 0 || res.Request.Method == http.MethodHead {
		return
	}
	w.left = res.ContentLength
	if res.ProtoMajor != 1 {
		w.left++ // which never comes
	}
}

// WriteHeader writes the head.
func (w *response) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ResponseWriter.WriteHeader(status)
	if w.left > 0 && status >= http.StatusOK {
		w.head = time.AfterFunc(headPatience, w.flushHead)
	}
}

// flushHead sends the head if the body has not begun.
func (w *response) flushHead() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		_ = w.flush() // the next write finds out too
	}
}

// Write writes some of the body.
func (w *response) Write(p []byte) (int, error) {
	w.end()
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.ResponseWriter.Write(p)
	if w.left -= int64(n); w.left > 0 && err == nil {
		_ = w.flush() // the next write finds out too
	}
	return n, err
}

// FlushError is for http.ResponseController: the proxy flushes event streams,
// whether it knows their length or not.
func (w *response) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flush()
}

// flush sends what was written. The caller holds the lock.
func (w *response) flush() error { return http.NewResponseController(w.ResponseWriter).Flush() }

// end says that the head needs no flush any more.
func (w *response) end() {
	if w.head == nil {
		return
	}
	w.head.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over, w.head = true, nil
}
