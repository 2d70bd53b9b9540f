package route

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// ReasonRouteConflict is the condition reason of a route that loses requests to others.
const ReasonRouteConflict = "RouteConflict"

// claim is what a route asks for.
type claim struct {
	created time.Time
	size    int
	places  map[routing.Place]struct{}
}

// Claims knows which routes ask for the same places, and which of them gets what they ask
// for. It is safe for concurrent use.
type Claims struct {
	mu      sync.RWMutex
	objects map[types.NamespacedName]*Named[claim]
	// claimants of a place: the routes whose claims are in force, and their ages.
	claimants map[routing.Place]map[types.NamespacedName]time.Time
	quota     Quota
	limits    Limits
}

// NewClaims returns no claims.
func NewClaims(limits Limits) *Claims {
	return &Claims{
		limits: limits, quota: limits.Quota(),
		objects:   map[types.NamespacedName]*Named[claim]{},
		claimants: map[routing.Place]map[types.NamespacedName]time.Time{},
	}
}

// Set replaces the claims of an object of a kind; nil means that the object is gone or not in
// effect. Set returns the names of other routes whose conflicts may have changed. Those claim, or
// claimed, a place with it, or find another room in their namespace.
func (c *Claims) Set(kind string, name types.NamespacedName, object *v1beta1.InterceptorRoute) []types.NamespacedName {
	var claimed *claim
	if object != nil {
		claimed = c.claimOf(object)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	named := c.objects[name]
	if named == nil {
		if claimed == nil {
			return nil
		}
		named = &Named[claim]{}
		c.objects[name] = named
	}
	_, before := named.InForce()
	named.Set(kind, claimed)
	_, after := named.InForce()
	if after == nil {
		delete(c.objects, name)
	}
	if before.equal(after) {
		return nil
	}
	affected := map[types.NamespacedName]struct{}{}
	if after != nil {
		c.quota.Set(name, after.created, after.size)
	} else {
		c.quota.Set(name, time.Time{}, 0)
	}
	for _, changed := range c.quota.Settle() {
		affected[changed] = struct{}{}
	}
	if before != nil {
		for place := range before.places {
			delete(c.claimants[place], name)
			if len(c.claimants[place]) == 0 {
				delete(c.claimants, place)
			}
			collect(affected, c.claimants[place])
		}
	}
	if after != nil {
		for place := range after.places {
			collect(affected, c.claimants[place])
			if c.claimants[place] == nil {
				c.claimants[place] = map[types.NamespacedName]time.Time{}
			}
			c.claimants[place][name] = after.created
		}
	}
	delete(affected, name)
	return slices.Collect(maps.Keys(affected))
}

func collect(into map[types.NamespacedName]struct{}, from map[types.NamespacedName]time.Time) {
	for name := range from {
		into[name] = struct{}{}
	}
}

func (c *claim) equal(other *claim) bool {
	if c == nil || other == nil {
		return c == other
	}
	return c.created.Equal(other.created) && c.size == other.size && maps.Equal(c.places, other.places)
}

// Over returns why an object is not served although its rules are right, nil if it is.
func (c *Claims) Over(name types.NamespacedName) *Problem {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.quota.Problem(name)
}

// Conflict is a place that a route asks for and another one gets.
type Conflict struct {
	Place  routing.Place
	Winner types.NamespacedName
}

// String describes what happens to the requests of the place.
func (c Conflict) String() string {
	return fmt.Sprintf("requests for %s go to the route %s, which has the same rule and comes first", c.Place, c.Winner)
}

// Conflicts returns what a route asks for and other routes get, in a stable order, and
// reports whether that is all it asks for. A route that asks for nothing has nothing to
// lose.
func (c *Claims) Conflicts(object *v1beta1.InterceptorRoute) (lost []Conflict, all bool) {
	name := types.NamespacedName{Namespace: object.Namespace, Name: object.Name}
	asked := c.claimOf(object)
	c.mu.RLock()
	defer c.mu.RUnlock()
	for place := range asked.places {
		winner, created := name, asked.created
		for other, otherCreated := range c.claimants[place] {
			if other != name && routing.Precedes(otherCreated, other.String(), created, winner.String()) {
				winner, created = other, otherCreated
			}
		}
		if winner != name {
			lost = append(lost, Conflict{Place: place, Winner: winner})
		}
	}
	slices.SortFunc(lost, func(a, b Conflict) int { return a.Place.Compare(b.Place) })
	return lost, len(lost) > 0 && len(lost) == len(asked.places)
}

// claimOf returns what a route asks for.
func (c *Claims) claimOf(object *v1beta1.InterceptorRoute) *claim {
	rules, _ := c.limits.Rules(object.Spec.Rules, Matches{})
	return &claim{created: object.CreationTimestamp.Time, size: Weight(object), places: routing.Places(rules)}
}
