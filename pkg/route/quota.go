package route

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// ReasonNamespaceFull is the condition reason of an object that is not served because older ones
// use up the bound of its namespace.
const ReasonNamespaceFull = "NamespaceFull"

// Quota knows which objects are over the bound of their namespace. The oldest objects win.
// Made by [Limits.Quota], it is empty. It is not safe for concurrent use.
type Quota struct {
	most   int
	shares map[string]map[types.NamespacedName]share
	sums   map[string]int
	stale  map[string]struct{}
	over   map[types.NamespacedName]struct{}
}

// Quota returns an empty Quota.
func (l Limits) Quota() Quota { return Quota{most: orUnlimited(l.PerNamespace)} }

// share is what an object takes of the bound.
type share struct {
	created time.Time
	size    int
}

// Set replaces the size of the object of a name; zero if there is no object. Settle does the
// rest.
func (q *Quota) Set(name types.NamespacedName, created time.Time, size int) {
	if q.shares == nil {
		q.shares, q.sums = map[string]map[types.NamespacedName]share{}, map[string]int{}
		q.stale, q.over = map[string]struct{}{}, map[types.NamespacedName]struct{}{}
	}
	in := q.shares[name.Namespace]
	if in == nil {
		in = map[types.NamespacedName]share{}
		q.shares[name.Namespace] = in
	}
	before := q.sums[name.Namespace]
	sum := before + size - in[name].size
	if in[name] = (share{created, size}); size == 0 {
		delete(in, name)
	}
	if q.sums[name.Namespace] = sum; len(in) == 0 {
		delete(q.shares, name.Namespace)
		delete(q.sums, name.Namespace)
	}
	if max(before, sum) > q.most {
		q.stale[name.Namespace] = struct{}{}
	}
}

// Settle returns the names of which another thing is true than before.
func (q *Quota) Settle() (changed []types.NamespacedName) {
	for namespace := range q.stale {
		in := q.shares[namespace]
		names := slices.SortedFunc(maps.Keys(in), func(a, b types.NamespacedName) int {
			if routing.Precedes(in[a].created, a.String(), in[b].created, b.String()) {
				return -1
			}
			return 1
		})
		room := q.most
		for _, name := range names {
			over := in[name].size > room
			if !over {
				room -= in[name].size
			}
			if _, before := q.over[name]; over != before {
				changed = append(changed, name)
			}
			if over {
				q.over[name] = struct{}{}
			} else {
				delete(q.over, name)
			}
		}
	}
	if len(q.stale) > 0 {
		maps.DeleteFunc(q.over, func(name types.NamespacedName, _ struct{}) bool { return q.shares[name.Namespace][name].size == 0 })
	}
	clear(q.stale)
	return changed
}

// Problem returns why an object is not served, nil if it has room.
func (q *Quota) Problem(name types.NamespacedName) *Problem {
	if _, over := q.over[name]; !over {
		return nil
	}
	return problem(ReasonNamespaceFull,
		"the object is not served: older objects have taken the %d hosts, paths, headers and other matches that all objects of namespace %q may have",
		q.most, name.Namespace)
}

// Weight returns what the rules of an object cost, those of static routes included, and what it
// does besides requests. What others pay for too weighs more: the time that regular
// expressions, presets and schedules take.
func Weight(object *v1beta1.InterceptorRoute) (sum int) {
	for i := range object.Spec.Rules {
		rule := &object.Spec.Rules[i]
		sum += weightOf(rule) + regexesOf(rule)*routing.RegexWeight + len(rule.UserAgents)*presetWeight
	}
	for i := range object.Spec.StaticRoutes {
		for j := range object.Spec.StaticRoutes[i].Rules {
			sum += weightOf(&object.Spec.StaticRoutes[i].Rules[j])
		}
	}
	if cold := object.Spec.ColdStart; cold != nil {
		sum += len(cold.WarmUp) * warmUpWeight
		if len(cold.Wakes) > 0 {
			sum += maxNeeds // that is how many there may be in turn
		}
	}
	return max(sum, 1)
}

const (
	// presetWeight is about how many values a preset of User-Agents has.
	presetWeight = 32
	// warmUpWeight is what it costs to look at a schedule each minute.
	warmUpWeight = 32
)

func weightOf(rule *v1beta1.RoutingRule) int {
	return routing.Weight(len(rule.Hosts), len(rule.Paths), conditionsOf(rule))
}
