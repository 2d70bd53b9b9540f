package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/kedacore/http-add-on/interceptor/coldstart/eta"
)

const (
	// writeTimeout bounds each write, so that a client that stops reading gives
	// its place back.
	writeTimeout = 30 * time.Second
	// dataInterval is how often a data event goes out between comments, which
	// do not reset the event timers of clients (the shortest seen is 120s).
	dataInterval = time.Minute
	// maxComments in a row; go-openai fails after 300 lines without data.
	maxComments = 250
)

// Stream is a committed response that waits for its real answer. The goroutine
// that serves the request owns it.
type Stream struct {
	client  writer
	request Request
	// tick, data and endComments are those of the script. An open stream keeps nothing else of it.
	tick        []byte
	data        func(n int) []byte
	endComments bool
	// visible is set if the texts of the callback are shown, dynamic if the tick has to be rendered
	// each time.
	visible, dynamic bool

	opened   time.Time
	callback *Callback
	progress func() eta.Progress
	// every is after how many ticks a data event takes the place of a comment;
	// since counts them.
	every, since int
	// sent counts our data events, pending the comments after the last one.
	sent, pending int
}

// Open commits the response and writes its first event. The headers that the caller
// has set on w go out with it. Texts that show the progress of the wake ask progress
// for it, whenever they are rendered. After an error the connection is unusable.
func (c *Callback) Open(w http.ResponseWriter, req Request, progress func() eta.Progress) (*Stream, error) {
	s, first := c.begin(w, req, progress)
	w.WriteHeader(http.StatusOK)
	return s, s.client.write(first)
}

// begin makes a stream, the header of its response and the first event. It returns before the
// first write, because net/http needs much stack for the head. The two together do not fit 8 KiB,
// and each stream would keep 16.
func (c *Callback) begin(w http.ResponseWriter, req Request, progress func() eta.Progress) (s *Stream, first []byte) {
	visible := req.harmless && c.display != DisplayNone
	s = &Stream{
		client:   writer{w: w, control: http.NewResponseController(w), http1: req.http1},
		request:  req,
		visible:  visible,
		dynamic:  visible && c.keepalive.Dynamic(),
		opened:   time.Now(),
		callback: c,
		progress: progress,
		every:    int(min(maxComments, (dataInterval+c.interval-1)/c.interval)),
	}
	script := s.script()
	s.tick, s.data, s.endComments, s.sent = bytes.Clone(script.tick), script.data, script.endComments, script.sent
	header := w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Connection"} {
		header.Del(name)
	}
	header.Set("Content-Type", req.dialect.mediaType())
	header.Set("Cache-Control", "no-cache, no-transform")
	header.Set("X-Accel-Buffering", "no")
	if s.sent == 0 {
		s.pending++
	}
	return s, script.first
}

// script renders the events of the stream.
func (s *Stream) script() script {
	return s.request.dialect.script(&s.request, s.callback.texts(s.progress()), s.visible, s.opened)
}

// Interval is the time between two calls of Tick.
func (s *Stream) Interval() time.Duration { return s.callback.interval }

// Tick writes one keepalive.
func (s *Stream) Tick() error {
	if s.dynamic {
		s.tick = bytes.Clone(s.script().tick)
	}
	if s.data == nil {
		return s.client.keepalive(s.tick)
	}
	if s.since++; s.since < s.every {
		s.pending++
		return s.client.keepalive(s.tick)
	}
	return s.client.keepalive(s.nextData())
}

// Fail ends the stream with a failure event: the wait has expired, or the backend
// could not be reached. The caller must abort the connection after an error.
func (s *Stream) Fail(status int, message string) error {
	return s.fail(&problem{status: status, message: truncate(message)})
}

// nextData is the next data event.
func (s *Stream) nextData() []byte {
	event := s.data(s.sent)
	s.sent++
	s.since, s.pending = 0, 0
	return event
}

// afterComments returns the event that separates pending comments from a block that
// must not be lost with them: a failure, or a whole answer. It is often empty. The
// backend's own stream follows the comments verbatim: its first block has the role
// that clients look for, and no text.
func (s *Stream) afterComments() []byte {
	if !s.endComments || s.pending == 0 {
		return nil
	}
	return s.nextData()
}

// fail writes the failure of a stream, and has the connection aborted where clients would
// take a clean end for a complete answer.
func (s *Stream) fail(p *problem) error {
	s.client.lift()
	if failure := s.request.dialect.failure(&s.request, p, s.sent, s.opened); failure != nil {
		lead := s.afterComments()
		if err := s.client.write(append(lead[:len(lead):len(lead)], failure...)); err != nil {
			return err
		}
	}
	if s.request.dialect.cutsFailures || s.request.needs&abortAfterFailure != 0 {
		return fmt.Errorf("%w: status %d", http.ErrAbortHandler, p.status)
	}
	return nil
}

// writer is the connection to the client of a stream.
type writer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	http1   bool
	// bare says that the writer knows no deadlines (httptest.ResponseRecorder).
	bare bool
	// bound is the remaining deadline of a keepalive; zero means no deadline.
	bound time.Time
}

// unwritten is the error of a client that did not take what was written.
func unwritten(err error) error {
	return fmt.Errorf("%w: writing to the client: %w: %w", http.ErrAbortHandler, context.Canceled, err)
}

// write sends p at once, within a bound, and lifts the bound afterwards. On HTTP/2 the bound
// would reset a stream that is merely idle. On HTTP/1.1 it would cut the end of a response that
// net/http writes.
func (c *writer) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	c.limit(time.Now().Add(writeTimeout))
	err := c.send(p)
	c.lift()
	return err
}

// keepalive is write for repeated messages. On HTTP/1.1, where a deadline is about writes only,
// one deadline serves several of them. Otherwise a thousand idle streams spend a good part of
// their time on timers.
func (c *writer) keepalive(p []byte) error {
	if !c.http1 || len(p) == 0 {
		return c.write(p)
	}
	if now := time.Now(); c.bound.Sub(now) < writeTimeout/2 {
		c.limit(now.Add(writeTimeout))
	}
	return c.send(p)
}

// limit bounds the writes to come.
func (c *writer) limit(at time.Time) {
	if c.bare {
		return
	}
	c.bare = errors.Is(c.control.SetWriteDeadline(at), http.ErrNotSupported)
	c.bound = at
}

// lift takes the bound away.
func (c *writer) lift() {
	if c.bare || c.bound.IsZero() {
		return
	}
	// A connection on which this fails fails the next write too.
	_ = c.control.SetWriteDeadline(time.Time{})
	c.bound = time.Time{}
}

// send writes p and flushes it.
func (c *writer) send(p []byte) error {
	if _, err := c.w.Write(p); err != nil {
		return unwritten(err)
	}
	if err := c.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return unwritten(err)
	}
	return nil
}

// keepalives go out while a backend works on its answer. The zero value sends none.
type keepalives struct {
	mu    sync.Mutex
	timer *time.Timer // nil: none are due
	err   error       // the client's connection failed
}

// KeepAlive continues keepalives, from separate goroutines, until the answer begins. The head of
// an answer, the first event behind it, or the end of a JSON answer may take long. A client that
// hears nothing hangs up. KeepAlive is called at most once.
func (p *Splicer) KeepAlive() {
	k := &p.alive
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer = time.AfterFunc(p.stream.Interval(), p.keepAlive)
}

// keepAlive sends one keepalive.
func (p *Splicer) keepAlive() {
	k := &p.alive
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timer == nil {
		return // the answer has begun
	}
	if k.err = p.stream.Tick(); k.err == nil {
		k.timer.Reset(p.stream.Interval())
	} else if p.GiveUp != nil {
		p.GiveUp()
	}
}

// begin ends the keepalives: from here on the goroutine of the handler owns the stream. It may
// be called again.
func (p *Splicer) begin() {
	k := &p.alive
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timer == nil {
		return
	}
	k.timer.Stop()
	k.timer = nil
	if p.err == nil {
		p.err = k.err
	}
	p.stream.client.lift()
}
