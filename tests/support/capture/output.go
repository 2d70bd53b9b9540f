package capture

import (
	"bytes"
	"sync"
)

// Output is a bytes.Buffer that is safe for concurrent use. The zero value is empty and
// ready to use.
type Output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends to the buffer; it never fails.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

// String returns everything that was written.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
