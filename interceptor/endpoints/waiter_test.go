package endpoints

import (
	"testing"
	"testing/synctest"
	"time"
)

// held starts with n waiters on one endpoint that has just become ready.
func held(n int) (*Store, *Port, []*Waiter) {
	s := NewStore()
	p := s.Port(web())
	waiters := enqueue(p, n)
	set(s, "10.0.0.1:80")
	return s, p, waiters
}

func TestReleaseIsInOrderAndSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, waiters := held(200)
		slots := served(t, waiters)
		if len(slots) != startWindow {
			t.Fatalf("%d requests at once on a fresh endpoint, want %d", len(slots), startWindow)
		}
		waiters = waiters[len(slots):]
		slots[0].Answered()
		slots[0].Answered()
		if n := len(served(t, waiters)); n != 2 {
			t.Errorf("%d more after an answer, want the freed place and one more", n)
		}
		waiters = waiters[2:]
		for _, slot := range slots[1:] {
			slot.Answered()
		}
		if n := len(served(t, waiters)); n != 2*(startWindow-1) {
			t.Errorf("%d more after the round was answered, want it to double", n)
		}
		slots[0].Release() // was answered: has no place of the window
		for _, w := range waiters {
			w.Leave()
		}
	})
}

func TestARequestThatEndsUnansweredFreesOnePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, waiters := held(100)
		slots := served(t, waiters)
		waiters = waiters[len(slots):]
		slots[0].Release()
		slots[0].Release()
		if n := len(served(t, waiters)); n != 1 {
			t.Errorf("%d released for one place", n)
		}
		for _, w := range waiters {
			w.Leave()
		}
	})
}

func TestABackendThatAnswersLateDoesNotBlockTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p, waiters := held(1000)
		total := len(served(t, waiters))
		for _, want := range []int{64, 128, 256, 512, 1000} {
			pass(interval - 1)
			synctest.Wait()
			if n := len(served(t, waiters[total:])); n != 0 {
				t.Fatalf("%d released before the interval was over", n)
			}
			pass(1)
			synctest.Wait()
			total += len(served(t, waiters[total:]))
			if total != want {
				t.Fatalf("%d released, want %d", total, want)
			}
		}
		if p.timer != nil {
			t.Error("the timer runs without a waiter")
		}
	})
}

// A timer that was stopped too late finds another one running.
func TestALateTickDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p, waiters := held(startWindow + 1)
		late := p.round
		waiters[startWindow].Leave()
		p.tick(late)
		waiters = append(waiters, p.Enqueue(0))
		p.tick(late)
		if e := p.endpoints()[0]; e.window != startWindow {
			t.Errorf("window %d by a tick of another wait", e.window)
		}
		waiters[len(waiters)-1].Leave()
	})
}

func TestRefusalsSlowAnEndpointDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p, waiters := held(200)
		e := p.endpoints()[0]
		slots := served(t, waiters)
		waiters = waiters[len(slots):]
		for _, want := range []int{16, 8, 4, 2, 1, 1} {
			slots[0].Refused()
			if e.window != want {
				t.Fatalf("window %d after a refusal, want %d", e.window, want)
			}
		}
		pass(interval)
		synctest.Wait()
		if e.window != 1 {
			t.Errorf("window %d after an interval with refusals, want no growth", e.window)
		}
		for _, slot := range slots[1:] {
			slot.Release()
		}
		if n := len(served(t, waiters)); n != 0 {
			t.Errorf("%d released while a request waits for its next try and the window is 1", n)
		}
		slots[0].Answered() // the next try came through
		slots[0].Refused()
		slots[0].Release()
		slots[0].Refused() // over: must not count
		if e.window != 1 {
			t.Errorf("window %d, want 1: one more by the answer, halved by the refusal", e.window)
		}
		got := len(served(t, waiters))
		if got != 2 {
			t.Errorf("%d released by the answer, want 2", got)
		}
		for _, w := range waiters {
			w.Leave()
		}
	})
}

// Each refused request goes elsewhere at once. Without a pause its place would go to the next
// waiter. The whole line would run through the dead endpoint and past the pace of the good one.
func TestADeadEndpointDoesNotDrainTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, waiters := held(1000)
		total := 0
		for _, want := range []int{startWindow, 1, 1, 1} {
			n := 0
			for {
				slots := served(t, waiters[total+n:])
				if len(slots) == 0 {
					break
				}
				n += len(slots)
				for _, slot := range slots {
					slot.Refused()
				}
				for _, slot := range slots {
					slot.Release()
				}
			}
			if n != want {
				t.Fatalf("%d of the line went to a dead endpoint in one interval, want %d", n, want)
			}
			total += n
			pass(interval)
			synctest.Wait()
		}
		for _, w := range waiters {
			w.Leave()
		}
	})
}

func TestLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p, waiters := held(startWindow + 3)
		e := p.endpoints()[0]
		first, last := waiters[0], waiters[startWindow:]
		last[0].Leave()
		last[0].Leave()
		slot := <-first.C
		first.Leave() // the slot is the receiver's
		if e.unanswered != startWindow || e.inFlight.Load() != startWindow {
			t.Fatalf("leaving took a slot back that was received: %d unanswered", e.unanswered)
		}
		waiters[1].Leave() // delivered, not received
		waiters[1].Leave()
		select {
		case <-last[0].C:
			t.Error("served a waiter that had left")
		case <-last[1].C:
		default:
			t.Error("the place of a delivered slot was lost")
		}
		slot.Release()
		select {
		case <-last[2].C:
		default:
			t.Error("the place of the received slot was lost")
		}
		if p.timer != nil || p.line.first != nil || p.line.last != nil {
			t.Error("something is left of a line that everybody left")
		}
	})
}

// TestCancel: a canceled waiter gets no Slot and keeps no place; one that has a Slot keeps it.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p, waiters := held(startWindow + 2)
		served, canceled, next := waiters[0], waiters[startWindow], waiters[startWindow+1]
		for range 2 {
			served.Cancel()
			canceled.Cancel()
		}
		if _, ok := <-canceled.C; ok {
			t.Error("the canceled one got a slot")
		}
		canceled.Leave()
		slot, ok := <-served.C
		if !ok {
			t.Fatal("a slot that was delivered is lost")
		}
		slot.Release()
		if _, ok := <-next.C; !ok {
			t.Error("the next one got no slot")
		}
		next.Cancel()
		next.Leave()
		for _, w := range waiters[1:startWindow] {
			w.Leave()
			w.Cancel()
		}
		if p.timer != nil || p.line.first != nil || p.endpoints()[0].unanswered != 1 {
			t.Errorf("something is left: %d unanswered", p.endpoints()[0].unanswered)
		}
	})
}

func TestAWaiterThatLeavesTheMiddleOfTheLine(t *testing.T) {
	s := NewStore()
	p := s.Port(web())
	waiters := enqueue(p, 5)
	for _, i := range []int{0, 2, 4} {
		waiters[i].Leave()
	}
	set(s, "10.0.0.1:80")
	for i, w := range waiters {
		select {
		case <-w.C:
			if i%2 == 0 {
				t.Errorf("waiter %d was served after it left", i)
			}
		default:
			if i%2 == 1 {
				t.Errorf("waiter %d was lost", i)
			}
		}
	}
}

func TestEnqueueWhileReadyIsServedAtOnce(t *testing.T) {
	s := NewStore()
	p := s.Port(web())
	set(s, "10.0.0.1:80")
	if n := len(served(t, enqueue(p, 1))); n != 1 {
		t.Error("a waiter that came just after readiness waits forever")
	}
}

func TestNewEndpointsAddTheirWindowAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, waiters := held(200)
		total := len(served(t, waiters))
		set(s, "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
		more := served(t, waiters[total:])
		count := map[string]int{}
		for _, slot := range more {
			count[slot.Addr()]++
		}
		if len(count) != 2 || count["10.0.0.2:80"] != startWindow || count["10.0.0.3:80"] != startWindow {
			t.Errorf("released %v to two new endpoints", count)
		}
		for _, w := range waiters {
			w.Leave()
		}
	})
}

func TestABatchIsSharedEvenly(t *testing.T) {
	s := NewStore()
	p := s.Port(web())
	waiters := enqueue(p, 30)
	set(s, "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
	count := map[string]int{}
	for _, slot := range served(t, waiters) {
		count[slot.Addr()]++
	}
	for address, n := range count {
		if n != 10 {
			t.Errorf("%s got %d of 30", address, n)
		}
	}
}

func TestStateIsKeptWhileReadyAndNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, waiters := held(1000)
		slots := served(t, waiters)
		waiters = waiters[len(slots):]
		slots[0].Answered()
		waiters = waiters[len(served(t, waiters)):]

		set(s, "10.0.0.2:80", "10.0.0.1:80")
		if e := p.endpoints()[1]; e.window != startWindow+1 || e.unanswered != startWindow+1 {
			t.Errorf("an address that stayed has window %d with %d unanswered", e.window, e.unanswered)
		}
		waiters = waiters[len(served(t, waiters)):]

		set(s)
		slots[1].Answered() // of an endpoint that is gone
		if n := len(served(t, waiters)); n != 0 {
			t.Fatalf("%d released to an endpoint that is gone", n)
		}
		if p.timer != nil {
			t.Error("the timer runs without an endpoint")
		}
		set(s, "10.0.0.1:80")
		if n := len(served(t, waiters)); n != startWindow {
			t.Errorf("%d released to an endpoint that came back, want a fresh window", n)
		}
		for _, slot := range slots {
			slot.Release() // of the endpoint's former self
		}
		if e := p.endpoints()[0]; e.unanswered != startWindow || e.inFlight.Load() != startWindow {
			t.Errorf("its former self's requests count: %d unanswered, %d in flight", e.unanswered, e.inFlight.Load())
		}
		for _, w := range waiters {
			w.Leave()
		}
	})
}

func TestReadinessWakesNobodyElse(t *testing.T) {
	s := NewStore()
	p, q := s.Port(web()), s.Port(Key{Namespace: "ns", Service: "api", Port: "http"})
	mine, others := enqueue(p, 10), enqueue(q, 10)
	set(s, "10.0.0.1:80")
	if n := len(served(t, mine)); n != 10 {
		t.Errorf("%d served", n)
	}
	if n := len(served(t, others)); n != 0 {
		t.Errorf("%d waiters of another service served", n)
	}
}

// An endpoint with as much as it can work on answers later the more it gets. Giving it more would
// only fill its queues.
func TestWindowStopsDoublingWhenAnswersTakeLonger(t *testing.T) {
	for _, c := range []struct {
		reason  string
		took    func(window int) time.Duration
		rounds  int
		atLeast int
		atMost  int
	}{
		{"an endpoint with room", func(int) time.Duration { return 10 * time.Millisecond }, 6, 32 << 6, 32 << 6},
		{"one that works on one at a time", func(window int) time.Duration { return time.Duration(window) * time.Millisecond }, 20, 64, 160},
		{"answers that take longer by chance", func(window int) time.Duration { return time.Duration(10+window%5) * time.Millisecond }, 6, 32 << 6, 32 << 6},
	} {
		e := newPacing()
		for range c.rounds {
			window := e.window
			for range window {
				e.widen(c.took(window))
			}
		}
		if e.window < c.atLeast || e.window > c.atMost {
			t.Errorf("%s: window %d, want %d to %d", c.reason, e.window, c.atLeast, c.atMost)
		}
	}
	e := newPacing()
	for range e.window {
		e.unanswered = e.window
		e.widen(time.Millisecond)
	}
	window := e.window
	e.lately, e.unanswered = window, window
	e.pass()
	if e.window != window {
		t.Errorf("an interval with a round of answers opens the window to %d", e.window)
	}
	e.pass()
	if e.window != 2*window {
		t.Errorf("an interval without answers leaves the window at %d", e.window)
	}
}

// A pod that has as much as it can take often fails a readiness probe. What it was
// given counts when it is back.
func TestTheLimitHoldsForAnEndpointThatComesBack(t *testing.T) {
	s := NewStore()
	p := s.Port(web())
	var waiters []*Waiter
	for range 6 {
		waiters = append(waiters, p.Enqueue(2))
	}
	set(s, "10.0.0.1:80")
	first := served(t, waiters)
	for _, ready := range [][]string{nil, {"10.0.0.1:80"}, {"10.0.0.2:80"}, nil, {"10.0.0.2:80", "10.0.0.1:80"}} {
		set(s, ready...)
	}
	second := served(t, waiters[len(first):])
	if len(first) != 2 || len(second) != 2 || second[0].Addr() != "10.0.0.2:80" || second[1].Addr() != "10.0.0.2:80" {
		t.Fatalf("%d requests, and then %d, one of them to %s: want two for each endpoint", len(first), len(second), second[0].Addr())
	}
	first[0].Release()
	first[1].Release()
	third := served(t, waiters[4:])
	if len(third) != 2 || third[0].Addr() != "10.0.0.1:80" {
		t.Fatalf("%d more when the first two are over", len(third))
	}
	set(s)
	for _, slot := range append(second, third[0]) {
		slot.Release()
	}
	if len(p.away) != 1 || p.away["10.0.0.1:80"] == nil {
		t.Errorf("remembered are %v, want the endpoint that has a request", p.away)
	}
	third[1].Release()
	if len(p.away) != 0 {
		t.Errorf("remembered are %v", p.away)
	}
}
