package body

import (
	"bytes"
	"errors"
	"io"
	"time"
)

var (
	// errTouched means that a body cannot be sent again.
	errTouched = errors.New("a part of the body was sent already, and is gone")
	// errEnded is what an attempt reads after its end.
	errEnded = errors.New("the attempt to send the body has ended")
)

// Clock measures how long a backend takes. It pauses while the client is waited for.
type Clock interface {
	Pause()
	Resume()
}

// attempt is the body as one attempt to send it reads it. Closing it does not close the body,
// which an attempt without a connection leaves whole for the next one. A goroutine left over from
// an attempt gets nothing of it.
type attempt struct{ body *Body }

// BeginSending prepares the body for attempts to send it. A body that waited in memory is
// sent from there, any number of times.
func (b *Body) BeginSending(clock Clock) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock = clock
	b.memory, b.inMemory = b.Replay()
}

// Attempt returns the body for one more attempt, and invalidates that of the last one. It
// fails once a byte was asked for, unless the body is in memory.
func (b *Body) Attempt() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inMemory {
		return io.NopCloser(bytes.NewReader(b.memory)), nil
	}
	if b.touched {
		return nil, errTouched
	}
	b.current = &attempt{body: b}
	return b.current, nil
}

// InMemory reports whether the whole body is in memory and has at most size bytes, so that
// writing it does not wait for the client.
func (b *Body) InMemory(size int) bool { return b == nil || b.inMemory && len(b.memory) <= size }

// Repeatable reports whether the body can be sent once more.
func (b *Body) Repeatable() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inMemory || !b.touched && b.err == nil
}

// Answered gives the memory of a body back that need not be sent again.
func (b *Body) Answered() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inMemory {
		b.memory = nil
		_ = b.Close() // never fails
	}
}

// StopSending ends the last attempt: its next read fails, and one that waits for the client
// is interrupted after patience. When StopSending returns, no attempt reads.
func (b *Body) StopSending(patience time.Duration) {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.current = nil
	if !b.reading {
		b.mu.Unlock()
		return
	}
	if b.idle == nil {
		b.idle = make(chan struct{})
	}
	idle := b.idle
	b.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
		b.Interrupt()
		<-idle
	}
}

// SendingFailed returns what the client may know of a body that could not be read, nil if
// it could. The error wraps context.Canceled if the client has left.
func (b *Body) SendingFailed() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		return nil
	}
	return b.failure(b.err)
}

// Read reads from the client. Meanwhile the backend's clock stands still.
func (a *attempt) Read(p []byte) (int, error) {
	b := a.body
	b.mu.Lock()
	if b.current != a {
		b.mu.Unlock()
		return 0, errEnded
	}
	b.touched, b.reading = true, true
	b.mu.Unlock()

	b.clock.Pause()
	n, err := b.read(p)
	b.clock.Resume()

	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = false
	if b.idle != nil {
		close(b.idle)
		b.idle = nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// Close does nothing: the body is the server's to close.
func (a *attempt) Close() error { return nil }
