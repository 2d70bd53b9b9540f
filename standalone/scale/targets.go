package scale

import (
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/standalone/manifest"
)

// defaultCooldown is KEDA's.
const defaultCooldown = 300 * time.Second

// Target is a workload and what decides how many replicas it has.
type Target struct {
	Workload types.NamespacedName
	// Metrics of which the one that asks for most wins. Without any the
	// workload always has Min replicas.
	Metrics  []Metric
	Min, Max int
	// Cooldown is how long after the last demand the workload goes to sleep.
	Cooldown time.Duration
	// Initial replicas run for InitialCooldown if there is no demand at all.
	Initial         int
	InitialCooldown time.Duration
}

// Metric is the demand of a route and how much of it one replica takes. A
// value of 0 does not count.
type Metric struct {
	Route       string // "namespace/name"
	Concurrency int64  // requests in flight for each replica
	Rate        int64  // requests per second for each replica
	// Window and Granularity of the rate.
	Window, Granularity time.Duration
}

// Problem is a reason why an object does not scale anything.
type Problem struct {
	Object manifest.Reference
	Reason string
}

// Compile determines which object scales which Deployment. A Deployment that no object scales
// keeps its own number of replicas, as in a cluster.
func Compile(set *manifest.Set) ([]Target, []Problem) {
	c := compiler{set: set, metrics: map[manifest.Reference]Metric{}, scaled: map[types.NamespacedName]manifest.Reference{}, named: map[manifest.Reference]bool{}}
	c.readRoutes()
	for _, o := range manifest.All[*manifest.ScaledObject](set) {
		c.scaledObject(o)
	}
	for _, o := range c.httpScaledObjects {
		c.httpScaledObject(o)
	}
	for _, r := range c.routes {
		if !c.named[r] {
			c.problem(r, "no ScaledObject has a trigger that names it: its requests wake nothing")
		}
	}
	for _, d := range manifest.All[*appsv1.Deployment](set) {
		key := types.NamespacedName{Namespace: d.Namespace, Name: d.Name}
		if _, known := c.scaled[key]; !known {
			n := replicas(d)
			c.targets = append(c.targets, Target{Workload: key, Min: n, Max: n})
		}
	}
	return c.targets, c.problems
}

type compiler struct {
	set               *manifest.Set
	routes            []manifest.Reference // InterceptorRoutes
	httpScaledObjects []*v1alpha1.HTTPScaledObject
	metrics           map[manifest.Reference]Metric
	named             map[manifest.Reference]bool // by a ScaledObject
	scaled            map[types.NamespacedName]manifest.Reference
	targets           []Target
	problems          []Problem
}

func (c *compiler) problem(r manifest.Reference, reason string) {
	c.problems = append(c.problems, Problem{Object: r, Reason: reason})
}

// readRoutes decodes both kinds of route. What the manifest's checks let pass
// decodes; the interceptor reports an object that does not.
func (c *compiler) readRoutes() {
	for _, u := range manifest.All[*unstructured.Unstructured](c.set) {
		r := manifest.Reference{Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName()}
		decoded, err := route.Decode(u)
		if err != nil {
			continue
		}
		c.metrics[r] = metric(decoded)
		if r.Kind == api.KindInterceptorRoute {
			c.routes = append(c.routes, r)
		} else if o, err := route.DecodeHTTPScaledObject(u); err == nil {
			c.httpScaledObjects = append(c.httpScaledObjects, o)
		}
	}
}

func metric(of *v1beta1.InterceptorRoute) Metric {
	m := Metric{Route: types.NamespacedName{Namespace: of.Namespace, Name: of.Name}.String()}
	if concurrency := of.Spec.ScalingMetric.Concurrency; concurrency != nil {
		m.Concurrency = int64(concurrency.TargetValue)
	}
	if rate := of.Spec.ScalingMetric.RequestRate; rate != nil {
		m.Rate = int64(rate.TargetValue)
		m.Window = rate.Window.Duration
		m.Granularity = min(rate.Granularity.Duration, m.Window)
	}
	return m
}

func (c *compiler) scaledObject(o *manifest.ScaledObject) {
	self := manifest.Reference{Kind: manifest.KindScaledObject, Namespace: o.Namespace, Name: o.Name}
	target := Target{
		Workload:        types.NamespacedName{Namespace: o.Namespace, Name: o.Spec.ScaleTargetRef.Name},
		Min:             int(valueOr(o.Spec.MinReplicaCount, 0)),
		Max:             int(valueOr(o.Spec.MaxReplicaCount, route.DefaultMaxReplicas)),
		Cooldown:        seconds(o.Spec.CooldownPeriod, defaultCooldown),
		InitialCooldown: seconds(o.Spec.InitialCooldownPeriod, 0),
	}
	for _, trigger := range o.Spec.Triggers {
		kind, name := trigger.Route()
		if name == "" {
			continue
		}
		r := manifest.Reference{Kind: kind, Namespace: o.Namespace, Name: name}
		m, known := c.metrics[r]
		if !known {
			c.problem(self, fmt.Sprintf("its trigger names %s, which does not exist", r))
			continue
		}
		c.named[r] = true
		target.Metrics = append(target.Metrics, m)
	}
	c.add(self, target)
}

// httpScaledObject does what the operator's ScaledObject for it does.
func (c *compiler) httpScaledObject(o *v1alpha1.HTTPScaledObject) {
	self := manifest.Reference{Kind: api.KindHTTPScaledObject, Namespace: o.Namespace, Name: o.Name}
	if o.Annotations[api.AnnotationSkipScaledObjectCreation] == api.True {
		if !c.named[self] {
			c.problem(self, "it asks for no ScaledObject and none has a trigger that names it: its requests wake nothing")
		}
		return
	}
	if problems := route.Unscalable(o); len(problems) > 0 {
		c.problem(self, strings.Join(problems, "; ")+": its requests wake nothing")
		return
	}
	ref := o.Spec.ScaleTargetRef
	if ref.Kind != "" && ref.Kind != manifest.KindDeployment {
		c.problem(self, "its scaleTargetRef names no Deployment: its requests wake nothing")
		return
	}
	target := Target{
		Workload:        types.NamespacedName{Namespace: o.Namespace, Name: ref.Name},
		Metrics:         []Metric{c.metrics[self]},
		Max:             route.DefaultMaxReplicas,
		Cooldown:        seconds(o.Spec.CooldownPeriod, defaultCooldown),
		InitialCooldown: seconds(o.Spec.InitialCooldownPeriod, 0),
	}
	if r := o.Spec.Replicas; r != nil {
		target.Min, target.Max = int(valueOr(r.Min, 0)), int(valueOr(r.Max, route.DefaultMaxReplicas))
	}
	c.add(self, target)
}

// add takes a target, unless its workload is missing or has one already.
func (c *compiler) add(self manifest.Reference, target Target) {
	r := manifest.Reference{Kind: manifest.KindDeployment, Namespace: target.Workload.Namespace, Name: target.Workload.Name}
	entry, found := c.set.Lookup(r)
	d, ok := entry.Object.(*appsv1.Deployment)
	if !found || !ok {
		c.problem(self, fmt.Sprintf("there is no %s to scale", r))
		return
	}
	if other, taken := c.scaled[target.Workload]; taken {
		c.problem(self, fmt.Sprintf("%s is already scaled by %s", r, other))
		return
	}
	c.scaled[target.Workload] = self
	target.Max = max(target.Max, target.Min, 1)
	target.Initial = min(max(replicas(d), target.Min), target.Max)
	c.targets = append(c.targets, target)
}

func replicas(d *appsv1.Deployment) int { return int(valueOr(d.Spec.Replicas, 1)) }

func valueOr(p *int32, otherwise int32) int32 {
	if p == nil {
		return otherwise
	}
	return *p
}

func seconds(p *int32, otherwise time.Duration) time.Duration {
	if p == nil {
		return otherwise
	}
	return time.Duration(*p) * time.Second
}
