package forward_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/interceptor/exchange"
)

// flushes counts what a response sends before it is over.
type flushes struct {
	*httptest.ResponseRecorder
	n int
}

func (w *flushes) Flush() { w.n++ }

func TestShortResponseOfKnownLengthIsSentInOnePiece(t *testing.T) {
	backend := serve(t, false, hello)
	f := to(t, backend.Listener.Addr().String())
	w, x := &flushes{ResponseRecorder: httptest.NewRecorder()}, &exchange.Exchange{Route: f.route}
	x.Upstream.Target = f.target
	x.Upstream.Slot, _ = f.target.Endpoints.Pick()
	if err := f.forwarder.ServeExchange(w, httptest.NewRequest(http.MethodGet, "/", nil), x); err != nil {
		t.Fatal(err)
	}
	// The body may be a moment late, when the machine is busy.
	if w.Body.String() != "hello" || w.n > 1 {
		t.Errorf("got %q with %d flushes", w.Body, w.n)
	}
}

func TestResponseOfKnownLengthWaitsForNothing(t *testing.T) {
	for _, h2c := range []bool{false, true} {
		next := make(chan struct{})
		backend := serve(t, h2c, func(w http.ResponseWriter, _ *http.Request) {
			control := http.NewResponseController(w)
			w.Header().Set("Content-Length", "3")
			_ = control.Flush()
			for _, b := range []byte("abc") {
				<-next
				_, _ = w.Write([]byte{b})
				_ = control.Flush()
			}
			<-next
		})
		f := newFixture(backend.Listener.Addr().String())
		f.h2c = h2c
		if h2c {
			f.target.Protocol = exchange.H2C
		}
		f.start(t)
		res := f.get(t, "/") // the head comes alone
		for _, want := range []byte("abc") {
			next <- struct{}{}
			var b [1]byte
			if _, err := io.ReadFull(res.Body, b[:]); err != nil || b[0] != want {
				t.Errorf("read %q, %v", b, err)
			}
		}
		next <- struct{}{}
		if rest := read(t, res.Body); rest != "" || res.ContentLength != 3 {
			t.Errorf("length %d with %q too much", res.ContentLength, rest)
		}
	}
}

// stuck is a client that reads nothing of a response.
type stuck struct {
	*httptest.ResponseRecorder
	until chan struct{}
}

func (w *stuck) Write(p []byte) (int, error) {
	<-w.until
	return len(p), nil
}

func TestClientThatDoesNotReadStopsItsBackend(t *testing.T) {
	const chunk = 16 << 10
	written := make(chan int, 1)
	backend := serve(t, true, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Second))
		n := 0
		for ; n < 25<<20; n += chunk {
			if _, err := w.Write(make([]byte, chunk)); err != nil {
				break
			}
		}
		written <- n
	})
	f := newFixture(backend.Listener.Addr().String())
	f.h2c, f.target.Protocol = true, exchange.H2C
	f.start(t)
	w := &stuck{httptest.NewRecorder(), make(chan struct{})}
	x := &exchange.Exchange{Route: f.route}
	x.Upstream.Target = f.target
	x.Upstream.Slot, _ = f.target.Endpoints.Pick()
	done := make(chan error, 1)
	go func() { done <- f.forwarder.ServeExchange(w, httptest.NewRequest(http.MethodGet, "/", nil), x) }()
	// The window, the buffer that copies, and what the backend itself holds back.
	if n := <-written; n > 80<<10 {
		t.Errorf("the backend got rid of %d bytes that no one reads", n)
	}
	close(w.until)
	if err := <-done; err == nil {
		t.Error("a cut response was complete")
	}
}

// chunks is a client that notes the largest piece of a response.
type chunks struct {
	*httptest.ResponseRecorder
	largest int
	// stopped, if set, is closed once a piece is large, or much has come. Then the client reads no
	// further until stop is closed.
	stopped, stop chan struct{}
}

func (w *chunks) Write(p []byte) (int, error) {
	w.largest = max(w.largest, len(p))
	if w.stopped != nil && (w.largest > 4<<10 || w.Body.Len() > 1<<20) {
		close(w.stopped)
		<-w.stop
		w.stopped = nil
	}
	return w.ResponseRecorder.Write(p)
}

// TestLargeBuffersAreBounded: clients that do not read take no more large buffers than there
// is room for; other answers are copied with small ones.
func TestLargeBuffersAreBounded(t *testing.T) {
	const size = 2 << 20
	backend := serve(t, false, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, size)) })
	f := newFixture(backend.Listener.Addr().String())
	f.options.MaxCopyMemory = 32 << 10
	f.start(t)
	get := func(w http.ResponseWriter) error {
		x := &exchange.Exchange{Route: f.route}
		x.Upstream.Target = f.target
		x.Upstream.Slot, _ = f.target.Endpoints.Pick()
		return f.forwarder.ServeExchange(w, httptest.NewRequest(http.MethodGet, "/", nil), x)
	}
	stopped, stop := make(chan struct{}), make(chan struct{})
	slow := &chunks{ResponseRecorder: httptest.NewRecorder(), stopped: stopped, stop: stop}
	done := make(chan error, 1)
	go func() { done <- get(slow) }()
	<-stopped
	if slow.largest <= 4<<10 {
		t.Errorf("a large body is copied by %d bytes", slow.largest)
	}
	other := &chunks{ResponseRecorder: httptest.NewRecorder()}
	if err := get(other); err != nil || other.Body.Len() != size {
		t.Errorf("%v after %d bytes", err, other.Body.Len())
	}
	if other.largest > 4<<10 {
		t.Errorf("without room a body is copied by %d bytes", other.largest)
	}
	close(stop)
	if err := <-done; err != nil || slow.Body.Len() != size {
		t.Errorf("%v after %d bytes", err, slow.Body.Len())
	}
	again := &chunks{ResponseRecorder: httptest.NewRecorder()}
	if err := get(again); err != nil || again.largest <= 4<<10 {
		t.Errorf("the room is not given back: %v, pieces of %d bytes", err, again.largest)
	}
}
