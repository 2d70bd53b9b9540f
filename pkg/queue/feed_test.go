package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLineIsTheEvent(t *testing.T) {
	tests := []Event{
		{Type: Bookmark},
		{Type: Snapshot},
		{Type: Snapshot, Counts: Counts{"ns/a": {}}},
		{Type: Update, Counts: Counts{"ns/llm-7b.v1": {Concurrency: 1 << 21, RequestCount: 1 << 40, Cold: true, Leased: true}}},
		{Type: Update, Counts: Counts{"ns/a": {Cold: true}, "ns/b": {Leased: true}, "ns/c": {RequestCount: 7}}},
		{Type: Update, Counts: Counts{"": {}, "\"\\\n</é\xff\u2028": {Concurrency: 1}}},
	}
	buffer := []byte("what was there before")
	for _, e := range tests {
		want, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		buffer = lineOf(buffer, e)
		if len(e.Counts) < 2 { // else in any order
			if got := string(buffer); got != string(want)+"\n" {
				t.Errorf("got %swant %s", got, want)
			}
		}
		var got, same Event
		if err := json.Unmarshal(buffer, &got); err != nil {
			t.Fatalf("%s: %v", buffer, err)
		}
		if err := json.Unmarshal(want, &same); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(same, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func lineOf(buffer []byte, e Event) []byte {
	line := startLine(buffer, e.Type)
	for route, count := range e.Counts {
		line = appendCount(line, route, count)
	}
	return endLine(line)
}

func FuzzLine(f *testing.F) {
	f.Add("ns/a", int64(1), int64(2), true, false)
	f.Fuzz(func(t *testing.T, route string, concurrency, requests int64, cold, leased bool) {
		e := Event{Type: Update, Counts: Counts{route: {concurrency, requests, cold, leased}}}
		want, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if got := lineOf(nil, e); string(got) != string(want)+"\n" {
			t.Errorf("got %swant %s", got, want)
		}
	})
}

// flood is a Source whose routes all change all the time, faster than any reader reads. A cold
// hit comes in the middle of each round.
type flood struct {
	*demand
	routes, taken int
	hit           bool
}

func (f *flood) Feed() Feed { return f }

func (f *flood) Changed(u Urgency) <-chan struct{} { return nil }

func (f *flood) Take(u Urgency, most int, visit func(string, Count)) bool {
	if u == AtOnce {
		if f.hit {
			visit("ns/cold", cold)
			f.hit = false
		}
		return false
	}
	for range most {
		f.taken++
		visit(fmt.Sprint("ns/", f.taken%f.routes), Count{RequestCount: int64(f.taken)})
	}
	f.hit = f.taken == 2*batch
	return true
}

func (f *flood) Round() bool { return false }

func (f *flood) All(visit func(string, Count)) {
	for i := range f.routes {
		visit(fmt.Sprint("ns/", i), idle)
	}
}

func (f *flood) Close() {}

func TestARoundEndsAndColdHitsGoBetweenItsLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, done := &flood{demand: newDemand(nil), routes: 10 * batch}, make(chan struct{})
		_, client := serve(t, NewHandler(f, done))
		w := watch(t, client)
		if e := w.next(); len(e.Event.Counts) != f.routes {
			t.Errorf("a snapshot of %d routes", len(e.Event.Counts))
		}
		for line := 1; line <= 12; line++ {
			e := w.next()
			if e.After != updateInterval {
				t.Fatalf("line %d came after %v", line, e.After)
			}
			if _, isCold := e.Event.Counts["ns/cold"]; isCold != (line == 3) || !isCold && len(e.Event.Counts) != batch {
				t.Errorf("line %d has %d routes, the cold one among them: %v", line, len(e.Event.Counts), isCold)
			}
		}
		pass(time.Millisecond)
		synctest.Wait()
		if n := len(w.events); n > 0 {
			t.Errorf("the round goes on: %d lines", n)
		}
		close(done) // between two rounds
		if err := <-w.err; !errors.Is(err, io.EOF) {
			t.Errorf("the watch ended with %v", err)
		}
	})
}
