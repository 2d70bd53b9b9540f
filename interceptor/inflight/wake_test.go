package inflight

import (
	"sync"
	"testing"
	"time"
)

// sleeper is a target that is ready when a test says so.
type sleeper struct {
	*clock
	*Route
	awake bool
}

func newSleeper() *sleeper {
	c := newClock()
	return &sleeper{clock: c, Route: NewTracker(c.now).Route(route)}
}

func (s *sleeper) hit() { s.Cold(10*time.Minute, func() bool { return s.awake }) }

// wake goes through a wake that takes so long.
func (s *sleeper) wake(took time.Duration) {
	s.awake = false
	s.hit()
	s.pass(took)
	s.awake = true
	s.Leased()
	s.pass(time.Hour)
}

func (s *sleeper) expect(t *testing.T, elapsed, estimate time.Duration) {
	t.Helper()
	if e, m := s.Wake(); e != elapsed || m != estimate {
		t.Errorf("elapsed %v, estimate %v; want %v and %v", e, m, elapsed, estimate)
	}
}

func TestTheEstimateIsTheMedianOfTheLastWakes(t *testing.T) {
	s := newSleeper()
	for _, step := range []struct {
		reason         string
		took, estimate time.Duration
	}{
		{"one is better than none", 40 * time.Second, 40 * time.Second},
		{"of two the longer one", 30 * time.Second, 40 * time.Second},
		{"of three the middle one", 35 * time.Second, 35 * time.Second},
		{"an outlier changes little", 9 * time.Minute, 40 * time.Second},
		{"two outliers change little", time.Millisecond, 35 * time.Second},
		{"the oldest is forgotten", 80 * time.Second, 35 * time.Second},
		{"an application that has become slower", 80 * time.Second, 80 * time.Second},
	} {
		s.wake(step.took)
		if _, estimate := s.Wake(); estimate != step.estimate {
			t.Errorf("%s: after %v the estimate is %v, want %v", step.reason, step.took, estimate, step.estimate)
		}
	}
}

func TestElapsedGoesOnFromHitToHit(t *testing.T) {
	s := newSleeper()
	s.expect(t, 0, 0)
	s.hit()
	s.pass(5 * time.Second)
	s.hit() // a page that was reloaded
	s.pass(3 * time.Second)
	s.expect(t, 8*time.Second, 0)
	s.awake = true
	s.Woke()
	s.pass(time.Second)
	s.Woke() // the next in line
	s.expect(t, 9*time.Second, 8*time.Second)
}

func TestAWakeThatNobodyAsksForAnyMoreIsForgotten(t *testing.T) {
	s := newSleeper()
	s.hit()
	s.pass(time.Hour) // far beyond the lease
	s.hit()
	s.pass(2 * time.Second)
	s.expect(t, 2*time.Second, 0)
}

func TestReadinessThatNobodySawInTimeIsNoMeasure(t *testing.T) {
	s := newSleeper()
	s.hit()
	s.awake = true
	s.pass(time.Hour)
	if s.Leased() {
		t.Error("the lease is over")
	}
	if _, estimate := s.Wake(); estimate != 0 {
		t.Errorf("estimate %v of a wake whose end nobody saw", estimate)
	}
}

func TestAHeldRequestKeepsTheWakeBeyondItsLease(t *testing.T) {
	s := newSleeper()
	s.hit()
	s.Hold(0)
	defer s.Unhold()
	s.pass(time.Hour)
	s.hit()
	s.pass(time.Minute)
	s.expect(t, 61*time.Minute, 0)
}

func TestATargetThatFallsAsleepAgainWakesAnew(t *testing.T) {
	s := newSleeper()
	s.hit()
	s.pass(time.Second)
	s.Woke()
	s.pass(time.Second) // the lease is live: no one has looked
	s.hit()
	s.pass(4 * time.Second)
	s.expect(t, 4*time.Second, time.Second)
	s.Woke()
	s.expect(t, 4*time.Second, 4*time.Second)
}

func TestOneWakeIsMeasuredOnce(t *testing.T) {
	r := NewTracker(nil).Route(route)
	r.Cold(time.Hour, func() bool { return false })
	var group sync.WaitGroup
	for range 20 {
		group.Go(r.Woke)
		group.Go(func() { r.Wake() })
	}
	group.Wait()
	if n := len(r.wakes.took); n != 1 {
		t.Errorf("%d measures of one wake", n)
	}
}
