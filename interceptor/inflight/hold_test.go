package inflight

import (
	"strconv"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/pkg/queue"
)

// A hold is demand until its end: readiness does not end it, and no request is needed.
func TestAHoldLastsUntilItsEnd(t *testing.T) {
	c := newClock()
	tracker := NewTracker(c.now)
	r := tracker.Route(route)
	f := tracker.Feed()
	defer f.Close()
	take(f, queue.Gathered)
	kept := queue.Count{Concurrency: 1, Leased: true}
	for _, step := range []struct {
		reason string
		do     func()
		want   queue.Count
	}{
		{"it begins without a request", func() { r.Keep(time.Minute) }, kept},
		{"a shorter one changes nothing", func() { r.Keep(time.Second); c.pass(2 * time.Second) }, kept},
		{"a cold hit of a target that is ready at once does not end it", func() { r.Cold(time.Minute, func() bool { return true }) }, kept},
		{"a longer one extends it", func() { r.Keep(time.Hour); c.pass(time.Hour - 1) }, kept},
		{"its end", func() { c.pass(1) }, queue.Count{}},
		{"a route that was forgotten has none", func() {
			r.Keep(time.Hour)
			tracker.Forget(route)
			r = tracker.Route(route)
		}, queue.Count{}},
	} {
		step.do()
		expect(t, tracker, queue.Counts{route: step.want})
		f.Round()
		if got, sent := take(f, queue.Gathered)[route]; !sent || got != step.want {
			t.Errorf("%s: the feed has %+v (%t), want %+v", step.reason, got, sent, step.want)
		}
	}
}

// A hold for another route ends with what that route waits for, or after a time. Each route has
// its own.
func TestAHoldForAnotherRoute(t *testing.T) {
	c := newClock()
	tracker := NewTracker(c.now)
	r := tracker.Route(route)
	f := tracker.Feed()
	defer f.Close()
	take(f, queue.Gathered)
	var over [2]bool
	keep := func(i int) { r.KeepFor(strconv.Itoa(i), time.Minute, func() bool { return over[i] }) }
	kept := queue.Count{Concurrency: 1, Leased: true}
	for _, step := range []struct {
		reason string
		do     func()
		want   queue.Count
	}{
		{"it begins without a request", func() { keep(0) }, kept},
		{"it is renewed", func() { c.pass(59 * time.Second); keep(0); c.pass(59 * time.Second) }, kept},
		{"another one", func() { keep(1); over[0] = true }, kept},
		{"both are over", func() { over[1] = true }, queue.Count{}},
		{"one of them once more", func() { over[0] = false; keep(0) }, kept},
		{"its time is over", func() { c.pass(time.Minute) }, queue.Count{}},
		{"a route that was forgotten has none", func() {
			keep(0)
			tracker.Forget(route)
			r = tracker.Route(route)
		}, queue.Count{}},
	} {
		step.do()
		expect(t, tracker, queue.Counts{route: step.want})
		f.Round()
		if got, sent := take(f, queue.Gathered)[route]; !sent || got != step.want {
			t.Errorf("%s: the feed has %+v (%t), want %+v", step.reason, got, sent, step.want)
		}
	}
}

// Requests in flight are what they are during a hold, and the last one leaves no gap.
func TestAHoldIsNoRequest(t *testing.T) {
	c := newClock()
	tracker := NewTracker(c.now)
	r := tracker.Route(route)
	first, second := r.Acquire(), r.Acquire()
	r.Keep(time.Minute)
	expect(t, tracker, queue.Counts{route: {Concurrency: 2, RequestCount: 2}})
	if r.InFlight() != 2 {
		t.Errorf("%d requests in flight, want 2", r.InFlight())
	}
	first()
	second()
	expect(t, tracker, queue.Counts{route: {Concurrency: 1, RequestCount: 2, Leased: true}})
	if r.Leased() {
		t.Error("a hold must not pass for an activation lease")
	}
}

// Whoever scales must know at once that a hold began without a request.
func TestAHoldSignals(t *testing.T) {
	tracker := NewTracker(nil)
	changed, cancel := tracker.Subscribe()
	defer cancel()
	tracker.Route(route).Keep(time.Minute)
	if !signalled(changed) {
		t.Error("no signal")
	}
}
