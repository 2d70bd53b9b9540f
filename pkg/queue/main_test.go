package queue

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kedacore/http-add-on/tests/support/listen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// demand is a Source that tests change.
type demand struct {
	mu     sync.Mutex
	counts Counts
	feeds  map[chan struct{}]bool
}

func newDemand(counts Counts) *demand {
	return &demand{counts: counts, feeds: map[chan struct{}]bool{}}
}

func (d *demand) Counts() Counts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.counts)
}

func (d *demand) Feed() Feed {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := make(chan struct{}, 1)
	d.feeds[c] = true
	return &polled{source: d, changed: c, cancel: func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.feeds, c)
	}}
}

// readers is how many feeds there are.
func (d *demand) readers() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.feeds)
}

// set changes the count of a route; urgently, if the feeds are signalled.
func (d *demand) set(route string, c Count, urgent bool) {
	d.change(func() { d.counts[route] = c }, urgent)
}

// remove deletes a route.
func (d *demand) remove(route string, urgent bool) {
	d.change(func() { delete(d.counts, route) }, urgent)
}

func (d *demand) change(f func(), urgent bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
	for c := range d.feeds {
		if !urgent {
			break
		}
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// polled is the feed of a Source that says only that something changed.
type polled struct {
	source  Source
	changed <-chan struct{}
	cancel  func()
	counts  Counts // at the last look
	removed bool
}

// look gets the counts.
func (f *polled) look() {
	now := f.source.Counts()
	for route := range f.counts {
		if _, ok := now[route]; !ok {
			f.removed = true
		}
	}
	f.counts = now
}

func (f *polled) Changed(u Urgency) <-chan struct{} {
	if u == Soon {
		return f.changed
	}
	return nil
}

func (f *polled) Take(u Urgency, _ int, visit func(string, Count)) bool {
	switch u {
	case AtOnce: // it cannot tell
	case Soon:
		f.All(visit)
	default: // Round has looked
		f.visit(visit)
	}
	return false
}

func (f *polled) Round() bool {
	f.look()
	removed := f.removed
	f.removed = false
	return removed
}

func (f *polled) All(visit func(string, Count)) {
	f.look()
	f.visit(visit)
}

func (f *polled) visit(visit func(string, Count)) {
	for route, count := range f.counts {
		visit(route, count)
	}
}

func (f *polled) Close() { f.cancel() }

// pipe is a listener in memory that counts how often it was dialled.
type pipe struct {
	*listen.Memory
	dialled atomic.Int32
}

func (p *pipe) dial(ctx context.Context, network, address string) (net.Conn, error) {
	p.dialled.Add(1)
	return p.Dial(ctx, network, address)
}

// serve starts a server in the bubble of the test, and returns how to dial it
// and a Client of it.
func serve(t *testing.T, h http.Handler) (*pipe, *Client) {
	t.Helper()
	p := &pipe{Memory: listen.NewMemory()}
	both := new(http.Protocols)
	both.SetHTTP1(true)
	both.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: h, Protocols: both}
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(p) })
	transport := &http.Transport{DialContext: p.dial}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		running.Wait()
	})
	return p, &Client{HTTP: &http.Client{Transport: transport}}
}

// received is an event and when it came, since the watch began.
type received struct {
	After time.Duration
	Event Event
}

// watching is a Watch that runs.
type watching struct {
	t      *testing.T
	start  time.Time
	events chan received
	err    chan error
	cancel context.CancelFunc
}

// watch starts one; it ends with the test.
func watch(t *testing.T, c *Client) *watching {
	ctx, cancel := context.WithCancel(t.Context())
	w := &watching{t: t, start: time.Now(), events: make(chan received, 1000), err: make(chan error, 1), cancel: cancel}
	go func() {
		w.err <- c.Watch(ctx, "http://interceptor/queue", func(e Event) {
			w.events <- received{time.Since(w.start), e}
		})
	}()
	t.Cleanup(cancel)
	return w
}

// next is the next event; in a bubble that may take any fake time.
func (w *watching) next() received {
	w.t.Helper()
	select {
	case e := <-w.events:
		return e
	case err := <-w.err:
		if errors.Is(err, io.EOF) {
			w.t.Fatal("the stream ended")
		}
		w.t.Fatalf("the watch ended: %v", err)
	}
	return received{}
}

// pass lets time pass in a bubble.
func pass(d time.Duration) { <-time.After(d) }
