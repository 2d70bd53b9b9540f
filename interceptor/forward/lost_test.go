package forward_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	requestbody "github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/exchange"
)

// resetting accepts connections and resets each after it has read a request, or at once. If first
// is not 0, it resets only the first ones and answers the others.
func resetting(t *testing.T, atOnce bool, first int64) (address string, seen *atomic.Int64) {
	t.Helper()
	seen = new(atomic.Int64)
	return accepting(t, func(conn net.Conn) {
		n := seen.Add(1)
		answers := first > 0 && n > first
		if answers || !atOnce {
			if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.Copy(io.Discard, r.Body)
			}
		}
		if answers {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
		} else {
			_ = conn.(*net.TCPConn).SetLinger(0)
		}
	}), seen
}

// cold makes the exchange one that was held, its body in memory.
func cold(budget *requestbody.Budget, t *testing.T) func(http.ResponseWriter, *http.Request, *exchange.Exchange) {
	return func(w http.ResponseWriter, r *http.Request, x *exchange.Exchange) {
		x.Cold = true
		if x.Body == nil {
			return
		}
		*r = *x.Body.ReadAhead(budget, 1<<20, requestbody.Whole)
		<-x.Body.Settled()
		t.Cleanup(func() { _ = x.Body.Close() })
	}
}

func TestLostConnectionsMoveOn(t *testing.T) {
	for _, c := range []struct {
		reason, method, body string
		cold                 bool
		header               string
		want                 int
	}{
		{"a GET", "GET", "", false, "", 200},
		{"a HEAD", "HEAD", "", false, "", 200},
		{"a POST that was not held may have been done", "POST", "", false, "", 502},
		{"a POST with a body too", "POST", "hello", false, "", 502},
		{"a POST that says that it may be repeated", "POST", "", false, "Idempotency-Key", 200},
		{"but not with a body that is gone", "POST", "hello", false, "Idempotency-Key", 502},
		{"a PUT whose body is gone", "PUT", "hello", false, "", 502},
		{"a POST that was held", "POST", strings.Repeat("hello", 5000), true, "", 200},
		{"without a body", "POST", "", true, "", 200},
		{"a GET that was held", "GET", "", true, "", 200},
	} {
		t.Run(c.reason, func(t *testing.T) {
			bodies := make(chan string, 100)
			backend := serve(t, false, func(_ http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				bodies <- string(b)
			})
			dead, seen := resetting(t, false, 0)
			f := newFixture(dead, backend.Listener.Addr().String())
			if c.cold {
				f.prepare = cold(requestbody.NewBudget(0), t)
			}
			f.start(t)
			for seen.Load() == 0 { // endpoints take turns
				r, err := http.NewRequest(c.method, f.front.URL, strings.NewReader(c.body))
				if err != nil {
					t.Fatal(err)
				}
				if c.header != "" {
					r.Header.Set(c.header, "1")
				}
				res := f.do(t, r)
				if want := c.want; seen.Load() > 0 && res.StatusCode != want {
					t.Errorf("status %d, want %d", res.StatusCode, want)
				}
				if res.StatusCode == http.StatusOK {
					if got := <-bodies; got != c.body {
						t.Errorf("the backend got %d bytes of %d", len(got), len(c.body))
					}
				}
			}
			if n := seen.Load(); n != 1 {
				t.Errorf("the dead endpoint was asked %d times", n)
			}
		})
	}
}

func TestLostConnectionsAreFew(t *testing.T) {
	for _, c := range []struct {
		endpoints int
		tries     int64
	}{{1, 2}, {2, 2}, {3, 3}, {5, 3}} {
		t.Run(fmt.Sprint(c.endpoints), func(t *testing.T) {
			var addresses []string
			var counts []*atomic.Int64
			for range c.endpoints {
				address, seen := resetting(t, false, 0)
				addresses, counts = append(addresses, address), append(counts, seen)
			}
			f := to(t, addresses...)
			if res := f.get(t, "/"); res.StatusCode != http.StatusBadGateway {
				t.Errorf("status %d", res.StatusCode)
			}
			var total int64
			for _, n := range counts {
				total += n.Load()
				if c.endpoints > 1 && n.Load() > 1 {
					t.Errorf("one was asked %d times", n.Load())
				}
			}
			if total != c.tries {
				t.Errorf("%d tries, want %d", total, c.tries)
			}
		})
	}
}

func TestTheOnlyEndpointIsAskedAgain(t *testing.T) {
	for _, direct := range []bool{true, false} {
		address, seen := resetting(t, true, 1)
		f := newFixture(address)
		f.options.DirectPodRouting, f.target.Address = direct, address
		f.start(t)
		if got := read(t, f.get(t, "/").Body); got != "hello" || seen.Load() != 2 {
			t.Errorf("direct %v: got %q after %d tries", direct, got, seen.Load())
		}
		if err := f.result(t); err != nil {
			t.Error(err)
		}
	}
}

// TestHintsAreNoAnswer: behind informational responses, only a request that may run twice is
// repeated.
func TestHintsAreNoAnswer(t *testing.T) {
	const hints, processing, asks = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "HTTP/1.1 102 Processing\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"
	for _, c := range []struct {
		reason, method, says, body string
		cold                       bool
		key                        string
		asked                      int64
	}{
		{"a GET", "GET", hints, "", false, "", 2},
		{"a GET that was held", "GET", hints + processing, "", true, "", 2},
		{"a PUT that was held", "PUT", asks, "hello", true, "", 2},
		{"a POST with a key", "POST", processing, "hello", true, "Idempotency-Key", 2},
		{"a POST", "POST", hints, "", false, "", 1},
		{"a POST that was held", "POST", asks, "hello", true, "", 1},
		{"a PATCH that was held", "PATCH", processing, "hello", true, "", 1},
		{"a GET whose answer has begun behind them", "GET", hints + "HTTP/1.1 200 OK\r\nConte", "", false, "", 1},
	} {
		t.Run(c.reason, func(t *testing.T) {
			var asked atomic.Int64
			address := accepting(t, func(conn net.Conn) {
				r, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				if asked.Add(1) == 1 {
					_, _ = io.WriteString(conn, c.says)
				} else {
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
				}
			})
			f := newFixture(address)
			if c.cold {
				f.prepare = cold(requestbody.NewBudget(0), t)
			}
			f.start(t)
			r, err := http.NewRequest(c.method, f.front.URL, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if c.key != "" {
				r.Header.Set(c.key, "1")
			}
			want := http.StatusOK
			if c.asked == 1 {
				want = http.StatusBadGateway
			}
			if res := f.do(t, r); res.StatusCode != want || asked.Load() != c.asked {
				t.Errorf("status %d after %d requests, want %d after %d", res.StatusCode, asked.Load(), want, c.asked)
			}
		})
	}
}

// TestLargeHeldBodiesAreSentAgain: the body of a held request stays in memory while half of the
// budget is free. It need not be one that can ask for a stream.
func TestLargeHeldBodiesAreSentAgain(t *testing.T) {
	for _, c := range []struct {
		reason string
		size   int
		h2c    bool
		budget int64
		want   int
	}{
		{"300 kB", 300_000, false, 0, 200},
		{"2 MB", 2_000_000, false, 16 << 20, 200},
		{"70 kB by HTTP/2", 70_000, true, 0, 200},
		{"300 kB by HTTP/2", 300_000, true, 1 << 20, 200},
		{"more than half of the budget", 700_000, false, 1 << 20, 502},
		{"more than half of the budget, by HTTP/2", 700_000, true, 1 << 20, 502},
	} {
		t.Run(c.reason, func(t *testing.T) {
			address, seen := resetting(t, false, 1)
			f := newFixture(address)
			f.h2c = c.h2c
			f.prepare = func(_ http.ResponseWriter, r *http.Request, x *exchange.Exchange) {
				x.Cold = true
				*r = *x.Body.ReadAhead(requestbody.NewBudget(c.budget), requestbody.ReadAheadLimit, requestbody.Repetition)
				t.Cleanup(func() { _ = x.Body.Close() })
				for deadline := time.Now().Add(time.Minute); c.want == 200 && !x.Body.Ended() && time.Now().Before(deadline); {
					time.Sleep(time.Millisecond)
				}
			}
			f.start(t)
			res, err := f.client.Post(f.front.URL, "audio/wav", bytes.NewReader(make([]byte, c.size)))
			if err != nil {
				t.Fatal(err)
			}
			if _ = res.Body.Close(); res.StatusCode != c.want || seen.Load() > 2 {
				t.Errorf("status %d after %d requests, want %d", res.StatusCode, seen.Load(), c.want)
			}
		})
	}
}

// An answer that has begun is not asked for again.
func TestAnAnswerThatBeganIsFinal(t *testing.T) {
	var asked atomic.Int64
	f := to(t, accepting(t, func(conn net.Conn) {
		asked.Add(1)
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = io.WriteString(conn, "H")
	}))
	if res := f.get(t, "/"); res.StatusCode != http.StatusBadGateway || asked.Load() != 1 {
		t.Errorf("status %d after %d requests", res.StatusCode, asked.Load())
	}
}

// A body in memory costs its budget until the answer begins, not until it ends.
func TestHeldBodyIsGivenBackWithTheAnswer(t *testing.T) {
	finish := make(chan struct{})
	backend := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "hello")
		_ = http.NewResponseController(w).Flush()
		<-finish
	})
	defer close(finish)
	budget := requestbody.NewBudget(64 << 10) // room for one body
	f := newFixture(backend.Listener.Addr().String())
	f.prepare = cold(budget, t)
	f.start(t)
	for range 3 {
		res, err := f.client.Post(f.front.URL, "text/plain", bytes.NewReader(make([]byte, 40<<10)))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if _, err := io.ReadFull(res.Body, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		upload := requestbody.Open(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(make([]byte, 40<<10))))
		upload.ReadAhead(budget, 64<<10, requestbody.Whole)
		<-upload.Settled()
		if _, whole := upload.Whole(); !whole {
			t.Error("the body of an answered request is kept")
		}
		_ = upload.Close()
	}
}

// A client that speaks HTTP/2 may send a GET whose body ends later, with trailers.
func TestOpenGetFromHTTP2(t *testing.T) {
	trailers := make(chan string, 1)
	backend := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		trailers <- fmt.Sprint(string(b), err, r.Trailer.Get("X-Sum"), r.TransferEncoding)
	})
	f := newFixture(backend.Listener.Addr().String())
	f.h2c = true
	f.start(t)
	for _, text := range []string{"", "hello"} {
		body, send := io.Pipe()
		r, err := http.NewRequest(http.MethodGet, f.front.URL, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Trailer = http.Header{"X-Sum": nil}
		go func() {
			_, _ = io.WriteString(send, text)
			r.Trailer.Set("X-Sum", "7")
			_ = send.Close()
		}()
		if res := f.do(t, r); res.StatusCode != http.StatusOK {
			t.Errorf("status %d", res.StatusCode)
		}
		if got := <-trailers; got != text+"<nil>7[chunked]" {
			t.Errorf("the backend got %q", got)
		}
	}
}

func TestLostHandshakeIsTriedAgain(t *testing.T) {
	backend := serveTLS(t, hello)
	dead, seen := resetting(t, true, 0)
	f := newFixture(dead, backend.Listener.Addr().String())
	f.secure, f.options.TLS = true, insecure()
	f.start(t)
	for seen.Load() == 0 {
		res, err := f.client.Post(f.front.URL, "text/plain", io.MultiReader(strings.NewReader("hello")))
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, res.Body); got != "hello" {
			t.Errorf("got %q", got)
		}
		_ = res.Body.Close()
	}
	for len(f.results) > 0 {
		if err := <-f.results; err != nil {
			t.Error(err)
		}
	}
}
