package httpserver

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"

	http2client "github.com/kedacore/http-add-on/tests/support/frames"
)

// dial opens HTTP/2 with or without TLS; the server may send window bytes of each response.
func (r *running) dial(t *testing.T, secure bool, window uint32) *http2client.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", r.plain)
	if secure {
		conn, err = tls.Dial("tcp", r.secure, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) //nolint:gosec // a test server's
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	c, err := http2client.Open(conn, window)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ask sends a GET.
func ask(t *testing.T, c *http2client.Conn) uint32 {
	t.Helper()
	stream, err := c.Request(true, http2client.Fields("GET", "a.test", "/")...)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// settled waits until that many streams are open.
func (r *running) settled(t *testing.T, n int64) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for r.connections.streams.open.Load() != n {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d streams are open, want %d", r.connections.streams.open.Load(), n)
		}
	}
}

// A stream is open until its last frame is written, whichever side ends it.
func TestOpenStreamsAreCounted(t *testing.T) {
	for _, secure := range []bool{false, true} {
		r := startWith(t, Options{MaxStreams: 100}, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				return // the body is not read
			}
			_, _ = io.WriteString(w, "hello")
		})
		reads, unread := r.dial(t, secure, 1000), r.dial(t, secure, 0)
		for range 10 {
			if answer, err := reads.Wait(ask(t, reads)); err != nil || string(answer.Body) != "hello" {
				t.Fatalf("got %+v, %v", answer, err)
			}
		}
		r.settled(t, 0)
		var streams []uint32
		for range 10 {
			streams = append(streams, ask(t, unread))
		}
		r.settled(t, 10)
		_ = unread.Reset(streams[0])
		_ = unread.Reset(streams[0])
		r.settled(t, 9)
		stream, err := reads.Request(false, http2client.Fields("POST", "a.test", "/")...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reads.Wait(stream); err != nil {
			t.Fatal(err)
		}
		r.settled(t, 9)
		_ = unread.Close()
		r.settled(t, 0)
	}
}

// Requests beyond the bound wait for their turn, as many as may be served.
func TestRequestsWaitForTheirTurn(t *testing.T) {
	const most = 10
	release := make(chan struct{})
	var now, peak, refused atomic.Int64
	r := startWith(t, Options{MaxStreams: most, Refused: func(*http.Request) { refused.Add(1) }}, func(http.ResponseWriter, *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for old := peak.Load(); n > old && !peak.CompareAndSwap(old, n); old = peak.Load() {
		}
		<-release
	})
	c := r.dial(t, false, 1000)
	statuses := make(chan int, 3*most)
	var all sync.WaitGroup
	for n := range 3 * most {
		stream := ask(t, c)
		// One after the other: while many arrive at a time those that are about to be refused
		// take room, too.
		r.eventually(t, func(c *connections) bool {
			return now.Load() == int64(min(n+1, most)) && c.streams.queued.Load() == int64(min(max(n+1-most, 0), most))
		})
		all.Go(func() {
			answer, err := c.Wait(stream)
			if err != nil {
				t.Error(err)
			}
			statuses <- answer.Status
		})
	}
	for range most { // there is no room for them
		if status := <-statuses; status != http.StatusServiceUnavailable {
			t.Errorf("got %d", status)
		}
	}
	close(release)
	all.Wait()
	for range 2 * most {
		if status := <-statuses; status != http.StatusOK {
			t.Errorf("got %d", status)
		}
	}
	if n := peak.Load(); n > most {
		t.Errorf("%d requests were served at a time", n)
	}
	if n := refused.Load(); n != most {
		t.Errorf("%d requests were noted as refused, want %d", n, most)
	}
}

// Clients that do not read lose their connections when others need the room.
func TestClientsThatDoNotReadMakeRoom(t *testing.T) {
	for _, secure := range []bool{false, true} {
		var shed atomic.Int64
		r := startWith(t, Options{MaxStreams: 10, Shed: func(n int) int { shed.Add(int64(n)); return 0 }}, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello")
		})
		many, few := r.dial(t, secure, 0), r.dial(t, secure, 0)
		for range 8 {
			ask(t, many)
		}
		r.settled(t, 8)
		ask(t, few)
		ask(t, few)
		r.settled(t, 10)
		c := r.dial(t, secure, 1000)
		if answer, err := c.Wait(ask(t, c)); err != nil || string(answer.Body) != "hello" {
			t.Errorf("got %+v, %v", answer, err)
		}
		r.settled(t, 2) // of the connection with few
	}
}

// A client that waits for a response that has not begun does not count as one that does not read.
func TestRequestsThatWaitAreShedForTurns(t *testing.T) {
	held := make(chan struct{}, 10)
	r := startWith(t, Options{MaxStreams: 10, Shed: func(n int) int {
		for range n {
			held <- struct{}{}
		}
		return n
	}}, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			<-held
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	c := r.dial(t, false, 1000)
	var waiting []uint32
	for range 10 {
		stream, err := c.Request(true, http2client.Fields("PUT", "a.test", "/")...)
		if err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, stream)
	}
	r.settled(t, 10)
	if answer, err := c.Wait(ask(t, c)); err != nil || answer.Status != http.StatusOK {
		t.Errorf("got %+v, %v", answer, err)
	}
	for range waiting {
		select {
		case held <- struct{}{}:
		default:
		}
	}
}

// Trailers stay in memory until their stream ends, which may be long after their handler did.
func TestMemoryOfTrailersIsBounded(t *testing.T) {
	const size = 8 << 10
	for _, secure := range []bool{false, true} {
		r := startWith(t, Options{MaxStreams: 1000, MaxHeadMemory: 4 * headMemory * size}, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, "hello")
		})
		other, greedy := r.dial(t, secure, 1000), r.dial(t, secure, 0)
		post := func(c *http2client.Conn, size int) (uint32, error) {
			stream, err := c.Request(false, http2client.Fields("POST", "a.test", "/", "trailer", "x-a")...)
			if err == nil {
				err = c.Trailers(stream, hpack.HeaderField{Name: "x-a", Value: strings.Repeat("~", size)})
			}
			return stream, err
		}
		for range 10 { // they end, and cost nothing from then on
			stream, err := post(other, size)
			if err != nil {
				t.Fatal(err)
			}
			if answer, err := other.Wait(stream); err != nil || string(answer.Body) != "hello" {
				t.Fatalf("got %+v, %v", answer, err)
			}
		}
		kept, err := post(other, 100)
		if err != nil {
			t.Fatal(err)
		}
		var last uint32
		for range 10 {
			if last, err = post(greedy, size); err != nil {
				break // it is closed
			}
		}
		if answer, err := greedy.Wait(last); err == nil {
			t.Errorf("got %+v, want the end of the connection", answer)
		}
		if answer, err := other.Wait(kept); err != nil || string(answer.Body) != "hello" {
			t.Errorf("the other client got %+v, %v", answer, err)
		}
		r.settled(t, 0)
		if charged := r.connections.streams.trailers.Load(); charged != 0 {
			t.Errorf("%d bytes are charged", charged)
		}
	}
}
