package forward

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/kedacore/http-add-on/interceptor/body"
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

// flush sends what was written. It is called before each read that waits for the
// backend, and at no other time: a token, an event or a byte does not wait for the
// next one, and a short response is one packet.
func (d *downstream) flush() {
	if d.pending {
		d.pending = false
		_ = http.NewResponseController(d.w).Flush() // the next write fails too
	}
}

// copyBody copies what comes, as it comes. A stream may be idle for hours, so it
// waits with a small buffer; one that fills it gets a large one, if large has room, and
// one whose length is known to need that begins with it. A client that does not read keeps
// its buffer: 700 of them took 45 MiB.
func copyBody(dst io.Writer, src io.Reader, length int64, large *body.Budget) error {
	pool := &smallBuffers
	if length > int64(pool.size) && large.Reserve(largeBuffers.size) {
		pool = &largeBuffers
	}
	buf := pool.get()
	defer func() {
		pool.put(buf)
		if pool == &largeBuffers {
			large.Release(largeBuffers.size)
		}
	}()
	for {
		n, err := src.Read(*buf)
		if n > 0 {
			if _, err := dst.Write((*buf)[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case pool == &smallBuffers && n == pool.size && large.Reserve(largeBuffers.size):
			pool.put(buf)
			pool = &largeBuffers
			buf = pool.get()
		}
	}
}

// bufferPool lends buffers.
type bufferPool struct {
	size int
	pool sync.Pool
}

// A large buffer fits the first cache of a core: 64 KiB cost half as much again.
var (
	smallBuffers = bufferPool{size: 4 << 10}
	largeBuffers = bufferPool{size: 32 << 10}
)

func (p *bufferPool) get() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, p.size)
	return &b
}

func (p *bufferPool) put(b *[]byte) { p.pool.Put(b) }
