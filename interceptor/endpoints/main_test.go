package endpoints

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// web is the port that most tests are about.
func web() Key { return Key{Namespace: "ns", Service: "web", Port: "http"} }

// set makes exactly these addresses the ready endpoints of web.
func set(s *Store, addresses ...string) {
	s.Update("ns", "web", map[string][]string{"http": addresses})
}

// enqueue makes n waiters.
func enqueue(p *Port, n int) []*Waiter {
	waiters := make([]*Waiter, n)
	for i := range waiters {
		waiters[i] = p.Enqueue(0)
	}
	return waiters
}

// served receives from all waiters that were served, which must be the first
// ones, and returns their slots.
func served(t *testing.T, waiters []*Waiter) []Slot {
	t.Helper()
	var slots []Slot
	for i, w := range waiters {
		select {
		case s := <-w.C:
			if len(slots) != i {
				t.Fatalf("waiter %d was served before waiter %d", i, len(slots))
			}
			slots = append(slots, s)
		default:
		}
	}
	return slots
}

// pass lets time pass in a synctest bubble.
func pass(d time.Duration) { <-time.After(d) }
