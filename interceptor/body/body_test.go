package body

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/tests/support/turns"
)

// begin reads the body of r ahead.
func begin(budget *Budget, w http.ResponseWriter, r *http.Request, limit int64, object bool) (*Body, *http.Request) {
	b := Open(w, r)
	if b == nil {
		return nil, r
	}
	interest := Whole
	if object {
		interest = Object
	}
	return b, b.ReadAhead(budget, limit, interest)
}

// receive begins to read the body of r. It waits until all of the body is in memory, cannot be,
// or has failed.
func receive(budget *Budget, w http.ResponseWriter, r *http.Request, limit int64, object bool) (*Body, *http.Request) {
	u, chain := begin(budget, w, r, limit, object)
	if u != nil {
		select {
		case <-u.Settled():
		case <-u.Failed():
		}
	}
	return u, chain
}

// TestBodyIsReadWithinABoundAndReachesTheBackendWhole: whatever its length, and
// however much of it was read ahead, the next reader gets every byte.
func TestBodyIsReadWithinABoundAndReachesTheBackendWhole(t *testing.T) {
	const limit = 100 << 10
	for _, c := range []struct {
		reason        string
		size          int
		unknownLength bool
		object        bool
		budget        int64
		whole         bool
		most          int // bytes read ahead at most
	}{
		{"nothing", 0, false, false, 0, true, 0},
		{"nothing, said so by its end", 0, true, false, 0, true, 0},
		{"small", 10, false, false, 0, true, 10},
		{"small, of unknown length", 10, true, false, 0, true, 10},
		{"larger than the first buffers", 90 << 10, false, false, 0, true, 90 << 10},
		{"larger than the first buffers, of unknown length", 90 << 10, true, false, 0, true, 90 << 10},
		{"just the limit", limit, false, false, 0, true, limit},
		{"just the limit, of unknown length", limit, true, false, 0, true, limit},
		{"one byte over the limit", limit + 1, false, false, 0, false, limit + 1},
		{"one byte over the limit, of unknown length", limit + 1, true, false, 0, false, limit + 1},
		{"far over the limit, of unknown length", 10 * limit, true, false, 4 * limit, false, 2 * limit},
		{"over the budget", 5000, false, false, 1000, false, 0},
		{"over the budget, of unknown length", 9000, true, false, 5000, false, 5000},
		{"within the budget", 900, false, false, 1000, true, 900},
		{"no object where one is looked for", limit, false, true, ReadAheadLimit, false, ReadAheadLimit + 1},
		{"no object where one is looked for, of unknown length", limit, true, true, ReadAheadLimit, false, ReadAheadLimit + 1},
	} {
		t.Run(c.reason, func(t *testing.T) {
			want := []byte(strings.Repeat("0123456789", c.size/10+1)[:c.size])
			var source io.Reader = bytes.NewReader(want)
			if c.unknownLength {
				source = iotest.HalfReader(source)
			}
			r := waiting(source)
			budget := NewBudget(c.budget)
			u, chain := receive(budget, httptest.NewRecorder(), r, limit, c.object)
			ahead, whole := u.Whole()
			if whole != c.whole || len(ahead) > c.most || !bytes.HasPrefix(want, ahead) {
				t.Errorf("whole %v with %d bytes, want %v with at most %d", whole, len(ahead), c.whole, c.most)
			}
			if c.whole && len(ahead) != c.size {
				t.Errorf("%d bytes of %d", len(ahead), c.size)
			}
			if c.budget > 0 && budget.used.Load() > c.budget {
				t.Errorf("%d bytes of a budget of %d", budget.used.Load(), c.budget)
			}
			got, err := io.ReadAll(chain.Body)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("the backend gets %d bytes of %d: %v", len(got), len(want), err)
			}
			if used := budget.used.Load(); used != 0 {
				t.Errorf("%d bytes are kept after the end", used)
			}
			for range 2 {
				if err := u.Close(); err != nil {
					t.Error(err)
				}
			}
			if used := budget.used.Load(); used != 0 {
				t.Errorf("%d bytes are given back twice", -used)
			}
			if u != nil {
				if _, err := u.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
					t.Errorf("after its end: %v", err)
				}
			}
		})
	}
}

// waiting returns a request whose client is noticed when it leaves, whatever is unread, and of
// which the server holds nothing.
func waiting(source io.Reader) *http.Request {
	r := httptest.NewRequest("POST", "/", source)
	r.ProtoMajor = 0 // neither 1 nor with windows
	return r
}

// TestWindowOfHTTP2IsCharged: net/http takes in what a client sends on a stream, read or
// not, until the body ends.
func TestWindowOfHTTP2IsCharged(t *testing.T) {
	const window = 64 << 10
	for _, c := range []struct {
		reason string
		length int64
		want   int
	}{
		{"of unknown length", -1, window},
		{"longer than the window", 10 * window, window},
		{"shorter", 1000, 1000},
	} {
		t.Run(c.reason, func(t *testing.T) {
			budget := NewBudget(0)
			source, client := io.Pipe()
			r := httptest.NewRequest("POST", "/", source)
			r.ProtoMajor, r.ContentLength = 2, c.length
			u := Open(httptest.NewRecorder(), r)
			if got := u.Window(); got != c.want {
				t.Errorf("the window is %d bytes, want %d", got, c.want)
			}
			u.ReadAhead(budget, 20*window, Whole)
			if used := budget.used.Load(); used < int64(c.want) {
				t.Errorf("%d bytes are charged", used)
			}
			if _, err := client.Write(make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			_ = client.Close()
			<-u.ahead.done
			if used := budget.used.Load(); used > firstBuffer {
				t.Errorf("%d bytes are charged after the end", used)
			}
			_ = u.Close()
			if used := budget.used.Load(); used != 0 || u.Window() != 0 {
				t.Errorf("%d bytes are kept", used)
			}
		})
	}
}

// TestUnreadBytesOfHTTP1AreReadOn: they hide that the client has left. The limit is what
// may be looked at as a whole.
func TestUnreadBytesOfHTTP1AreReadOn(t *testing.T) {
	const limit = 100 << 10
	for _, c := range []struct {
		reason           string
		length           string
		size             int
		object, whole    bool
		budget           int64
		fails, untouched bool
	}{
		{reason: "over the limit", length: "Content-Length: 300000", size: 300_000},
		{reason: "over the limit, of unknown length", size: 300_000},
		{reason: "no object where one is looked for", length: "Content-Length: 90000", size: 90_000, object: true},
		{reason: "no object where one is looked for, as small as what is held", length: "Content-Length: 60000", size: 60_000, object: true, whole: true},
		{reason: "within the limit", length: "Content-Length: 90000", size: 90_000, whole: true},
		{reason: "over the budget", length: "Content-Length: 300000", size: 300_000, budget: 100_000, fails: true},
		{reason: "over the budget, of unknown length", size: 300_000, budget: 100_000, fails: true},
		{reason: "within the limit and over the budget", length: "Content-Length: 90000", size: 90_000, budget: 50_000, fails: true},
		{reason: "over the limit, and its client waits", length: "Expect: 100-continue\r\nContent-Length: 300000", untouched: true},
	} {
		t.Run(c.reason, func(t *testing.T) {
			budget := NewBudget(c.budget)
			handler := func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Connection", "close")
				start := time.Now()
				u, _ := receive(budget, w, r, limit, c.object)
				defer u.Close()
				patience := time.NewTimer(time.Hour)
				defer patience.Stop()
				select {
				case <-u.Failed():
					var failure *clienterror.Error
					if err := u.Err(); !errors.As(err, &failure) || failure.Status != http.StatusServiceUnavailable {
						t.Errorf("got %v", err)
					}
					if !c.fails || time.Since(start) != blindTimeout {
						t.Errorf("failed after %v", time.Since(start))
					}
				case <-patience.C:
					if c.fails {
						t.Error("the client is waited for although no one sees it leave")
					}
				}
				if _, whole := u.Whole(); whole != c.whole {
					t.Errorf("whole %v", whole)
				}
				if !c.fails && u.Ended() == c.untouched {
					t.Errorf("read to its end: %v", u.Ended())
				}
			}
			dialogue(t, handler, func(conn net.Conn) {
				if c.length != "" {
					send(t, conn, "POST / HTTP/1.1\r\nHost: a\r\n"+c.length+"\r\n\r\n")
					go func() { _, _ = io.WriteString(conn, strings.Repeat("0", c.size)) }()
				} else {
					send(t, conn, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
					go func() { _, _ = fmt.Fprintf(conn, "%x\r\n%s\r\n0\r\n\r\n", c.size, strings.Repeat("0", c.size)) }()
				}
				_, _ = io.Copy(io.Discard, conn)
			})
		})
	}
}

func TestRequestWithoutBodyCostsNothing(t *testing.T) {
	r := httptest.NewRequest("GET", "/", http.NoBody)
	budget, w := NewBudget(1), httptest.NewRecorder()
	if n := testing.AllocsPerRun(10, func() {
		u, chain := begin(budget, w, r, 1<<20, true)
		if _, whole := u.Whole(); !whole || chain != r || u.Failed() != nil {
			t.Error("it is whole")
		}
		_ = u.Close()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestBudgetIsShared(t *testing.T) {
	budget := NewBudget(1500)
	take := func() *Body {
		r := httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("x", 1000)))
		u, _ := receive(budget, httptest.NewRecorder(), r, 1<<20, false)
		return u
	}
	whole := func(u *Body) bool { _, whole := u.Whole(); return whole }
	first, second := take(), take()
	if !whole(first) || whole(second) {
		t.Error("the second body has no room")
	}
	_ = first.Close()
	third := take()
	if !whole(third) {
		t.Error("there is room again")
	}
	_, _ = second.Close(), third.Close()
	if used := budget.used.Load(); used != 0 {
		t.Errorf("%d bytes are not given back", used)
	}
}

// TestTrailersBelongToTheReader: net/http writes the trailers of the request that it made when
// the body ends, whichever goroutine reads them then.
func TestTrailersBelongToTheReader(t *testing.T) {
	r := httptest.NewRequest("POST", "/", nil)
	r.ContentLength = -1
	r.Trailer = http.Header{"X-Sum": nil}
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader("abc"), readerFunc(func([]byte) (int, error) {
		r.Trailer["X-Sum"] = []string{"7"}
		return 0, io.EOF
	})))
	u, chain := receive(NewBudget(0), httptest.NewRecorder(), r, 1<<20, false)
	if values, declared := chain.Trailer["X-Sum"]; !declared || values != nil {
		t.Errorf("before the end: %v", chain.Trailer)
	}
	if got, err := io.ReadAll(chain.Body); string(got) != "abc" || err != nil {
		t.Errorf("got %q %v", got, err)
	}
	if got := chain.Trailer.Get("X-Sum"); got != "7" {
		t.Errorf("after the end: %v", chain.Trailer)
	}
	_ = u.Close()
}

func TestBodyThatBreaks(t *testing.T) {
	for _, c := range []struct {
		reason string
		source io.Reader
		proto  int
		status int // 0: the client has left
	}{
		{"half-sent", io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF)), 1, 0},
		{"reset", iotest.ErrReader(&net.OpError{Op: "read", Err: errors.New("connection reset by peer")}), 1, 0},
		{"end of an HTTP/2 connection", iotest.ErrReader(errors.New("client disconnected")), 2, 0},
		{"reset of an HTTP/2 stream", iotest.ErrReader(errors.New("stream error: stream ID 1; CANCEL")), 2, 0},
		{"less than an HTTP/2 request says", iotest.ErrReader(errors.New("request declared a Content-Length of 2 but only wrote 1 bytes")), 2, http.StatusBadRequest},
		{"a broken chunk", iotest.ErrReader(errors.New("invalid byte in chunk length")), 1, http.StatusBadRequest},
		{"a reader that gives nothing", emptyReader{}, 1, http.StatusBadRequest},
	} {
		t.Run(c.reason, func(t *testing.T) {
			budget := NewBudget(0)
			r := httptest.NewRequest("POST", "/", c.source)
			r.ProtoMajor = c.proto
			u, _ := begin(budget, httptest.NewRecorder(), r, 1<<20, false)
			<-u.Failed()
			failure := &clienterror.Error{}
			if err := u.Err(); errors.As(err, &failure) != (c.status != 0) || failure.Status != c.status || errors.Is(err, context.Canceled) != (c.status == 0) {
				t.Errorf("got %v", err)
			}
			if _, whole := u.Whole(); whole {
				t.Error("it is not whole")
			}
			_ = u.Close()
			if used := budget.used.Load(); used != 0 {
				t.Errorf("%d bytes are not given back", used)
			}
		})
	}
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }

// dialogue runs a handler on a real server in a bubble, with a client that
// speaks on a pipe.
func dialogue(t *testing.T, handler http.HandlerFunc, client func(conn net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		listener := &oneConn{conn: there, closed: make(chan struct{})}
		server := &http.Server{Handler: handler}
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = server.Serve(listener)
		}()
		client(here)
		_ = here.Close()
		_ = server.Close()
		<-served
		synctest.Wait()
	})
}

// oneConn is a listener that accepts one connection.
type oneConn struct {
	conn   net.Conn
	closed chan struct{}
	taken  bool
}

func (l *oneConn) Accept() (net.Conn, error) {
	if !l.taken {
		l.taken = true
		return l.conn, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}
func (l *oneConn) Close() error   { close(l.closed); return nil }
func (l *oneConn) Addr() net.Addr { return &net.IPAddr{} }

// TestStalledUpload: progress, however slow, is fine; 30 seconds without are not,
// where the body must come to an end by itself.
func TestStalledUpload(t *testing.T) {
	const length, chunked = "Content-Length: 100\r\n\r\n%s", "Transfer-Encoding: chunked\r\n\r\n1\r\n%s\r\n"
	for _, c := range []struct {
		reason, framing, first string
		object, stalls         bool
	}{
		{"a body that says its length", length, "0", false, true},
		{"no object, but it says its length", length, "0", true, true},
		{"an object", length, "{", true, true},
		{"an object of unknown length", chunked, "{", true, false},
		{"a body of unknown length", chunked, "{", false, false},
		{"a body of unknown length that is no object", chunked, "0", true, false},
		{"a body of unknown length that may become an object", chunked, " ", true, false},
	} {
		t.Run(c.reason, func(t *testing.T) {
			budget := NewBudget(0)
			var took time.Duration
			handler := func(w http.ResponseWriter, r *http.Request) {
				start := time.Now()
				u, _ := begin(budget, w, r, 1<<20, c.object)
				patience := time.NewTimer(time.Hour)
				defer patience.Stop()
				select {
				case <-u.Failed():
					if err := u.Err(); !errors.Is(err, errStalled) {
						t.Errorf("got %v", err)
					}
				case <-patience.C:
				}
				took = time.Since(start)
				_ = u.Close()
				w.WriteHeader(http.StatusRequestTimeout)
			}
			want := time.Hour
			dialogue(t, handler, func(conn net.Conn) {
				send(t, conn, "POST / HTTP/1.1\r\nHost: a\r\n"+fmt.Sprintf(c.framing, c.first))
				if c.framing == length {
					for range 3 {
						timer := time.NewTimer(29 * time.Second)
						<-timer.C
						send(t, conn, "1")
					}
				}
				answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil || answer.StatusCode != http.StatusRequestTimeout || !answer.Close {
					t.Errorf("got %+v %v", answer, err)
				}
			})
			switch {
			case c.stalls && c.framing == length:
				want = 3*29*time.Second + stallTimeout
			case c.stalls:
				want = stallTimeout
			}
			if took != want {
				t.Errorf("after %v, want %v", took, want)
			}
			if budget.used.Load() != 0 {
				t.Error("the budget is not given back")
			}
		})
	}
}

// TestHeldRequestNoticesThatItsClientLeft: net/http does so only once the body
// was read.
func TestHeldRequestNoticesThatItsClientLeft(t *testing.T) {
	budget := NewBudget(0)
	left := make(chan time.Duration, 1)
	handler := func(w http.ResponseWriter, r *http.Request) {
		u, _ := receive(budget, w, r, 1<<20, false)
		defer u.Close()
		if body, whole := u.Whole(); !whole || string(body) != "0123456789" {
			t.Errorf("got %q %v", body, whole)
		}
		<-u.ahead.done // nothing of it runs while the request is held
		start := time.Now()
		<-r.Context().Done()
		left <- time.Since(start)
	}
	dialogue(t, handler, func(conn net.Conn) {
		send(t, conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789")
		timer := time.NewTimer(5 * time.Minute)
		<-timer.C
		_ = conn.Close()
		if after := <-left; after != 5*time.Minute {
			t.Errorf("after %v", after)
		}
	})
}

func TestClientThatLeavesWhileSending(t *testing.T) {
	budget := NewBudget(0)
	failed := make(chan error, 1)
	handler := func(w http.ResponseWriter, r *http.Request) {
		u, _ := begin(budget, w, r, 1<<20, false)
		defer u.Close()
		<-u.Failed()
		failed <- u.Err()
	}
	dialogue(t, handler, func(conn net.Conn) {
		send(t, conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234")
		_ = conn.Close()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// TestExpectContinue: a client that waits for 100 Continue gets it, except if it would send what
// we do not keep.
func TestExpectContinue(t *testing.T) {
	for _, c := range []struct {
		reason string
		limit  int64
		whole  bool
	}{
		{"a body that is read", 100, true},
		{"a body that is too long", 5, false},
	} {
		t.Run(c.reason, func(t *testing.T) {
			handler := func(w http.ResponseWriter, r *http.Request) {
				u, _ := receive(NewBudget(0), w, r, c.limit, false)
				body, whole := u.Whole()
				if whole != c.whole {
					t.Errorf("got %q %v", body, whole)
				}
				_ = u.Close()
				fmt.Fprint(w, len(body))
			}
			dialogue(t, handler, func(conn net.Conn) {
				send(t, conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
				in := bufio.NewReader(conn)
				line, err := in.ReadString('\n')
				if err != nil || strings.Contains(line, "100") != c.whole {
					t.Fatalf("got %q %v", line, err)
				}
				if c.whole {
					_, _ = in.ReadString('\n')
					send(t, conn, "0123456789")
					line, _ = in.ReadString('\n')
				}
				if !strings.Contains(line, "200") {
					t.Errorf("got %q", line)
				}
				_ = conn.SetReadDeadline(time.Now().Add(time.Second)) // fails if the server has closed the connection
				_, _ = io.Copy(io.Discard, in)
			})
		})
	}
}

// TestInvitedClientThatLeavesIsNoticed: bytes that it has sent must not hide that.
func TestInvitedClientThatLeavesIsNoticed(t *testing.T) {
	for _, c := range []struct {
		reason  string
		framing string
		limit   int64
		sends   string
	}{
		{"in the middle of a short body", "Content-Length: 100", 1 << 20, strings.Repeat("0", 50)},
		{"in the middle of a long body", "Content-Length: 200000", 1 << 20, strings.Repeat("0", 150_000)},
		{"in the middle of a body that is too long", "Transfer-Encoding: chunked", 100_000, "30d40\r\n" + strings.Repeat("0", 150_000)},
	} {
		t.Run(c.reason, func(t *testing.T) {
			left := make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				u, _ := begin(NewBudget(0), w, r, c.limit, false)
				defer u.Close()
				select {
				case <-u.Failed():
				case <-r.Context().Done():
				}
				close(left)
			}))
			defer server.Close()
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			send(t, conn, "POST / HTTP/1.1\r\nHost: a\r\n"+c.framing+"\r\nExpect: 100-continue\r\n\r\n")
			if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.Contains(line, "100") {
				t.Fatalf("got %q %v", line, err)
			}
			send(t, conn, c.sends)
			_ = conn.Close()
			select {
			case <-left:
			case <-time.After(time.Minute):
				t.Error("it is not noticed")
			}
		})
	}
}

// TestAnswerInTheMiddleOfABody: an answer of the interceptor does not wait for the rest of the
// body, however long that takes.
func TestAnswerInTheMiddleOfABody(t *testing.T) {
	for _, length := range []int{100, 100 << 10} { // read ahead, and left unread
		handler := func(w http.ResponseWriter, r *http.Request) {
			u, _ := begin(NewBudget(0), w, r, ReadAheadLimit, false)
			_ = u.Close()
			w.WriteHeader(http.StatusGatewayTimeout)
		}
		dialogue(t, handler, func(conn net.Conn) {
			start := time.Now()
			send(t, conn, fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\nhalf", length))
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || answer.StatusCode != http.StatusGatewayTimeout || time.Since(start) > closePatience {
				t.Errorf("got %+v %v after %v", answer, err, time.Since(start))
			}
		})
	}
}

// TestClaimedLengthIsNotBelieved: a client that says much and sends little holds
// little of the budget.
func TestClaimedLengthIsNotBelieved(t *testing.T) {
	for _, size := range []int64{60 << 10, 16 << 20} {
		budget := NewBudget(0)
		var held int64
		r := httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader("x"), readerFunc(func([]byte) (int, error) {
			held = budget.used.Load()
			return 0, io.ErrUnexpectedEOF
		})))
		r.ContentLength = size
		u, _ := begin(budget, httptest.NewRecorder(), r, 16<<20, false)
		<-u.Failed()
		_ = u.Close()
		if held > firstBuffer {
			t.Errorf("%d bytes held for one byte of %d", held, size)
		}
	}
}

// TestForwardedUploadIsBounded: a backend that takes nothing makes the client
// wait, and memory that a long body has taken is given back as it flows.
func TestForwardedUploadIsBounded(t *testing.T) {
	const limit = 1 << 20
	budget := NewBudget(2 * limit)
	source := bytes.NewReader(make([]byte, 4<<20))
	u, chain := receive(budget, httptest.NewRecorder(), waiting(struct{ io.Reader }{source}), limit/4, false)
	if held := budget.used.Load(); held > limit {
		t.Errorf("%d bytes are read ahead", held)
	}
	if n, err := io.CopyN(io.Discard, chain.Body, 3<<20); n != 3<<20 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if held := budget.used.Load(); held > ReadAheadLimit {
		t.Errorf("%d bytes are held while it flows", held)
	}
	if n, err := io.Copy(io.Discard, chain.Body); n != 1<<20 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	_ = u.Close()
	if used := budget.used.Load(); used != 0 {
		t.Errorf("%d bytes are not given back", used)
	}
}

// TestUploadIsReadOnWhenThereIsRoomAgain: others give the budget back, and tell no one.
func TestUploadIsReadOnWhenThereIsRoomAgain(t *testing.T) {
	const part, seconds = 50_000, time.Second
	for _, c := range []struct {
		reason string
		head   string
		full   []time.Duration // how long the budget is full before each part of the body
		fails  bool
	}{
		{"a second", "Content-Length: 50000\r\n\r\n", []time.Duration{seconds}, false},
		{"almost too long", "Content-Length: 50000\r\n\r\n", []time.Duration{29*seconds - 1}, false},
		{"chunks", "Transfer-Encoding: chunked\r\n\r\nc350\r\n", []time.Duration{5 * seconds}, false},
		{"twice, in all too long", "Content-Length: 100000\r\n\r\n", []time.Duration{20 * seconds, 20 * seconds}, false},
		{"too long", "Content-Length: 50000\r\n\r\n", []time.Duration{31 * seconds}, true},
	} {
		t.Run(c.reason, func(t *testing.T) {
			budget := NewBudget(1 << 20)
			var more chan struct{} // created in the bubble, because time stands still only for waits on its channels
			handler := func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Connection", "close")
				budget.Take(1 << 20) // another request
				u, _ := begin(budget, w, r, 1<<10, false)
				defer u.Close()
				for i, full := range c.full {
					if i > 0 {
						budget.Take(1 << 20)
						close(more)
					}
					<-time.After(full)
					budget.Release(1 << 20)
					<-time.After(2 * seconds)
				}
				select {
				case <-u.Failed():
					if !c.fails {
						t.Error(u.Err())
					}
				default:
					u.ahead.mu.Lock()
					n := len(u.ahead.buf)
					u.ahead.mu.Unlock()
					if c.fails || n < part*len(c.full) {
						t.Errorf("%d bytes are read, ended %v", n, u.Ended())
					}
				}
			}
			dialogue(t, handler, func(conn net.Conn) {
				more = make(chan struct{})
				send(t, conn, "POST / HTTP/1.1\r\nHost: a\r\n"+c.head)
				go func() {
					_, _ = io.WriteString(conn, strings.Repeat("0", part))
					if len(c.full) > 1 {
						<-more
						_, _ = io.WriteString(conn, strings.Repeat("0", part))
					}
				}()
				_, _ = io.Copy(io.Discard, conn)
			})
		})
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Error(err)
	}
}

func TestReplay(t *testing.T) {
	budget := NewBudget(1 << 20)
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/", strings.NewReader("hello"))
	r.Trailer = http.Header{"X-Sum": {"7"}}
	u, chain := begin(budget, w, r, 1<<10, false)
	chain.Trailer.Del("X-Sum") // as if it had come later
	<-u.Settled()
	for range 2 {
		if b, ok := u.Replay(); !ok || string(b) != "hello" || chain.Trailer.Get("X-Sum") != "7" {
			t.Errorf("got %q, %v with trailers %v", b, ok, chain.Trailer)
		}
	}
	_ = u.Close()
	if _, ok := u.Replay(); ok || budget.used.Load() != 0 {
		t.Errorf("after its end there are %d bytes, %v", budget.used.Load(), ok)
	}

	u, chain = begin(budget, w, httptest.NewRequest("POST", "/", strings.NewReader("hello")), 1<<10, false)
	<-u.Settled()
	_, _ = chain.Body.Read(make([]byte, 1))
	if _, ok := u.Replay(); ok {
		t.Error("a body that somebody reads is not whole any more")
	}
	_ = u.Close()

	for _, others := range []int{0, 1 << 19} { // other requests take half of the budget
		budget.Take(others)
		u, chain = begin(budget, w, httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("hello", 20_000))), 2, false)
		<-u.ahead.done
		if _, whole := u.Whole(); whole {
			t.Error("a body over the limit is of no interest as a whole")
		}
		if b, ok := u.Replay(); ok != (others == 0) || ok && len(b) != 100_000 {
			t.Errorf("beside %d bytes of others: %d bytes, %v", others, len(b), ok)
		}
		if others > 0 {
			if b, err := io.ReadAll(chain.Body); len(b) != 100_000 || err != nil {
				t.Errorf("a body that is not kept: %d bytes, %v", len(b), err)
			}
		}
		_ = u.Close()
		budget.Release(others)
	}
	if used := budget.used.Load(); used != 0 {
		t.Errorf("%d bytes are kept", used)
	}

	if b, ok := (*Body)(nil).Replay(); !ok || len(b) != 0 {
		t.Error("no body is whole")
	}
}

// A client whose bytes are always there already would keep the processor.
func TestALargeBodyLetsOthersRun(t *testing.T) {
	const reads = 1000 // of 256 KiB
	source := turns.Reader(reads)
	r := httptest.NewRequest(http.MethodPost, "/", &source)
	b := Open(httptest.NewRecorder(), r)
	got := turns.During(func() {
		for buf := make([]byte, 256<<10); ; {
			if _, err := b.Read(buf); err != nil {
				return
			}
		}
	})
	if got < reads/8 {
		t.Errorf("another goroutine ran %d times during %d reads", got, reads)
	}
}
