package wake

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// follower follows one wake, whose writes are recorded.
type follower struct {
	*record
	*Reconciler
	registry *prometheus.Registry
	name     types.NamespacedName
	target   *target
	cold     *v1beta1.ColdStartSpec
}

// quiet is a cluster without events.
type quiet struct{ client.Reader }

func (quiet) List(context.Context, client.ObjectList, ...client.ListOption) error { return nil }

// following runs f in a bubble.
func following(t *testing.T, f func(*follower)) {
	recording(t, func(r *record) {
		w := &follower{record: r, registry: prometheus.NewRegistry(), name: named("shop").name, target: &target{}}
		durations, err := newDurations(w.registry)
		if err != nil {
			t.Fatal(err)
		}
		w.Reconciler = &Reconciler{
			Now: time.Now, Live: quiet{}, durations: durations, writer: r.writer, lists: rate.NewLimiter(eventsASecond, 1),
			pods: newPods(watching{}, nil, r.log), history: map[types.NamespacedName]map[v1beta1.WakePhase][]time.Duration{},
		}
		f(w)
	})
}

// sees shows a verdict, after a time.
func (f *follower) sees(after time.Duration, v verdict) (again time.Duration) {
	time.Sleep(after)
	if f.target.wake == nil {
		f.target.wake = begin(nil, v.phase, f.Now())
	}
	return f.show(context.Background(), named("shop"), f.cold, f.target.wake, v, demand{active: true})
}

// The names and labels are a contract with dashboards. The reference page is generated from
// the golden file.
func TestEachPhaseThatAWakeLeavesIsMeasured(t *testing.T) {
	following(t, func(f *follower) {
		f.sees(0, verdict{phase: v1beta1.WakeScheduling})
		f.sees(time.Second, verdict{phase: v1beta1.WakeScheduling})
		f.sees(2*time.Second, verdict{phase: v1beta1.WakePulling})
		f.sees(40*time.Second, verdict{phase: v1beta1.WakeLoading})
		time.Sleep(20 * time.Minute)
		f.end(f.name, f.target, true)
		// The duration of a phase is unknown once no one wants the target.
		f.sees(0, verdict{phase: v1beta1.WakeScheduling})
		time.Sleep(time.Hour)
		f.end(f.name, f.target, false)
		families, err := f.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		for _, family := range families {
			if _, err := expfmt.MetricFamilyToText(&got, family); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(filepath.Join("testdata", "metrics.golden"))
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != string(want) {
			t.Errorf("a scrape shows\n%s\nwant\n%s", &got, want)
		}
	})
}

func TestOperatorsOfOneProcessShareTheHistogram(t *testing.T) {
	registry := prometheus.NewRegistry()
	one, err := newDurations(registry)
	if err != nil {
		t.Fatal(err)
	}
	if two, err := newDurations(registry); err != nil || two != one {
		t.Errorf("the second one: %v", err)
	}
}
