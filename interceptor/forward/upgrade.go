package forward

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/kedacore/http-add-on/interceptor/body"
)

// halfOpenFor bounds a tunnel in which one side has ended. A client that closed its connection
// looks like one that has only finished sending. A backend that ignores the end would keep the
// tunnel in flight, so that its target never sleeps. Few clients need long for the rest of an
// answer: WebSocket closes both ways (RFC 6455, 7.1.1).
const halfOpenFor = 30 * time.Second

// upgrade passes a 101 on and connects the client with the backend. It ends when one of them
// fails, when both have sent everything, half a minute after one of them has, or with the request
// timeout. An error means that nothing was sent to the client.
func (c *call) upgrade(out *http.Request, res *http.Response) error {
	asked, got := upgradeType(out.Header), upgradeType(res.Header)
	backend, ok := res.Body.(io.ReadWriteCloser)
	if !ok || asked == "" || !printable(got) || !httpguts.HeaderValuesContainsToken([]string{asked}, got) {
		return fmt.Errorf("backend switched to protocol %q when %q was requested", got, asked)
	}
	client, buffered, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		return fmt.Errorf("taking over the client's connection: %w", err)
	}
	defer client.Close()
	timeout := func() { _ = client.SetDeadline(past) } // what fails on one side ends both
	if !c.clock.watch(timeout) {
		timeout()
	}

	spellWebSocket(res.Header)
	for name, values := range c.w.Header() {
		res.Header[name] = values
	}
	// Only the head is written. To a POST net/http would add "Content-Length: 0", which a 101
	// must not have (RFC 9110, 8.6).
	res.Body, res.Request = nil, nil
	if res.Write(buffered) != nil || buffered.Flush() != nil {
		return nil // the client has left, and no one is there to answer
	}
	// The client may have sent more already. Behind its buffer is the connection.
	early := io.LimitReader(buffered, int64(buffered.Reader.Buffered()))
	join(client, backend, io.MultiReader(early, client), c.copies)
	return nil
}

// join copies in both directions until one of them fails or both have ended.
func join(client, backend io.ReadWriteCloser, fromClient io.Reader, large *body.Budget) {
	end := func() {
		_ = client.Close()
		_ = backend.Close()
	}
	halfOpen := sync.OnceValue(func() *time.Timer { return time.AfterFunc(halfOpenFor, end) })
	connect := func(dst io.Writer, src io.Reader) {
		if tunnel(dst, src, large) != nil {
			// One direction that fails ends both; one that ends leaves the other.
			end()
		}
		halfOpen()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		connect(backend, fromClient)
	}()
	connect(client, backend)
	<-done
	halfOpen().Stop()
}

// tunnel copies one direction of a connection, and tells its receiver when it ends.
func tunnel(dst io.Writer, src io.Reader, large *body.Budget) error {
	if err := copyBody(dst, src, -1, large); err != nil {
		return err
	}
	if half, ok := dst.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return io.ErrClosedPipe // the other direction cannot go on alone
}

// upgraded is a connection that has switched to another protocol.
type upgraded struct{ *conn }

// Read reads what came with the response, and then from the connection.
func (u *upgraded) Read(p []byte) (int, error) {
	if u.reader.Buffered() > 0 {
		return u.reader.Read(p)
	}
	return u.stream.Read(p)
}

func (u *upgraded) Write(p []byte) (int, error) { return u.stream.Write(p) }

// CloseWrite tells the backend that nothing more comes.
func (u *upgraded) CloseWrite() error {
	if half, ok := u.stream.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return u.Close()
}

// Close may be called again, and by several goroutines.
func (u *upgraded) Close() error {
	u.release()
	return u.wire.Close()
}
