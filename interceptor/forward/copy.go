package forward

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/fair"
)

// downstream is the client, as the body of a response is written to it. The goroutine
// that serves the request owns it.
type downstream struct {
	w http.ResponseWriter
	// pending: something was written and may still be in a buffer.
	pending bool
}

// Write writes some of the body.
func (d *downstream) Write(p []byte) (int, error) {
	d.pending = true
	n, err := d.w.Write(p)
	if err != nil {
		// The backend did not fail, so the client did not take it.
		err = fmt.Errorf("writing to the client failed: %w", context.Canceled)
	}
	return n, err
}

// flush sends the buffered bytes. It is called before each read that waits for the backend, and
// at no other time. So a token, an event or a byte does not wait for the next one, and a short
// response is one packet.
func (d *downstream) flush() {
	if d.pending {
		d.pending = false
		_ = http.NewResponseController(d.w).Flush() // the next write fails too
	}
}

// copyBody copies the bytes as they come. A stream may be idle for hours, so it waits with a
// small buffer. One that fills it gets a larger buffer while large has room, and one of a
// sufficient known length begins with it. A client that does not read keeps its buffer: 700 of
// them took 45 MiB.
func copyBody(dst io.Writer, src io.Reader, length int64, large *body.Budget) error {
	l, turn := loan{large: large}, fair.Turn{}
	for length > int64(buffers[l.tier].size) {
		if !l.larger() {
			break
		}
	}
	buf := buffers[l.tier].get()
	defer func() {
		buffers[l.tier].put(buf)
		large.Release(l.reserved)
	}()
	for {
		n, err := src.Read(*buf)
		if n > 0 {
			if err := write(dst, (*buf)[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		turn.Took(n)
		if tier := l.tier; n == len(*buf) && l.larger() {
			buffers[tier].put(buf)
			buf = buffers[l.tier].get()
		}
	}
}

// mostWritten is how much is written at a time. On loopback, a write of 64 KiB is one packet and a
// tiny second one. It takes 3 times the CPU of the same bytes in pieces of 48 KiB (Linux 6.18).
const mostWritten = 48 << 10

// write writes p in pieces.
func write(dst io.Writer, p []byte) error {
	for len(p) > 0 {
		n := min(len(p), mostWritten)
		if _, err := dst.Write(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// loan is a buffer that is lent to a copy.
type loan struct {
	large    *body.Budget // of all buffers but the smallest
	tier     int          // of buffers
	reserved int
}

// larger takes the room of the next larger buffer. The largest ones leave half of the room
// to others.
func (l *loan) larger() bool {
	if l.tier+1 == len(buffers) {
		return false
	}
	size := buffers[l.tier+1].size
	more := size - l.reserved
	if l.tier+2 == len(buffers) {
		if !l.large.ReserveHalf(more) {
			return false
		}
	} else if !l.large.Reserve(more) {
		return false
	}
	l.tier, l.reserved = l.tier+1, size
	return true
}

// bufferPool lends buffers.
type bufferPool struct {
	size int
	pool sync.Pool
}

// The middle one fits the first cache of a core. The largest one saves system calls that read,
// and is a multiple of what is written at a time. Larger ones save little.
var buffers = [...]bufferPool{{size: 4 << 10}, {size: 32 << 10}, {size: 2 * mostWritten}}

func (p *bufferPool) get() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, p.size)
	return &b
}

func (p *bufferPool) put(b *[]byte) { p.pool.Put(b) }
