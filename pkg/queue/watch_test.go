package queue

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	idle = Count{}
	cold = Count{Concurrency: 1, RequestCount: 1, Cold: true}
)

func TestWatchEvents(t *testing.T) {
	const ms = time.Millisecond
	tests := map[string]struct {
		reason string
		start  Counts
		happen func(d *demand)
		want   []received
	}{
		"snapshot and bookmarks": {
			reason: "a silent interceptor shows that it is alive",
			start:  Counts{"ns/a": idle},
			happen: func(*demand) { pass(11 * time.Second) },
			want: []received{
				{0, Event{Type: Snapshot, Counts: Counts{"ns/a": idle}}},
				{5 * time.Second, Event{Type: Bookmark}},
				{10 * time.Second, Event{Type: Bookmark}},
			},
		},
		"no route": {
			reason: "an interceptor without routes says so",
			start:  Counts{},
			happen: func(*demand) { pass(ms) },
			want:   []received{{0, Event{Type: Snapshot}}},
		},
		"cold hit": {
			reason: "KEDA hears of a cold hit at once, and of what did not change nothing",
			start:  Counts{"ns/a": idle, "ns/b": idle},
			happen: func(d *demand) {
				pass(33 * ms)
				d.set("ns/a", cold, true)
				pass(ms)
			},
			want: []received{
				{0, Event{Type: Snapshot, Counts: Counts{"ns/a": idle, "ns/b": idle}}},
				{33 * ms, Event{Type: Update, Counts: Counts{"ns/a": cold}}},
			},
		},
		"burst of cold hits": {
			reason: "what comes within 5 ms of an urgent line is one line, with the last counts",
			start:  Counts{},
			happen: func(d *demand) {
				pass(33 * ms)
				d.set("ns/a", cold, true)
				pass(ms)
				d.set("ns/b", cold, true)
				d.set("ns/c", cold, true)
				pass(ms)
				d.set("ns/b", idle, true)
				pass(10 * ms)
				d.set("ns/c", idle, true)
				pass(ms)
			},
			want: []received{
				{0, Event{Type: Snapshot}},
				{33 * ms, Event{Type: Update, Counts: Counts{"ns/a": cold}}},
				{38 * ms, Event{Type: Update, Counts: Counts{"ns/b": idle, "ns/c": cold}}},
				{45 * ms, Event{Type: Update, Counts: Counts{"ns/c": idle}}},
			},
		},
		"other changes": {
			reason: "what is not urgent is gathered for 250 ms; what is the same again is not told",
			start:  Counts{"ns/a": idle, "ns/b": idle},
			happen: func(d *demand) {
				for i := range int64(20) {
					pass(10 * ms)
					d.set("ns/a", Count{Concurrency: i, RequestCount: i}, false)
				}
				d.set("ns/b", cold, false)
				d.set("ns/b", idle, false)
				pass(500 * ms)
			},
			want: []received{
				{0, Event{Type: Snapshot, Counts: Counts{"ns/a": idle, "ns/b": idle}}},
				{250 * ms, Event{Type: Update, Counts: Counts{"ns/a": {Concurrency: 19, RequestCount: 19}}}},
			},
		},
		"route removed": {
			reason: "an update cannot say that a route is gone; that is not urgent",
			start:  Counts{"ns/a": idle, "ns/b": idle},
			happen: func(d *demand) {
				pass(33 * ms)
				d.remove("ns/a", true)
				pass(300 * ms)
				d.remove("ns/b", false)
				d.set("ns/c", cold, false)
				pass(300 * ms)
			},
			want: []received{
				{0, Event{Type: Snapshot, Counts: Counts{"ns/a": idle, "ns/b": idle}}},
				{250 * ms, Event{Type: Snapshot, Counts: Counts{"ns/b": idle}}},
				{500 * ms, Event{Type: Snapshot, Counts: Counts{"ns/c": cold}}},
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDemand(test.start)
				_, client := serve(t, NewHandler(d, nil))
				w := watch(t, client)
				synctest.Wait()
				test.happen(d)
				synctest.Wait()
				w.cancel()
				if err := <-w.err; !errors.Is(err, context.Canceled) {
					t.Errorf("the watch ended with %v", err)
				}
				close(w.events)
				var got []received
				for e := range w.events {
					got = append(got, e)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", test.reason, diff)
				}
			})
		})
	}
}

func TestWatchEndsWithItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDemand(Counts{})
		_, client := serve(t, NewHandler(d, nil))
		w := watch(t, client)
		w.next()
		if d.readers() != 1 {
			t.Fatalf("%d feeds of one reader", d.readers())
		}
		w.cancel()
		if err := <-w.err; !errors.Is(err, context.Canceled) {
			t.Errorf("the watch ended with %v", err)
		}
		synctest.Wait()
		if d.readers() != 0 {
			t.Errorf("%d feeds after the reader left", d.readers())
		}
	})
}

func TestWatchEndsCleanlyWithTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, done := newDemand(Counts{}), make(chan struct{})
		_, client := serve(t, NewHandler(d, done))
		w := watch(t, client)
		w.next()
		close(done)
		if err := <-w.err; !errors.Is(err, io.EOF) {
			t.Errorf("the watch ended with %v, want a clean end", err)
		}
	})
}

// What the reader heard last counts for as long as the interceptor is listed.
func TestTheLastCountsAreToldAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, done := newDemand(Counts{"ns/a": {Concurrency: 1, RequestCount: 1}}), make(chan struct{})
		_, client := serve(t, NewHandler(d, done))
		w := watch(t, client)
		w.next()
		d.set("ns/a", Count{RequestCount: 1}, false)
		close(done)
		if err := <-w.err; !errors.Is(err, io.EOF) {
			t.Errorf("the watch ended with %v, want a clean end", err)
		}
		if len(w.events) != 1 {
			t.Fatalf("%d events before the end", len(w.events))
		}
		if diff := cmp.Diff(Counts{"ns/a": {RequestCount: 1}}, w.next().Event.Counts); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestASlowReaderIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDemand(Counts{})
		p, _ := serve(t, NewHandler(d, nil))
		conn, err := p.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "GET %s?watch=1 HTTP/1.1\r\nHost: interceptor\r\n\r\n", Path); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		synctest.Wait()
		d.set("ns/a", cold, true) // no one reads this line
		pass(writeTimeout - time.Millisecond)
		synctest.Wait()
		if d.readers() != 1 {
			t.Fatal("cut before its time was over")
		}
		pass(time.Minute)
		synctest.Wait()
		if d.readers() != 0 {
			t.Error("a reader that does not read is kept forever")
		}
	})
}

// The admin port has other paths, which set no deadline themselves.
func TestADeadlineDoesNotOutliveItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mux := http.NewServeMux()
		mux.Handle(Path, NewHandler(newDemand(Counts{}), nil))
		mux.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
		p, client := serve(t, mux)
		for _, path := range []string{Path, "/livez"} {
			response, err := client.HTTP.Get("http://interceptor" + path)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if _, err := io.Copy(io.Discard, response.Body); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			response.Body.Close()
			pass(2 * writeTimeout)
		}
		if n := p.dialled.Load(); n != 1 {
			t.Errorf("%d connections: this proves nothing", n)
		}
	})
}

func TestALongWatch(t *testing.T) {
	h1, h2c := new(http.Protocols), new(http.Protocols)
	h1.SetHTTP1(true)
	h2c.SetUnencryptedHTTP2(true)
	for name, protocols := range map[string]*http.Protocols{"HTTP/1.1": h1, "h2c": h2c} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDemand(Counts{})
				p, client := serve(t, NewHandler(d, nil))
				transport := &http.Transport{DialContext: p.dial, Protocols: protocols}
				defer transport.CloseIdleConnections()
				client.HTTP.Transport = transport
				w := watch(t, client)
				if e := w.next().Event; e.Type != Snapshot {
					t.Errorf("the first event is %v", e)
				}
				for range 2 * maxSilence / bookmarkInterval {
					if e := w.next().Event; e.Type != Bookmark {
						t.Errorf("a quiet interceptor sent %v", e)
					}
				}
				w.cancel()
				if err := <-w.err; !errors.Is(err, context.Canceled) {
					t.Errorf("the watch ended with %v", err)
				}
			})
		})
	}
}

func TestWatchOfVeryManyRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counts := Counts{}
		for i := range 10000 {
			counts[fmt.Sprintf("some-namespace/route-%d", i)] = Count{RequestCount: int64(i)}
		}
		_, client := serve(t, NewHandler(newDemand(counts), nil))
		w := watch(t, client)
		if diff := cmp.Diff(counts, w.next().Event.Counts); diff != "" {
			t.Errorf("snapshot (-want +got):\n%s", diff)
		}
	})
}
