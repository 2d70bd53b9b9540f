package coldstart

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
)

// TestBodyIsReadWithinABoundAndReachesTheBackendWhole: whatever its length, and
// however much of it was read ahead, the next reader gets every byte.
func TestBodyIsReadWithinABoundAndReachesTheBackendWhole(t *testing.T) {
	const limit = 100 << 10
	for _, c := range []struct {
		reason        string
		size          int
		unknownLength bool
		budget        int64
		complete      bool
		most          int // bytes read ahead at most
	}{
		{"nothing", 0, false, 0, true, 0},
		{"nothing, said so by its end", 0, true, 0, true, 0},
		{"small", 10, false, 0, true, 10},
		{"small, of unknown length", 10, true, 0, true, 10},
		{"larger than the first buffers", 90 << 10, false, 0, true, 90 << 10},
		{"larger than the first buffers, of unknown length", 90 << 10, true, 0, true, 90 << 10},
		{"just the limit", limit, false, 0, true, limit},
		{"just the limit, of unknown length", limit, true, 0, true, limit},
		{"one byte over the limit", limit + 1, false, 0, false, 0},
		{"one byte over the limit, of unknown length", limit + 1, true, 0, false, limit + 1},
		{"far over the limit, of unknown length", 10 * limit, true, 0, false, limit + 1},
		{"over the budget", 5000, false, 1000, false, 0},
		{"over the budget, of unknown length", 9000, true, 5000, false, 5000},
		{"within the budget", 900, false, 1000, true, 900},
	} {
		t.Run(c.reason, func(t *testing.T) {
			want := []byte(strings.Repeat("0123456789", c.size/10+1)[:c.size])
			var source io.Reader = bytes.NewReader(want)
			if c.unknownLength {
				source = iotest.HalfReader(source)
			}
			r := httptest.NewRequest("POST", "/", source)
			budget := NewBudget(c.budget)
			body, err := budget.ReadWhole(httptest.NewRecorder(), r, limit)
			if err != nil {
				t.Fatal(err)
			}
			if body.Complete != c.complete || len(body.Bytes) > c.most || !bytes.HasPrefix(want, body.Bytes) {
				t.Errorf("complete %v with %d bytes, want %v with at most %d", body.Complete, len(body.Bytes), c.complete, c.most)
			}
			if c.complete && len(body.Bytes) != c.size {
				t.Errorf("%d bytes of %d", len(body.Bytes), c.size)
			}
			if c.budget > 0 && budget.used.Load() > c.budget {
				t.Errorf("%d bytes of a budget of %d", budget.used.Load(), c.budget)
			}
			got, err := io.ReadAll(r.Body)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("the backend gets %d bytes of %d: %v", len(got), len(want), err)
			}
			if r.GetBody != nil {
				again, _ := r.GetBody()
				if got, _ := io.ReadAll(again); !bytes.Equal(got, want) {
					t.Error("the second try differs")
				}
			}
			if err := r.Body.Close(); err != nil {
				t.Error(err)
			}
			body.Close()
			body.Close()
			if used := budget.used.Load(); used != 0 {
				t.Errorf("%d bytes are not given back", used)
			}
		})
	}
}

func TestBudgetIsShared(t *testing.T) {
	budget := NewBudget(1500)
	read := func() Body {
		body, err := budget.ReadWhole(httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("x", 1000))), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	first, second := read(), read()
	if !first.Complete || second.Complete || len(second.Bytes) != 0 {
		t.Error("the second body has no room")
	}
	first.Close()
	if third := read(); !third.Complete {
		t.Error("there is room again")
	}
}

func TestBodyThatBreaksGivesTheBudgetBack(t *testing.T) {
	for _, c := range []struct {
		reason string
		source io.Reader
		ctx    func() context.Context
		want   error
	}{
		{"half-sent", io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF)), context.Background, io.ErrUnexpectedEOF},
		{"reset", iotest.ErrReader(&net.OpError{Op: "read", Err: errors.New("connection reset by peer")}), context.Background, io.ErrUnexpectedEOF},
		{"reset of an HTTP/2 stream", iotest.ErrReader(errors.New("client disconnected")), func() context.Context {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return ctx
		}, context.Canceled},
		{"a reader that gives nothing", emptyReader{}, context.Background, io.ErrUnexpectedEOF},
	} {
		t.Run(c.reason, func(t *testing.T) {
			budget := NewBudget(0)
			r := httptest.NewRequest("POST", "/", c.source).WithContext(c.ctx())
			body, err := budget.ReadWhole(httptest.NewRecorder(), r, 1<<20)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if body.Complete || budget.used.Load() != 0 {
				t.Errorf("complete %v, %d bytes held", body.Complete, budget.used.Load())
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

// TestStalledUpload: progress, however slow, is fine; 30 seconds without are not.
func TestStalledUpload(t *testing.T) {
	budget := NewBudget(0)
	var took time.Duration
	handler := func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		_, err := budget.ReadWhole(w, r, 1<<20)
		took = time.Since(start)
		if !errors.Is(err, ErrStalled) {
			t.Errorf("got %v", err)
		}
		w.WriteHeader(http.StatusRequestTimeout)
	}
	dialogue(t, handler, func(conn net.Conn) {
		send(t, conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n0")
		for range 3 {
			timer := time.NewTimer(29 * time.Second)
			<-timer.C
			send(t, conn, "1")
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || answer.StatusCode != http.StatusRequestTimeout || !answer.Close {
			t.Errorf("got %+v %v", answer, err)
		}
	})
	if took != 3*29*time.Second+stallTimeout {
		t.Errorf("after %v", took)
	}
	if budget.used.Load() != 0 {
		t.Error("the budget is not given back")
	}
}

// TestHeldRequestNoticesThatItsClientLeft: net/http does so only once the body
// was read, and the deadline of the reading must not look like it.
func TestHeldRequestNoticesThatItsClientLeft(t *testing.T) {
	budget := NewBudget(0)
	left := make(chan time.Duration, 1)
	handler := func(w http.ResponseWriter, r *http.Request) {
		body, err := budget.ReadWhole(w, r, 1<<20)
		if err != nil || !body.Complete || string(body.Bytes) != "0123456789" {
			t.Errorf("got %+v %v", body, err)
		}
		defer body.Close()
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
		_, err := budget.ReadWhole(w, r, 1<<20)
		failed <- err
	}
	dialogue(t, handler, func(conn net.Conn) {
		send(t, conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234")
		_ = conn.Close()
		if err := <-failed; !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// TestExpectContinue: a client that waits for 100 Continue is told to go on, but
// not to send what nobody would keep.
func TestExpectContinue(t *testing.T) {
	for _, c := range []struct {
		reason   string
		limit    int64
		complete bool
	}{
		{"a body that is read", 100, true},
		{"a body that is too long", 5, false},
	} {
		t.Run(c.reason, func(t *testing.T) {
			handler := func(w http.ResponseWriter, r *http.Request) {
				body, err := NewBudget(0).ReadWhole(w, r, c.limit)
				if err != nil || body.Complete != c.complete {
					t.Errorf("got %+v %v", body, err)
				}
				fmt.Fprint(w, len(body.Bytes))
			}
			dialogue(t, handler, func(conn net.Conn) {
				send(t, conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
				in := bufio.NewReader(conn)
				line, err := in.ReadString('\n')
				if err != nil || strings.Contains(line, "100") != c.complete {
					t.Fatalf("got %q %v", line, err)
				}
				if c.complete {
					_, _ = in.ReadString('\n')
					send(t, conn, "0123456789")
					line, _ = in.ReadString('\n')
				}
				if !strings.Contains(line, "200") {
					t.Errorf("got %q", line)
				}
				if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, in)
			})
		})
	}
}

// TestClaimedLengthIsNotBelieved: a client that says much and sends little holds
// little of the budget.
func TestClaimedLengthIsNotBelieved(t *testing.T) {
	budget := NewBudget(0)
	var held int64
	r := httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader("x"), readerFunc(func([]byte) (int, error) {
		held = budget.used.Load()
		return 0, io.ErrUnexpectedEOF
	})))
	r.ContentLength = 16 << 20
	if _, err := budget.ReadWhole(httptest.NewRecorder(), r, 16<<20); err == nil {
		t.Error("no error")
	}
	if held > ReadAheadLimit {
		t.Errorf("%d bytes held for one byte", held)
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
