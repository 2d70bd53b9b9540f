package forward

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/kedacore/http-add-on/pkg/httpserver"
)

const (
	// writePatience is how long the rest of a body may take once its answer is complete. After
	// that, the connection is closed. net/http waits as long.
	writePatience = 50 * time.Millisecond
	// clientPatience is how long a client of HTTP/1.1 may be silent in the middle of its body once
	// the answer is complete. Then its read is interrupted, and net/http resets the connection: a
	// client that reads no answer before it has sent everything would lose it.
	clientPatience = 500 * time.Millisecond
	// maxInline is the largest body that the goroutine which serves a request writes. The
	// buffers of a connection take it, so that a backend which answers before it reads
	// does not block.
	maxInline = 64 << 10
	// freeHead is how much of a head costs nothing while it is read. headMemory is the most
	// memory that each further byte takes: a field of 7 bytes has an entry in a map.
	freeHead, headMemory = bufferSize, 32
	// maxFields is how many fields the head of a response may have.
	maxFields = 1000
	// bufferSize of a connection is net/http's: it bounds the trailers and the lines of
	// chunks.
	bufferSize = 4 << 10
	// unwatched is how long an attempt runs before it is watched for the end of its call, at most. With
	// the deadline of the request before, it is half of that at least. Most answers come sooner, and a
	// deadline costs less.
	unwatched = 20 * time.Millisecond
)

// past is a deadline that ends what waits at once.
var past = time.Unix(1, 0)

var (
	errHeadTooLarge = errors.New("the head of the response is too large")
)

// wire is a socket to a backend. Reads know whether they would wait, also below TLS.
type wire struct {
	net.Conn
	// raw gives access to the file descriptor; nil if the connection is not a socket.
	raw syscall.RawConn
	// client is flushed before a read waits; nil for none.
	client *downstream
	// probing ends reads that would wait, with os.ErrDeadlineExceeded. TLS survives that.
	probing bool
	// late is called once a read has waited until a deadline, and the read goes on; nil for
	// a deadline that ends it.
	late func()
	// open counts wires that were not closed.
	open   *atomic.Int64
	closed sync.Once

	read    func(fd uintptr) bool // reads into scratch; false: it has to wait
	write   func(fd uintptr) bool // writes scratch; false: all of it, and the answer has to be waited for
	scratch []byte
	n       int
	err     error
}

func newWire(socket net.Conn, open *atomic.Int64) *wire {
	open.Add(1)
	w := &wire{Conn: socket, open: open}
	if s, ok := socket.(syscall.Conn); ok {
		w.raw, _ = s.SyscallConn()
	}
	w.read = func(fd uintptr) bool {
		for {
			w.n, w.err = syscall.Read(int(fd), w.scratch)
			switch {
			case errors.Is(w.err, syscall.EINTR):
				continue
			case !errors.Is(w.err, syscall.EAGAIN):
				return true
			case w.probing:
				w.err = os.ErrDeadlineExceeded
				return true
			}
			w.flush()
			return false
		}
	}
	w.write = func(fd uintptr) bool {
		if len(w.scratch) == 0 {
			return true // the answer is there
		}
		n, err := syscall.Write(int(fd), w.scratch)
		w.n, w.scratch = max(n, 0), w.scratch[max(n, 0):]
		if err != nil && !errors.Is(err, syscall.EINTR) && !errors.Is(err, syscall.EAGAIN) {
			w.err = err
		}
		return len(w.scratch) > 0 || err != nil
	}
	return w
}

// ask writes the end of a request, and waits until there is something to read. The wait begins
// before the write. Otherwise a read would first find out, by a system call, that there is no
// answer yet. A deadline that ends the wait ends the next read too.
func (w *wire) ask(p []byte) (int, error) {
	w.scratch, w.n, w.err = p, 0, nil
	err := w.raw.Read(w.write)
	if w.late != nil && errors.Is(err, os.ErrDeadlineExceeded) && len(w.scratch) > 0 {
		w.late() // before the wait began
		err = w.raw.Read(w.write)
	}
	n, rest := w.n, w.scratch
	w.scratch = nil
	switch {
	case w.err != nil:
		return n, w.err
	case n == 0 && err != nil:
		return 0, err
	case len(rest) == 0:
		return n, nil
	}
	if w.late != nil {
		w.late() // to wait for room may take long
	}
	more, err := w.Write(rest)
	return n + more, err
}

// flush sends what was written to the client.
func (w *wire) flush() {
	if w.client != nil {
		w.client.flush()
	}
}

// Read reads from the backend. What was written to the client is flushed before it waits.
func (w *wire) Read(p []byte) (int, error) {
	if w.raw == nil {
		w.flush()
		return w.Conn.Read(p)
	}
	w.scratch = p
	err := w.raw.Read(w.read)
	for w.late != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		w.late()
		err = w.raw.Read(w.read)
	}
	w.scratch = nil
	switch {
	case err != nil:
		return 0, err
	case w.err == nil && w.n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return max(w.n, 0), w.err
}

// Close closes the socket.
func (w *wire) Close() error {
	w.closed.Do(func() { w.open.Add(-1) })
	return w.Conn.Close()
}

// CloseWrite tells the backend that nothing more comes.
func (w *wire) CloseWrite() error {
	if half, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return w.Close()
}

// conn is a connection to a backend that speaks HTTP/1.1, with or without TLS. It serves one
// request at a time, and the goroutine that serves the request owns it. That goroutine writes the
// request, parses the response with net/http and reads the body. Only a body that may block has a
// separate goroutine that writes it. Cancellation is a deadline.
type conn struct {
	wire   *wire
	stream net.Conn // the wire, or TLS on it
	pool   *pool
	cancel func() // ends what waits for the stream
	late   func() // begins to watch
	plain  bool   // the stream is the wire, and the wire a socket

	reader *bufio.Reader
	writer *bufio.Writer

	used bool          // it had a request before
	idle time.Duration // maximum after the current request; 0: not kept

	idleUntil    time.Time // when it is too old to be used; set by the pool
	trustedUntil time.Time // the deadline of trust that is set; zero for none

	// Of the current request.
	sent    *attempt
	stop    func() bool // ends the watch of the client; false: it has left; nil without one
	writing chan error  // delivers the result of the goroutine that writes; nil without one

	expected chan bool // decides whether a body that waits for 100 Continue is sent; nil: decided
	headLeft int64     // of the heads of the current answer

	charged int64 // for the current head; guarded by the lock of heads
	cut     bool  // that head was cut; guarded alike
	asking  bool  // the next write ends the request, without a body

	received bool // a byte of the answer
	hinted   bool // a 1xx before it
	written  bool // a byte of the request
	broken   bool // the stream took no more of it
}

func newConn(stream net.Conn, wire *wire, pool *pool) *conn {
	c := &conn{stream: stream, wire: wire, pool: pool, idle: idleTimeout}
	c.reader, c.writer = bufio.NewReaderSize((*source)(c), bufferSize), bufio.NewWriterSize((*sink)(c), bufferSize)
	c.cancel, c.late = func() { _ = stream.SetDeadline(past) }, c.watch
	c.plain = stream == net.Conn(wire) && wire.raw != nil
	return c
}

// trust begins an attempt that is not watched yet. The deadline of the request before serves if half
// of the time is left, and no timeout of the route comes sooner.
func (c *conn) trust() {
	if !c.plain || c.sent.in.Context().Err() != nil {
		c.watch()
		return
	}
	c.wire.late = c.late
	now := time.Now()
	until := c.sent.clock.within(now.Add(unwatched))
	if c.trustedUntil.After(until) || c.trustedUntil.Before(now.Add(unwatched/2)) {
		c.trustedUntil = until
		_ = c.wire.SetReadDeadline(until)
	}
}

// watch has the attempt end when its client leaves or a timeout of the route is over, if it
// does not yet.
func (c *conn) watch() {
	c.forgive()
	if c.stop != nil {
		return
	}
	c.stop = context.AfterFunc(c.sent.in.Context(), c.cancel)
	if !c.sent.clock.watch(c.cancel) {
		c.cancel()
	}
}

// forgive takes the deadline of trust back.
func (c *conn) forgive() {
	if !c.trustedUntil.IsZero() {
		c.wire.late, c.trustedUntil = nil, time.Time{}
		_ = c.wire.SetReadDeadline(time.Time{})
	}
}

// check implements sender. An idle connection can take a request if its backend has neither
// closed it nor sent anything. An unsolicited answer would become that of the next request.
func (c *conn) check(client *httpserver.Client) (left, usable bool) {
	unread := c.used
	if unread && c.plain {
		left, unread = client.Look(c.wire.raw)
	} else {
		left = client.Left()
	}
	if !left && unread && !c.silent() {
		_ = c.wire.Close()
		return false, false
	}
	return left, true
}

// silent reports whether an idle connection has nothing to read, not even its end.
func (c *conn) silent() bool {
	c.forgive()
	var b [1]byte
	c.wire.probing = true
	_, err := c.stream.Read(b[:])
	c.wire.probing = false
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// source is the connection as its parsers read it.
type source conn

// Read reads from the backend, within the bound of a head.
func (s *source) Read(p []byte) (int, error) {
	if s.headLeft <= 0 {
		return 0, errHeadTooLarge
	}
	n, err := s.stream.Read(p[:min(int64(len(p)), s.headLeft)])
	s.headLeft -= int64(n)
	if over := s.pool.host.client.maxHead - freeHead - s.headLeft; over > 0 {
		(*conn)(s).watch() // the charge may end it
		s.pool.host.client.heads.charge((*conn)(s), headMemory*min(over, int64(n)))
	}
	return n, err
}

// sink is the connection as the request is written to it.
type sink conn

// Write writes to the backend.
func (s *sink) Write(p []byte) (int, error) {
	write := s.stream.Write
	if s.asking && s.plain {
		write = s.wire.ask
	} else {
		(*conn)(s).watch() // it may wait for room
	}
	n, err := write(p)
	s.written, s.broken = s.written || n > 0, err != nil
	return n, err
}

// ReadFrom is for bufio.Writer: large bodies need not pass its buffer.
func (s *sink) ReadFrom(r io.Reader) (int64, error) {
	count := counter{w: s}
	err := copyBody(&count, r, s.sent.request.ContentLength, s.pool.host.client.copies)
	return count.n, err
}

// counter counts the written bytes.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// send sends the request of an attempt and returns the response.
func (c *conn) send(a *attempt) (*http.Response, error) {
	c.sent, c.wire.client, c.received, c.written, c.broken = a, &a.client, false, false, false
	c.hinted, c.stop = false, nil
	expects := a.request.Body != nil && httpExpects(a.request)
	var err error
	var expected *expectation
	if !expects && a.body.InMemory(maxInline) {
		c.trust()
		if err = c.write(a.request, true); err != nil && !c.written {
			return nil, c.fail(err)
		}
		// A backend may answer and close without reading everything.
	} else {
		c.watch()
		if expects {
			c.expected = make(chan bool, 1)
			expected = &expectation{ReadCloser: a.request.Body, decided: c.expected}
			a.request.Body = expected
		}
		c.writing = make(chan error, 1)
		go c.writeAside(a.request, expected)
	}
	res, readErr := c.readHead(a)
	if readErr != nil {
		if err != nil {
			readErr = err // the first failure is the reason
		}
		return nil, c.fail(readErr)
	}
	c.headLeft = math.MaxInt64
	if res.StatusCode == http.StatusSwitchingProtocols {
		c.watch() // both directions at a time
		if c.writing != nil {
			// The client speaks the new protocol after its request.
			err, c.writing = <-c.writing, nil
			if err != nil {
				return nil, c.fail(err)
			}
		}
		res.Body = &upgraded{c}
		return res, nil
	}
	if c.idle = keepAlive(res.Header); err != nil {
		c.idle = 0
	}
	c.decide(res.StatusCode < 300 && !res.Close)
	res.Body = &responseBody{conn: c, body: res.Body, last: res.Close, ended: res.Body == http.NoBody}
	return res, nil
}

// release ends the cancellation. It reports false if that has begun. The deadline of trust stays
// for the next request: to take it back and set it costs 1 % of one.
func (c *conn) release() bool {
	if c.stop == nil {
		c.wire.late = nil
		return true
	}
	stopped := c.stop()
	return c.sent.clock.unwatch() && stopped
}

// write writes a request with net/http. It may wait for the answer if asking is set.
func (c *conn) write(r *http.Request, asking bool) error {
	if err := writeRequest(c.writer, r); err != nil {
		return err
	}
	c.asking = asking
	err := c.writer.Flush()
	c.asking = false
	return err
}

// writeAside writes a request whose body may block. Its failure ends the call, but what
// the connection fails with shows when it is read: an answer may be there.
func (c *conn) writeAside(r *http.Request, expected *expectation) {
	err := c.write(r, false)
	// net/http hides the reason for which a body was not read.
	unwanted := expected != nil && expected.unwanted
	if err != nil && !c.broken && !unwanted {
		c.cancel()
	}
	c.writing <- err
}

// readHead reads heads of responses up to that of the final one.
func (c *conn) readHead(a *attempt) (res *http.Response, err error) {
	client := c.pool.host.client
	c.headLeft = client.maxHead
	defer func() {
		if client.heads.done(c) {
			res, err = nil, errHeadTooLarge
		}
	}()
	for {
		if !c.received {
			if _, err := c.reader.Peek(1); err != nil {
				return nil, err
			}
			c.received = true
		}
		reader := c.reader
		version, _ := c.reader.Peek(len(http10)) // a parser reports what is wrong
		old := string(version) == http10
		if old {
			if reader, err = c.readHTTP10(); err != nil {
				return nil, err
			}
		}
		res, err := http.ReadResponse(reader, a.request)
		if res != nil && old {
			res.Close = true // the reader of the body may have read more than the body
		}
		switch {
		case err != nil && c.headLeft <= 0:
			return nil, errHeadTooLarge
		case err != nil:
			return nil, err
		case res.StatusCode < 100 || res.StatusCode > 199 || res.StatusCode == http.StatusSwitchingProtocols:
			return res, nil
		case res.StatusCode == http.StatusContinue:
			c.decide(true)
		}
		a.informational(res.StatusCode, res.Header)
		c.received, c.hinted = false, true
	}
}

// http10 is how an answer of HTTP/1.0 begins.
const http10 = "HTTP/1.0"

// readHTTP10 returns a reader for a response of HTTP/1.0. There, net/http ignores
// Transfer-Encoding: the chunks would be the body. By RFC 9112, 6.1, such framing is faulty, and
// the connection ends with the message. The clients of such servers decode it, and so does the
// interceptor. A broken chunk cuts the answer.
func (c *conn) readHTTP10() (*bufio.Reader, error) {
	var head []byte
	for line := 0; len(head) == 0 || len(bytes.TrimRight(head[line:], "\r\n")) > 0; {
		line = len(head)
		for long := true; long; {
			part, err := c.reader.ReadSlice('\n')
			head = append(head, part...)
			if long = errors.Is(err, bufio.ErrBufferFull); err != nil && !long {
				return nil, err
			}
		}
	}
	for line := range bytes.Lines(head) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Transfer-Encoding")) && bytes.EqualFold(bytes.TrimSpace(value), []byte("chunked")) {
			copy(head, "HTTP/1.1")
		}
	}
	return bufio.NewReader(io.MultiReader(bytes.NewReader(head), c.reader)), nil
}

// decide says whether a body that waits for 100 Continue is sent. The first word counts.
func (c *conn) decide(send bool) {
	if c.expected != nil {
		c.expected <- send
		c.expected = nil
	}
}

// fail ends an attempt without a response.
func (c *conn) fail(err error) error {
	failed := &sendError{err: err, reused: c.used}
	_ = c.finish(false)
	switch {
	case c.received, errors.Is(err, errHeadTooLarge): // a flood of interim responses is an answer
	case c.hinted:
		failed.reached = hinted
	case c.written:
		failed.reached = silent
	default:
		failed.reached = unsent
	}
	return failed
}

// finish ends the use of the connection by a request: the goroutine that writes has
// ended when it returns. Only a connection in order is used again.
func (c *conn) finish(reuse bool) error {
	c.decide(false)
	if c.writing != nil {
		c.sent.client.flush() // an answer does not wait for the rest of its request
	}
	if reuse && c.writing != nil {
		timer := time.NewTimer(writePatience)
		defer timer.Stop()
		select {
		case failed := <-c.writing:
			reuse, c.writing = failed == nil, nil
		case <-timer.C:
			reuse = false
		}
	}
	if stopped := c.release(); reuse && stopped && c.wire.raw != nil && c.idle > 0 && c.reader.Buffered() == 0 {
		c.sent, c.wire.client, c.used, c.idleUntil = nil, nil, true, time.Time{}
		c.pool.put(c)
		return nil
	}
	err := c.wire.Close()
	if c.writing == nil {
		return err
	}
	c.sent.body.StopSending(c.sent.patience()) // one that keeps sending ends a read soon
	err = errors.Join(err, <-c.writing)
	c.writing = nil
	return err
}

// keepAlive returns how long a connection may be idle: less than its backend keeps it.
func keepAlive(header http.Header) time.Duration {
	for _, value := range header["Keep-Alive"] {
		for parameter := range strings.SplitSeq(value, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
			if !strings.EqualFold(name, "timeout") {
				continue
			}
			if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 16); err == nil {
				return min(idleTimeout, time.Duration(seconds)*time.Second*4/5)
			}
		}
	}
	return idleTimeout
}

// responseBody is the body of a response.
type responseBody struct {
	conn   *conn
	body   io.Reader
	last   bool // the backend closes the connection after it
	ended  bool
	closed bool
}

// Read reads on.
func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.ended = b.ended || err == io.EOF
	return n, err
}

// Close gives the connection back if the body was read to its end.
func (b *responseBody) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	return b.conn.finish(b.ended && !b.last)
}
