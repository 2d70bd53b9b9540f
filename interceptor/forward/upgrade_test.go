package forward

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedacore/http-add-on/interceptor/body"
)

// half is one end of a connection in memory whose sides end one by one, as TCP's do.
type half struct {
	io.Reader
	in  *io.PipeReader
	out *io.PipeWriter
}

func (h half) Write(p []byte) (int, error) { return h.out.Write(p) }
func (h half) CloseWrite() error           { return h.out.Close() }

func (h half) Close() error {
	_ = h.in.CloseWithError(io.ErrClosedPipe)
	return h.out.CloseWithError(io.ErrClosedPipe)
}

// connection returns the two ends of a connection.
func connection() (a, b half) {
	toB, fromA := io.Pipe()
	toA, fromB := io.Pipe()
	return half{toA, toA, fromA}, half{toB, toB, fromB}
}

// A client that has gone must not stay demand because its backend ignores it.
func TestHalfOpenTunnelEnds(t *testing.T) {
	for name, test := range map[string]struct {
		// use ends what it likes of the tunnel.
		use  func(t *testing.T, client, backend half)
		want time.Duration
	}{
		"the backend ignores that the client ended": {func(_ *testing.T, client, _ half) { _ = client.CloseWrite() }, 30 * time.Second},
		"the client ignores that the backend ended": {func(_ *testing.T, _, backend half) { _ = backend.CloseWrite() }, 30 * time.Second},
		"the backend sends on, and never ends": {func(t *testing.T, client, backend half) {
			_ = client.CloseWrite()
			go func() {
				for t.Context().Err() == nil {
					_, _ = io.WriteString(backend, "tick")
					select {
					case <-time.After(time.Second):
					case <-t.Context().Done():
					}
				}
			}()
			if _, err := io.ReadFull(client, make([]byte, 20*len("tick"))); err != nil {
				t.Errorf("20 s after the client has ended: %v", err)
			}
			go func() { _, _ = io.Copy(io.Discard, client) }()
		}, 30 * time.Second},
		"the rest of an answer": {func(t *testing.T, client, backend half) {
			_ = client.CloseWrite()
			go func() {
				time.Sleep(29 * time.Second)
				_, _ = io.WriteString(backend, "rest")
				_ = backend.CloseWrite()
			}()
			if got, err := io.ReadAll(client); string(got) != "rest" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		}, 29 * time.Second},
		"both have ended":   {func(_ *testing.T, client, backend half) { _, _ = client.CloseWrite(), backend.CloseWrite() }, 0},
		"the client failed": {func(_ *testing.T, client, _ half) { _ = client.Close() }, 0},
		"nobody has ended": {func(_ *testing.T, client, _ half) {
			time.Sleep(time.Hour)
			_ = client.Close()
		}, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, atClient := connection()
				atBackend, backend := connection()
				start, ended := time.Now(), make(chan time.Time, 1)
				go func() {
					join(atClient, atBackend, atClient, body.NewBudget(0))
					ended <- time.Now()
				}()
				test.use(t, client, backend)
				if took := (<-ended).Sub(start); took != test.want {
					t.Errorf("the tunnel ended after %v, want %v", took, test.want)
				}
			})
		})
	}
}
