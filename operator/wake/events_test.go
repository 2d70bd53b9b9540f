package wake

import (
	"testing"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
)

func TestEventsOfAllTargetsAreListedFiveTimesASecond(t *testing.T) {
	r := &Reconciler{lists: rate.NewLimiter(eventsASecond, 1)}
	now := time.Now()
	start := now
	var wakes []*wake
	const stuck, seconds = 300, 60
	for range stuck {
		wakes = append(wakes, &wake{evidence: evidence{due: start.Add(quietFor)}})
	}
	lists := make([]int, seconds)
	for ; now.Sub(start) < seconds*time.Second; now = now.Add(20 * time.Millisecond) {
		if now.Sub(start)%time.Second == 0 { // wakes that begin meanwhile do not lift the limit
			wakes = append(wakes, &wake{evidence: evidence{due: now.Add(quietFor)}})
		}
		for _, w := range wakes {
			if r.mayList(w, now) {
				lists[now.Sub(start)/time.Second]++
				w.due, w.granted = now.Add(eventsEach), false
			}
		}
	}
	total := 0
	for second, n := range lists {
		if total += n; n > eventsASecond+1 {
			t.Errorf("%d lists in second %d", n, second)
		}
	}
	if least := (seconds - 3) * eventsASecond; total < least {
		t.Errorf("%d lists, want %d at least", total, least)
	}
}

func TestAShortWakeTakesNoListFromOthers(t *testing.T) {
	r := &Reconciler{lists: rate.NewLimiter(eventsASecond, 1)}
	now := time.Now()
	for range 100 {
		if r.mayList(&wake{evidence: evidence{due: now.Add(quietFor)}}, now) {
			t.Fatal("events are listed at once")
		}
	}
	now = now.Add(quietFor)
	if !r.mayList(&wake{evidence: evidence{due: now}}, now) {
		t.Error("wakes that are over delay the list of one that is stuck")
	}
}

func TestWhatMakesThePodsOfAWorkload(t *testing.T) {
	for _, c := range []struct {
		kind, name string
		want       bool
	}{
		{"ReplicaSet", "api-5d4f8c7b9", true},
		{"StatefulSet", "api", true},
		{"ReplicaSet", "api-canary-5d4f8c7b9", false},
		{"StatefulSet", "api-canary", false},
		{"ReplicaSet", "api", false},
		{"ReplicaSet", "apis-5d4f8c7b9", false},
	} {
		if got := makes(&corev1.ObjectReference{Kind: c.kind, Name: c.name}, "api"); got != c.want {
			t.Errorf("%s %s: %v, want %v", c.kind, c.name, got, c.want)
		}
	}
}
