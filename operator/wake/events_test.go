package wake

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
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

// paged is a cluster with events, in the order of their names.
type paged struct {
	client.Reader
	events []corev1.Event
	lists  int
}

func (p *paged) List(_ context.Context, into client.ObjectList, options ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(options)
	p.lists++
	first, _ := strconv.Atoi(o.Continue)
	last := min(first+int(o.Limit), len(p.events))
	page := into.(*corev1.EventList)
	if page.Items = p.events[first:last]; last < len(p.events) {
		page.Continue = strconv.Itoa(last)
	}
	return nil
}

// The API server lists events by name. Those of one target end with those that are newest,
// and those of others stand between.
func TestTheNewestEventsCountWhereverTheyAre(t *testing.T) {
	start := time.Now()
	event := func(of string, second int) corev1.Event {
		return corev1.Event{
			InvolvedObject: corev1.ObjectReference{Kind: "ReplicaSet", Name: of + "-5d8"}, Reason: eventFailedCreate,
			Message: fmt.Sprint(of, " ", second), LastTimestamp: metav1.NewTime(start.Add(time.Duration(second) * time.Second)),
		}
	}
	p := &paged{}
	for i := range 400 {
		p.events = append(p.events, event("aaa", i))
	}
	for i := range 60 {
		p.events = append(p.events, event("shop", i))
	}
	r := &Reconciler{Live: p}
	got, err := r.list(t.Context(), "apps", "", "shop", start)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(got); n != maxEvents || got[n-1].Message != "shop 59" || got[0].Message != "shop 10" {
		t.Errorf("%d events, from %v to %v", n, got[0].Message, got[n-1].Message)
	}
	for range 100 * maxPages {
		p.events = append(p.events, event("zzz", 0))
	}
	p.lists = 0
	if _, err := r.list(t.Context(), "apps", "", "shop", start); err != nil || p.lists != maxPages {
		t.Errorf("%d pages, %v", p.lists, err)
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
