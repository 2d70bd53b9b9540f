package forward

import "sync"

// bufferSize is how much of a body is copied at a time. A stream holds its buffer
// while it waits, so that ten thousand idle streams cost ten thousand of them.
const bufferSize = 16 << 10

// buffers lends the buffers that bodies are copied with.
type buffers struct{ pool sync.Pool }

// Get lends a buffer.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return p[:]
	}
	return make([]byte, bufferSize)
}

// Put takes a buffer back.
func (b *buffers) Put(p []byte) { b.pool.Put((*[bufferSize]byte)(p)) }
