package endpoints

import (
	"fmt"
	"io"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func addresses(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("10.0.%d.%d:80", i/250, i%250)
	}
	return all
}

func TestPickTakesTheLeastLoaded(t *testing.T) {
	for _, n := range []int{1, 2, 3, scanned} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s := NewStore()
			p := s.Port(web())
			set(s, addresses(n)...)
			count := map[string]int{}
			var slots []Slot
			for range 10 * n {
				slot, _ := p.Pick()
				count[slot.Addr()]++
				slots = append(slots, slot)
			}
			for address, c := range count {
				if c != 10 {
					t.Errorf("%s has %d of %d requests on %d endpoints", address, c, len(slots), n)
				}
			}
			idle := slots[0].Addr()
			for _, slot := range slots {
				if slot.Addr() == idle {
					slot.Release()
				}
			}
			for range 10 {
				if slot, _ := p.Pick(); slot.Addr() != idle {
					t.Fatalf("picked %s while %s was idle", slot.Addr(), idle)
				}
			}
		})
	}
}

func TestPickTakesTurnsWhenIdle(t *testing.T) {
	s := NewStore()
	p := s.Port(web())
	set(s, addresses(3)...)
	count := map[string]int{}
	for range 30 {
		slot, _ := p.Pick()
		count[slot.Addr()]++
		slot.Release()
	}
	for address, c := range count {
		if c != 10 {
			t.Errorf("%s had %d of 30 requests", address, c)
		}
	}
}

func TestPickSpreadsOverVeryManyEndpoints(t *testing.T) {
	s := NewStore()
	p := s.Port(web())
	set(s, addresses(500)...)
	count := map[string]int{}
	for range 5000 {
		slot, _ := p.Pick()
		count[slot.Addr()]++
	}
	if len(count) != 500 {
		t.Errorf("%d of 500 endpoints were used", len(count))
	}
	for address, c := range count {
		if c > 12 {
			t.Errorf("%s has %d requests, the mean is 10", address, c)
		}
	}
}

func TestPickAvoidsWhoRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewStore()
		p := s.Port(web())
		set(s, addresses(3)...)
		dead, _ := p.Pick()
		dead.Refused()
		dead.Release()
		for range 30 {
			if slot, _ := p.Pick(); slot.Addr() == dead.Addr() {
				t.Fatal("picked the endpoint that had just refused, as the least loaded one")
			}
		}
		pass(interval)
		if slot, _ := p.Pick(); slot.Addr() != dead.Addr() {
			t.Error("the endpoint is never tried again")
		}
		set(s, dead.Addr())
		dead, _ = p.Pick()
		dead.Refused()
		if slot, ok := p.Pick(); !ok || slot.Addr() != dead.Addr() {
			t.Error("the only endpoint was not picked")
		}
	})
}

func TestStaleSlotsDoNotTouchTheirSuccessors(t *testing.T) {
	s := NewStore()
	p := s.Port(web())
	set(s, "10.0.0.1:80")
	e := p.endpoints()[0]
	for range 1000 {
		slot, _ := p.Pick()
		copied := slot
		slot.Release()
		next, _ := p.Pick()
		copied.Answered()
		copied.Refused()
		copied.Release()
		slot.Release()
		if n := e.inFlight.Load(); n != 1 {
			t.Fatalf("%d requests in flight after a second release, want 1", n)
		}
		next.Release()
	}
	if e.window != startWindow || e.unanswered != 0 || e.inFlight.Load() != 0 {
		t.Errorf("window %d, unanswered %d, in flight %d at the end", e.window, e.unanswered, e.inFlight.Load())
	}
}

func TestZeroSlotIsInert(t *testing.T) {
	var s Slot
	s.Answered()
	s.Refused()
	s.Release()
	if s.Valid() || s.Addr() != "" {
		t.Errorf("the zero slot is valid %v, address %q", s.Valid(), s.Addr())
	}
}

func TestWarmPathAllocatesTheSlotOnly(t *testing.T) {
	for _, n := range []int{1, 3, 100} {
		s := NewStore()
		p := s.Port(web())
		set(s, addresses(n)...)
		got := testing.AllocsPerRun(1000, func() {
			if !p.Ready() {
				t.Fatal("not ready")
			}
			slot, _ := p.Pick()
			slot.Answered()
			slot.Release()
		})
		if got > 1 {
			t.Errorf("%v allocations per request with %d endpoints", got, n)
		}
	}
}

func TestWarmPathTakesNoLock(t *testing.T) {
	s := NewStore()
	p := s.Port(web())
	set(s, "10.0.0.1:80", "10.0.0.2:80")
	p.mu.Lock() // a warm request that takes the lock blocks the test forever
	defer p.mu.Unlock()
	slot, ok := p.Pick()
	if !p.Ready() || !ok {
		t.Fatal("not ready")
	}
	slot.Answered()
	slot.Release()
}

// 20,000 held requests must not cost more here than a fraction of what net/http
// needs for them.
func TestAWaiterIsSmall(t *testing.T) {
	const n = 20000
	p := NewStore().Port(web())
	var before, after runtime.MemStats
	waiters := make([]*Waiter, n)
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range waiters {
		waiters[i] = p.Enqueue(0)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n
	t.Logf("%d bytes per waiter", each)
	if each > 512 {
		t.Errorf("a waiter takes %d bytes", each)
	}
	runtime.KeepAlive(waiters)
}

func BenchmarkReady(b *testing.B) {
	s := NewStore()
	p := s.Port(web())
	set(s, "10.0.0.1:80")
	b.ReportAllocs()
	for b.Loop() {
		p.Ready()
	}
}

func BenchmarkPick(b *testing.B) {
	for _, n := range []int{1, 2, 8, 1000} {
		s := NewStore()
		p := s.Port(web())
		set(s, addresses(n)...)
		b.Run(fmt.Sprintf("endpoints=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				slot, _ := p.Pick()
				slot.Release()
			}
		})
		b.Run(fmt.Sprintf("endpoints=%d/parallel", n), func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					slot, _ := p.Pick()
					slot.Release()
				}
			})
		})
	}
}

// BenchmarkRelease is a whole cold start: 10,000 requests are held, endpoints
// become ready, each request is answered at once.
func BenchmarkRelease(b *testing.B) {
	const held = 10000
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("endpoints=%d", n), func(b *testing.B) {
			all := addresses(n)
			start := time.Now()
			for b.Loop() {
				s := NewStore()
				p := s.Port(web())
				waiters := enqueue(p, held)
				set(s, all...)
				for _, w := range waiters {
					slot := <-w.C
					slot.Answered()
					slot.Release()
					w.Leave()
				}
			}
			b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(held*b.N), "ns/request")
		})
	}
}

// pods makes these the ready pods, by UID: "a" has a1 and a2, a2 for when a1 was refused.
func pods(s *Store, uids ...string) {
	var ready []Pod
	for _, uid := range uids {
		ready = append(ready, Pod{UID: uid, Addresses: []string{uid + "1", uid + "2"}})
	}
	k := web()
	s.UpdatePods(k.Namespace, k.Service, map[string]Pods{k.Port: {Ready: ready}})
}

func TestTheOtherAddressIsForTheRefused(t *testing.T) {
	for _, limit := range []int{0, 1} {
		s := NewStore()
		p := s.Port(web())
		w := p.Enqueue(limit) // from here on limits hold
		pods(s, "a")
		slot := <-w.C
		if slot.Addr() != "a1" {
			t.Fatalf("the first address is %s", slot.Addr())
		}
		slot.Lost()
		if other, ok := slot.Another("a1"); ok {
			t.Errorf("a connection that was lost goes on at %s", other.Addr())
		}
		slot.Refused()
		slot.Refused() // noted once
		other, ok := slot.Another("a1")
		if !ok || other.Addr() != "a2" {
			t.Fatalf("the refused request goes on at %v", other)
		}
		if _, ok := other.Another("a1", "a2"); ok {
			t.Error("there is a third address")
		}
		if next, ok := p.Pick(); !ok || next.Addr() != "a2" {
			t.Errorf("the next request goes to %v", next)
		} else {
			next.Release()
		}
		pods(s, "a", "b") // the same again for a
		if e := p.endpoints()[0]; e.address() != "a2" || e.inFlight.Load() != 1 {
			t.Errorf("an update changes the address to %s, with %d in flight", e.address(), e.inFlight.Load())
		}
		other.Refused()
		if e := p.endpoints()[0]; e.address() != "a1" {
			t.Errorf("both were refused, and the next one is %s", e.address())
		}
		other.Release()
	}
}

func TestAnotherPodComesBeforeAnotherAddress(t *testing.T) {
	s := NewStore()
	p := s.Port(web())
	pods(s, "a", "b")
	slot, _ := p.Pick()
	refused := slot.Addr()
	slot.Refused()
	other, ok := slot.Another(refused)
	if !ok || other.Addr()[:1] == refused[:1] || other.Addr()[1:] != "1" {
		t.Errorf("%s was refused, and the request goes on at %v", refused, other)
	}
}

// closer counts how often it is closed.
type closer struct{ closed int }

func (c *closer) Close() error { c.closed++; return nil }

func TestAttachmentsAreOfAddresses(t *testing.T) {
	s := NewStore()
	p := s.Port(web())
	pods(s, "a")
	made := map[string]*closer{}
	attached := func(s Slot) io.Closer {
		return s.Attach(func() io.Closer { made[s.Addr()] = &closer{}; return made[s.Addr()] })
	}
	old, _ := p.Pick()
	if attached(old) != made["a1"] {
		t.Fatal("nothing is attached")
	}
	old.Refused()
	if made["a1"].closed != 1 {
		t.Errorf("what belongs to the refused address was closed %d times", made["a1"].closed)
	}
	delete(made, "a1")
	if attached(old) != made["a1"] || made["a1"].closed != 1 {
		t.Error("a request that still has the old address gets something of its own, closed")
	}
	next, _ := p.Pick()
	if attached(next) != made["a2"] || made["a2"].closed != 0 {
		t.Error("nothing is attached to the new address")
	}
	k := web()
	s.UpdatePods(k.Namespace, k.Service, map[string]Pods{k.Port: {Ready: []Pod{{UID: "a", Addresses: []string{"a3"}}}}})
	if made["a2"].closed != 1 {
		t.Error("what belongs to an address that is gone is not closed")
	}
}
