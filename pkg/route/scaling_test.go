package route

import (
	"strings"
	"testing"

	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
)

func TestUnscalable(t *testing.T) {
	type object = v1alpha1.HTTPScaledObject
	concurrency, rate := &v1alpha1.ConcurrencyMetricSpec{}, &v1alpha1.RateMetricSpec{}
	replicas := func(least, most *int32) func(o *object) {
		return func(o *object) { o.Spec.Replicas = &v1alpha1.ReplicaStruct{Min: least, Max: most} }
	}
	n := func(value int32) *int32 { return &value }
	for _, test := range []struct {
		reason string
		change func(o *object)
		want   string
	}{
		{"the least there is", func(*object) {}, ""},
		{"concurrency alone", func(o *object) { o.Spec.ScalingMetric = &v1alpha1.ScalingMetricSpec{Concurrency: concurrency} }, ""},
		{"rate alone", func(o *object) { o.Spec.ScalingMetric = &v1alpha1.ScalingMetricSpec{Rate: rate} }, ""},
		{"both metrics", func(o *object) {
			o.Spec.ScalingMetric = &v1alpha1.ScalingMetricSpec{Concurrency: concurrency, Rate: rate}
		},
			"scalingMetric: concurrency and requestRate exclude each other"},
		{"no workload", func(o *object) { o.Spec.ScaleTargetRef.Name = "" }, "scaleTargetRef.name must name the workload to scale"},
		{"the longest name", func(o *object) { o.Name = strings.Repeat("a", 63) }, ""},
		{"a longer name", func(o *object) { o.Name = strings.Repeat("a", 64) }, "the name has 64 characters: KEDA makes a label of it, of at most 63"},
		{"no bounds", replicas(nil, nil), ""},
		{"one replica always", replicas(n(1), n(1)), ""},
		{"asleep or one", replicas(n(0), n(1)), ""},
		{"min above max", replicas(n(5), n(2)), "replicas.min is 5, and replicas.max only 2"},
		{"min above the default of max", replicas(n(101), nil), "replicas.min is 101, and replicas.max by default 100"},
		{"max of nothing", replicas(nil, n(0)), "replicas.max is 0 and must be at least 1"},
		{"max below nothing", replicas(n(3), n(-1)), "replicas.max is -1 and must be at least 1"},
		{"all at once", func(o *object) { replicas(n(2), n(1))(o); o.Spec.ScaleTargetRef.Name = "" },
			"scaleTargetRef.name must name the workload to scale; replicas.min is 2, and replicas.max only 1"},
	} {
		o := &object{}
		o.Name, o.Spec.ScaleTargetRef.Name = "shop", "shop"
		test.change(o)
		if got := strings.Join(Unscalable(o), "; "); got != test.want {
			t.Errorf("%s: %q, want %q", test.reason, got, test.want)
		}
	}
}
