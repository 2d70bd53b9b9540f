package demand

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"
)

// start returns a time that is not a multiple of any bucket.
func start() time.Time { return time.Date(2026, 9, 1, 12, 0, 0, 123456789, time.UTC) }

func TestWindow(t *testing.T) {
	type add struct {
		at time.Duration // after start
		n  int64
	}
	for _, test := range []struct {
		reason              string
		length, granularity time.Duration
		adds                []add
		at                  time.Duration
		want                float64
	}{
		{"nothing ever", time.Minute, time.Second, nil, time.Hour, 0},
		{"all of it is in the window", time.Minute, time.Second, []add{{0, 5}, {30 * time.Second, 7}}, 31 * time.Second, 12},
		{"the first has left the window", time.Minute, time.Second, []add{{0, 5}, {30 * time.Second, 7}}, 62 * time.Second, 7},
		{"a long idle gap", time.Minute, time.Second, []add{{0, 5}}, 100 * time.Hour, 0},
		{"after a long idle gap", time.Minute, time.Second, []add{{0, 5}, {100 * time.Hour, 3}}, 100*time.Hour + time.Second, 3},
		{"a granularity above the window", time.Second, time.Minute, []add{{0, 5}}, 0, 5},
		{"a granularity above the window, later", time.Second, time.Minute, []add{{0, 5}}, 3 * time.Second, 0},
		{"a window that is no multiple of the granularity", 10 * time.Second, 3 * time.Second, []add{{0, 5}}, 6 * time.Second, 5},
		{"a clock that goes back", time.Minute, time.Second, []add{{time.Minute, 5}, {30 * time.Second, 7}}, time.Minute, 12},
		{"nonsense is nothing", time.Minute, time.Second, []add{{0, -5}, {0, 0}}, 0, 0},
	} {
		w := NewWindow(test.length, test.granularity)
		for _, a := range test.adds {
			at := start().Add(a.at)
			w.Add(at, at, a.n)
		}
		if got := w.Count(start().Add(test.at)); got != test.want {
			t.Errorf("%s: %v, want %v", test.reason, got, test.want)
		}
	}
}

func TestASteadyRateIsExactAtAnyMoment(t *testing.T) {
	w := NewWindow(10*time.Second, time.Second)
	for ms := range 60_000 {
		at := start().Add(time.Duration(ms) * time.Millisecond)
		w.Add(at, at, 1)
		if ms < 11_000 {
			continue
		}
		if got := w.Count(at); math.Abs(got-10_000) > 2 {
			t.Fatalf("after %d ms: %v, want 10000", ms, got)
		}
	}
}

func TestWhatWasCountedLateIsSpread(t *testing.T) {
	w := NewWindow(time.Minute, time.Second)
	// An interceptor was not heard for ten minutes, and had 6,000 requests.
	w.Add(start().Add(-10*time.Minute), start(), 6000)
	if got := w.Count(start()); math.Abs(got-600) > 11 {
		t.Errorf("%v, want about 600: ten a second", got)
	}
	if got := w.Count(start().Add(30 * time.Second)); math.Abs(got-300) > 11 {
		t.Errorf("%v half a minute later, want about 300", got)
	}
}

func TestMemoryIsBoundedAndTakenLate(t *testing.T) {
	for _, test := range []struct{ length, granularity time.Duration }{
		{1000 * time.Hour, time.Nanosecond}, {time.Hour, 0}, {0, 0}, {-time.Hour, -time.Hour}, {time.Nanosecond, time.Hour},
	} {
		w := NewWindow(test.length, test.granularity)
		if w.ring != nil {
			t.Errorf("%v: an idle window takes memory", test)
		}
		w.Add(start(), start(), 1)
		if size := uintptr(len(w.ring)) * unsafe.Sizeof(w.ring[0]); size > 8<<10+8 {
			t.Errorf("%v: %d bytes", test, size)
		}
		if got := w.Count(start()); got <= 0 || got > 1 {
			t.Errorf("%v: counts %v, want 1", test, got)
		}
	}
}

func TestResizedKeepsWhatItHolds(t *testing.T) {
	w := NewWindow(time.Minute, time.Second)
	for s := range 60 {
		at := start().Add(time.Duration(s) * time.Second)
		w.Add(at, at, 1)
	}
	now := start().Add(59 * time.Second)
	for _, test := range []struct {
		length, granularity time.Duration
		want, within        float64
	}{
		{time.Minute, 5 * time.Second, 60, 0}, {10 * time.Minute, time.Second, 60, 0}, {10 * time.Second, time.Second, 10, 1.1},
	} {
		if got := w.Resized(test.length, test.granularity).Count(now); math.Abs(got-test.want) > test.within {
			t.Errorf("%v/%v: %v, want %v", test.length, test.granularity, got, test.want)
		}
	}
}

// The model keeps every event. The window may be wrong by the events of one
// bucket at its far end, and by nothing else.
func checkAgainstModel(t *testing.T, seed1, seed2 uint64, length, granularity time.Duration) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed1, seed2))
	type event struct {
		at time.Time
		n  int64
	}
	var events []event
	w := NewWindow(length, granularity)
	now := start()
	for range 300 {
		switch random.IntN(20) {
		case 0: // a long idle gap
			now = now.Add(time.Duration(random.Int64N(int64(20*w.length) + 1)))
		default:
			now = now.Add(time.Duration(random.Int64N(int64(w.length)/20 + 1)))
		}
		if random.IntN(3) > 0 {
			e := event{now, random.Int64N(1000)}
			w.Add(now, now, e.n)
			events = append(events, e)
		}
		if random.IntN(50) == 0 {
			w = w.Resized(length, granularity) // the same again
		}
		var atLeast, atMost float64
		for _, e := range events {
			age := now.Sub(e.at)
			if age <= w.length-w.width {
				atLeast += float64(e.n)
			}
			if age < w.length+w.width {
				atMost += float64(e.n)
			}
		}
		if got := w.Count(now); got < atLeast-1e-6 || got > atMost+1e-6 {
			t.Fatalf("seed %d %d, window %v/%v: %v, want between %v and %v", seed1, seed2, length, granularity, got, atLeast, atMost)
		}
	}
}

func FuzzWindow(f *testing.F) {
	f.Add(uint64(1), uint64(2), int64(time.Minute), int64(time.Second))
	f.Add(uint64(3), uint64(4), int64(time.Second), int64(time.Minute))
	f.Add(uint64(5), uint64(6), int64(24*time.Hour), int64(time.Millisecond))
	f.Add(uint64(7), uint64(8), int64(7*time.Second), int64(3*time.Second))
	f.Add(uint64(9), uint64(10), int64(0), int64(0))
	f.Fuzz(func(t *testing.T, seed1, seed2 uint64, length, granularity int64) {
		// Ten years of window and more leave Unix time in nanoseconds.
		checkAgainstModel(t, seed1, seed2, time.Duration(length%int64(87600*time.Hour)), time.Duration(granularity))
	})
}
