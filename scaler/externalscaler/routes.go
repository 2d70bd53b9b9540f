package externalscaler

import (
	"maps"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/demand"
	"github.com/kedacore/http-add-on/pkg/route"
)

// routeRef names an object.
type routeRef struct{ kind, namespace, name string }

// key is what interceptors call the route.
func (r routeRef) key() string { return r.namespace + "/" + r.name }

// other is the object of the other kind for the same route.
func (r routeRef) other() routeRef {
	if r.kind == api.KindInterceptorRoute {
		r.kind = api.KindHTTPScaledObject
	} else {
		r.kind = api.KindInterceptorRoute
	}
	return r
}

func (r routeRef) String() string { return r.kind + " " + r.key() }

// Routes knows the metrics of every route. It is safe for concurrent use.
type Routes struct {
	demand *demand.Aggregate
	synced chan struct{}

	mu      sync.Mutex
	entries map[routeRef]*entry
	rates   map[string]*route.Named[rate] // by key of the route
}

// entry is an object that exists or that a stream waits for.
type entry struct {
	exists  bool
	metric  v1beta1.ScalingMetricSpec
	problem string        // why the object is unusable
	changed chan struct{} // closed when any of the above changes
	waiting int           // streams
}

// rate is the window and granularity that a route's rate is measured with.
type rate struct{ window, granularity time.Duration }

// NewRoutes returns Routes that configure which rates an Aggregate measures.
func NewRoutes(demand *demand.Aggregate) *Routes {
	return &Routes{
		demand: demand, synced: make(chan struct{}),
		entries: make(map[routeRef]*entry), rates: make(map[string]*route.Named[rate]),
	}
}

// Trim drops all fields of an object that Set does not read.
func Trim(u *unstructured.Unstructured) {
	content := u.Object
	spec, _, _ := unstructured.NestedMap(content, "spec")
	maps.DeleteFunc(spec, func(field string, _ any) bool {
		return field != "scalingMetric" && field != "targetPendingRequests"
	})
	metadata := map[string]any{}
	for _, field := range []string{"namespace", "name", "uid", "resourceVersion", "generation"} {
		if value, ok, _ := unstructured.NestedFieldNoCopy(content, "metadata", field); ok {
			metadata[field] = value
		}
	}
	u.Object = map[string]any{"apiVersion": u.GetAPIVersion(), "kind": u.GetKind(), "metadata": metadata, "spec": spec}
}

// Set adds or replaces an InterceptorRoute or HTTPScaledObject. It decodes only the fields that
// scaling needs, so that an invalid value elsewhere in the object does not stop its scaling.
func (r *Routes) Set(u *unstructured.Unstructured) {
	ref := refOf(u)
	metric, problem := decode(u)
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entry(ref)
	e.exists, e.metric, e.problem = true, metric, problem
	r.hasChanged(ref, e)
}

// Delete removes an object.
func (r *Routes) Delete(u *unstructured.Unstructured) {
	ref := refOf(u)
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.entries[ref]; e != nil {
		e.exists, e.metric, e.problem = false, v1beta1.ScalingMetricSpec{}, ""
		r.hasChanged(ref, e)
		r.sweep(ref, e)
	}
}

// Synced is called once, after all objects that existed at the start have been Set.
func (r *Routes) Synced() { close(r.synced) }

// lookup returns the metrics of an object, or an error for KEDA's log.
func (r *Routes) lookup(ref routeRef) (v1beta1.ScalingMetricSpec, error) {
	select {
	case <-r.synced:
	default:
		return v1beta1.ScalingMetricSpec{}, status.Error(codes.Unavailable, "the scaler has just started and does not know the routes yet")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[ref]
	switch {
	case e != nil && e.problem != "":
		return v1beta1.ScalingMetricSpec{}, status.Errorf(codes.FailedPrecondition, "%s cannot be used: %s", ref, e.problem)
	case e != nil && e.exists:
		return e.metric, nil
	}
	if other := r.entries[ref.other()]; other != nil && other.exists {
		return v1beta1.ScalingMetricSpec{}, status.Errorf(codes.NotFound, "there is no %s, but an %s: set the trigger metadata %s instead of %s",
			ref, ref.other().kind, route.TriggerKey(ref.other().kind), route.TriggerKey(ref.kind))
	}
	return v1beta1.ScalingMetricSpec{}, status.Errorf(codes.NotFound, "there is no %s: the trigger metadata %s must name one in the namespace of the ScaledObject",
		ref, route.TriggerKey(ref.kind))
}

// watch returns a function and a cancel function. The first returns a channel that is closed when
// lookup may return something else than now. The caller calls cancel when it no longer needs to
// know.
func (r *Routes) watch(ref routeRef) (changed func() <-chan struct{}, cancel func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entry(ref)
	e.waiting++
	return func() <-chan struct{} {
			r.mu.Lock()
			defer r.mu.Unlock()
			return e.changed
		}, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			e.waiting--
			r.sweep(ref, e)
		}
}

func (r *Routes) entry(ref routeRef) *entry {
	e := r.entries[ref]
	if e == nil {
		e = &entry{changed: make(chan struct{})}
		r.entries[ref] = e
	}
	return e
}

func (r *Routes) sweep(ref routeRef, e *entry) {
	if !e.exists && e.waiting == 0 {
		delete(r.entries, ref)
	}
}

// hasChanged wakes the streams that wait for the object, and measures the rate of its route as
// the object in force configures it.
func (r *Routes) hasChanged(ref routeRef, e *entry) {
	close(e.changed)
	e.changed = make(chan struct{})
	key := ref.key()
	rates := r.rates[key]
	if rates == nil {
		rates = &route.Named[rate]{}
		r.rates[key] = rates
	}
	_, before := rates.InForce()
	if m := e.metric.RequestRate; m != nil {
		rates.Set(ref.kind, &rate{m.Window.Duration, m.Granularity.Duration})
	} else {
		rates.Set(ref.kind, nil)
	}
	_, after := rates.InForce()
	switch {
	case after == nil:
		delete(r.rates, key)
		if before != nil {
			r.demand.Forget(key)
		}
	case before == nil || *before != *after:
		r.demand.Measure(key, after.window, after.granularity)
	}
}

func refOf(u *unstructured.Unstructured) routeRef {
	return routeRef{kind: u.GetKind(), namespace: u.GetNamespace(), name: u.GetName()}
}

// decode returns the metrics of an object, or why they are unknown.
func decode(u *unstructured.Unstructured) (v1beta1.ScalingMetricSpec, string) {
	u = u.DeepCopy()
	Trim(u)
	decoded, err := route.Decode(u)
	if err != nil {
		return v1beta1.ScalingMetricSpec{}, err.Error()
	}
	metric := decoded.Spec.ScalingMetric
	if metric.Concurrency == nil && metric.RequestRate == nil {
		return v1beta1.ScalingMetricSpec{}, "spec.scalingMetric has neither concurrency nor requestRate"
	}
	return metric, ""
}
