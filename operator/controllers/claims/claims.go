// Package claims knows which routes ask for the same requests, and reports which
// requests of a route others get. It must not know what is done about that.
package claims

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/operator/controllers/conditions"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// ReasonRouteConflict is the reason of a route that loses requests to others.
const ReasonRouteConflict = "RouteConflict"

// claim is what a route asks for.
type claim struct {
	created time.Time
	places  map[routing.Place]struct{}
}

// Claims knows which routes ask for the same places. It is safe for concurrent
// use: the handlers of two watches write, reconciliations read.
type Claims struct {
	mu      sync.RWMutex
	objects map[types.NamespacedName]*route.Named[claim]
	// claimants of a place: the routes whose claims are in force, and their ages.
	claimants map[routing.Place]map[types.NamespacedName]time.Time
}

// New returns no claims.
func New() *Claims {
	return &Claims{
		objects:   map[types.NamespacedName]*route.Named[claim]{},
		claimants: map[routing.Place]map[types.NamespacedName]time.Time{},
	}
}

// set replaces the claim of an object, nil if it is gone or makes none. It
// returns the names of the other routes that claim, or claimed, a place with it:
// what is true of them may have changed.
func (c *Claims) set(kind string, name types.NamespacedName, claimed *claim) []types.NamespacedName {
	c.mu.Lock()
	defer c.mu.Unlock()
	object := c.objects[name]
	if object == nil {
		if claimed == nil {
			return nil
		}
		object = &route.Named[claim]{}
		c.objects[name] = object
	}
	_, before := object.InForce()
	object.Set(kind, claimed)
	_, after := object.InForce()
	if after == nil {
		delete(c.objects, name)
	}
	if before.equal(after) {
		return nil
	}
	affected := map[types.NamespacedName]struct{}{}
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
	return c.created.Equal(other.created) && maps.Equal(c.places, other.places)
}

// Conflicts reports which requests of a route other routes get: as warnings, unless
// none is left to it. A route that asks for nothing has nothing to lose.
func (c *Claims) Conflicts(object *v1beta1.InterceptorRoute) (problems []conditions.Problem) {
	asked := claimOf(object)
	losses := c.losses(client.ObjectKeyFromObject(object), asked)
	for _, l := range losses {
		problems = append(problems, conditions.Problem{
			Reason:  ReasonRouteConflict,
			Message: fmt.Sprintf("requests for %s go to the route %s, which has the same rule and comes first", l.place, l.winner),
			Warning: len(losses) < len(asked.places),
		})
	}
	return problems
}

// lost is a place that another route gets.
type lost struct {
	place  routing.Place
	winner types.NamespacedName
}

// losses returns the places of a claim that other routes get, in a stable order.
func (c *Claims) losses(name types.NamespacedName, of *claim) []lost {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var losses []lost
	for place := range of.places {
		winner, created := name, of.created
		for other, otherCreated := range c.claimants[place] {
			if other != name && routing.Precedes(otherCreated, other.String(), created, winner.String()) {
				winner, created = other, otherCreated
			}
		}
		if winner != name {
			losses = append(losses, lost{place: place, winner: winner})
		}
	}
	slices.SortFunc(losses, func(a, b lost) int { return a.place.Compare(b.place) })
	return losses
}

// claimOf returns what a route asks for.
func claimOf(object *v1beta1.InterceptorRoute) *claim {
	rules, _ := route.Rules(object.Spec.Rules, 0)
	return &claim{created: object.CreationTimestamp.Time, places: routing.Places(rules)}
}
