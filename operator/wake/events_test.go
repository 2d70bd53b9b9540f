package wake

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
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
	for range eventsOfList {
		p.events = append(p.events, event("zzz", 0))
	}
	p.lists = 0
	if _, err := r.list(t.Context(), "apps", "", "shop", start); err != nil || p.lists != 1 {
		t.Errorf("%d requests, %v", p.lists, err)
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

// explaining is a cluster with events from some time on.
type explaining struct {
	client.Reader
	lists  []time.Duration // since the start
	start  time.Time
	event  time.Duration // when there are events; 0 is never
	events []corev1.Event
}

func (e *explaining) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	now := time.Since(e.start)
	e.lists = append(e.lists, now)
	if e.event > 0 && now >= e.event {
		into.(*corev1.EventList).Items = e.events
	}
	return nil
}

// probedBy is a pod with a container that runs since a time and has a readiness probe.
func probedBy(probe *corev1.Probe, since time.Time) *corev1.Pod {
	p := pod("a", running(true))
	p.UID = "1"
	p.Spec.Containers = []corev1.Container{{Name: "app", ReadinessProbe: probe}}
	p.Status.ContainerStatuses[0].State.Running.StartedAt = metav1.NewTime(since)
	return p
}

// A probe that does not succeed is a reason as soon as it must have been tried. Events say it
// earlier or in better words, and are listed once in 15 seconds at most.
func TestAProbeThatDoesNotSucceed(t *testing.T) {
	const s, failing = time.Second, "shop LoadingProbeFailing"
	unhealthy := []corev1.Event{{Reason: eventUnhealthy, Message: "Readiness probe failed: 404"}}
	second := &corev1.Probe{PeriodSeconds: 1, TimeoutSeconds: 1, SuccessThreshold: 1}
	for _, test := range []struct {
		reason  string
		probe   *corev1.Probe
		pulls   time.Duration // how long there was no container
		mounted bool          // the pod's sandbox is known to be there meanwhile
		event   time.Duration // when there is one; 0 is never
		lists   []time.Duration
		want    []string
	}{
		{"by its time", second, s / 2, true, 0, []time.Duration{eventsFirst, eventsFirst + 15*s}, []string{"1.8s shop Loading", "2.8s " + failing, "event ProbeFailing"}},
		{"by its time, and then by an event", second, s / 2, true, 5 * s, []time.Duration{eventsFirst, eventsFirst + 15*s},
			[]string{"1.8s shop Loading", "2.8s " + failing, "event ProbeFailing", "16.55s " + failing}},
		{"by an event at the first look", second, s, true, s, []time.Duration{eventsFirst, eventsFirst + 15*s}, []string{"1.8s " + failing, "event ProbeFailing"}},
		{"by an event, later", &corev1.Probe{}, 5 * s, true, 5 * s, []time.Duration{5500 * time.Millisecond, 20500 * time.Millisecond},
			[]string{"1.8s shop Pulling", "5s shop Loading", "6s " + failing, "event ProbeFailing"}},
		{"events were listed just before", second, 3 * s, false, 3 * s, []time.Duration{1750 * time.Millisecond, 16750 * time.Millisecond},
			[]string{"1.8s shop Pulling", "3s shop Loading", "5s " + failing, "event ProbeFailing", "16.75s " + failing}},
		{"a probe that begins late", &corev1.Probe{InitialDelaySeconds: 10}, 0, true, 0, []time.Duration{10500 * time.Millisecond},
			[]string{"1.8s shop Loading", "21s " + failing, "event ProbeFailing"}},
		{"no probe", nil, 0, true, 0, nil, []string{"1.8s shop Loading"}},
	} {
		following(t, func(f *follower) {
			events := &explaining{start: f.record.start, event: test.event, events: unhealthy}
			f.Live = events
			loads := f.record.start.Add(test.pulls)
			pulling := verdict{phase: v1beta1.WakePulling, pod: probedBy(nil, loads), sandboxed: test.mounted}
			for again := time.Duration(0); time.Since(f.record.start)+again <= 22*s; {
				if time.Now().Add(again).Before(loads) {
					again = f.sees(again, pulling)
					again = min(cmp.Or(again, time.Hour), time.Until(loads))
					continue
				}
				again = cmp.Or(f.sees(again, judge([]*corev1.Pod{probedBy(test.probe, loads)})), time.Hour)
			}
			if got := f.take(22*s - time.Since(f.record.start)); !slices.Equal(got, test.want) {
				t.Errorf("%s: written %q, want %q", test.reason, got, test.want)
			}
			if !slices.Equal(events.lists, test.lists) {
				t.Errorf("%s: listed after %v, want %v", test.reason, events.lists, test.lists)
			}
		})
	}
}

// A container that has passed its probe waits for others, and so does one that has none.
func TestTheProbeOfThePodIsThatOfAContainerWhichIsNotReady(t *testing.T) {
	probe := &corev1.Probe{PeriodSeconds: 3}
	named := func(name string, ready, started bool) corev1.ContainerStatus {
		c := running(started)
		c.Name, c.Ready = name, ready
		return c
	}
	p := pod("a", named("passed", true, true), named("probed", false, true), named("none", false, true))
	p.Spec.Containers = []corev1.Container{{Name: "passed", ReadinessProbe: &corev1.Probe{}}, {Name: "probed", ReadinessProbe: probe}}
	if got := judge([]*corev1.Pod{p}); got.probe != probe || got.container != "probed" {
		t.Errorf("the probe is that of %q", got.container)
	}
	p = pod("a", named("starting", false, false), named("probed", false, true))
	p.Spec.Containers = []corev1.Container{{Name: "starting", StartupProbe: probe, ReadinessProbe: &corev1.Probe{}}, {Name: "probed", ReadinessProbe: &corev1.Probe{}}}
	if got := judge([]*corev1.Pod{p}); got.probe != probe || got.container != "starting" {
		t.Errorf("the probe is that of %q", got.container)
	}
}
