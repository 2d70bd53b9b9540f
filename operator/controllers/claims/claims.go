// Package claims knows which routes ask for the same requests, and says of a route
// which of them others get. It must not know what is done about that.
package claims

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/operator/controllers/conditions"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// ReasonRouteConflict is the reason of a route that others take requests from.
const ReasonRouteConflict = "RouteConflict"

// spot is what one rule asks for with one host and one path. Of the routes that
// claim the same spot one gets all of its requests; other overlaps (a wildcard,
// a shorter path, fewer headers) are what routing is for.
type spot struct{ host, path, headers string }

func (s spot) String() string {
	text := s.host + "/" + s.path
	if s.headers != "" {
		text += " with headers " + s.headers
	}
	return text
}

// claim is what a route asks for.
type claim struct {
	created time.Time
	spots   map[spot]struct{}
}

// claimKind says which kind of object a claim comes from.
type claimKind int

const (
	ofHTTPScaledObject claimKind = iota
	ofInterceptorRoute           // wins over an HTTPScaledObject of its name
	claimKinds
)

// Claims knows which routes ask for the same spots. It is safe for concurrent
// use: the handlers of two watches write, reconciliations read.
type Claims struct {
	mu      sync.RWMutex
	objects map[types.NamespacedName]*[claimKinds]*claim
	// claimants of a spot: those claims that are in force.
	claimants map[spot]map[types.NamespacedName]time.Time
}

// New returns no claims.
func New() *Claims {
	return &Claims{
		objects:   map[types.NamespacedName]*[claimKinds]*claim{},
		claimants: map[spot]map[types.NamespacedName]time.Time{},
	}
}

// set replaces the claim of an object, nil if it is gone or makes none. It
// returns the names of the other routes that claim, or claimed, a spot with it:
// what is true of them may have changed.
func (c *Claims) set(kind claimKind, name types.NamespacedName, claimed *claim) []types.NamespacedName {
	c.mu.Lock()
	defer c.mu.Unlock()
	object := c.objects[name]
	if object == nil {
		if claimed == nil {
			return nil
		}
		object = &[claimKinds]*claim{}
		c.objects[name] = object
	}
	before := inForce(object)
	object[kind] = claimed
	after := inForce(object)
	if *object == [claimKinds]*claim{} {
		delete(c.objects, name)
	}
	if before.equal(after) {
		return nil
	}
	affected := map[types.NamespacedName]struct{}{}
	if before != nil {
		for s := range before.spots {
			delete(c.claimants[s], name)
			if len(c.claimants[s]) == 0 {
				delete(c.claimants, s)
			}
			collect(affected, c.claimants[s])
		}
	}
	if after != nil {
		for s := range after.spots {
			collect(affected, c.claimants[s])
			if c.claimants[s] == nil {
				c.claimants[s] = map[types.NamespacedName]time.Time{}
			}
			c.claimants[s][name] = after.created
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

func inForce(object *[claimKinds]*claim) *claim {
	return cmp.Or(object[ofInterceptorRoute], object[ofHTTPScaledObject])
}

func (c *claim) equal(other *claim) bool {
	if c == nil || other == nil {
		return c == other
	}
	return c.created.Equal(other.created) && maps.Equal(c.spots, other.spots)
}

// Conflicts says which of a route's requests other routes get: warnings, unless
// none is left to it. A route whose rules are out of bounds has none to lose.
func (c *Claims) Conflicts(route *v1beta1.InterceptorRoute) (problems []conditions.Problem) {
	asked := claimOf(route)
	if asked == nil {
		return nil
	}
	losses := c.losses(client.ObjectKeyFromObject(route), asked)
	for _, l := range losses {
		problems = append(problems, conditions.Problem{
			Reason:  ReasonRouteConflict,
			Message: fmt.Sprintf("requests for %s go to the route %s, which has the same rule and comes first", l.spot, l.winner),
			Warning: len(losses) < len(asked.spots),
		})
	}
	return problems
}

// lost is a spot that another route gets.
type lost struct {
	spot   spot
	winner types.NamespacedName
}

// losses returns the spots of a claim that other routes get, in a stable order.
func (c *Claims) losses(name types.NamespacedName, of *claim) []lost {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var losses []lost
	for s := range of.spots {
		winner, created := name, of.created
		for other, otherCreated := range c.claimants[s] {
			if other != name && precedes(otherCreated, other, created, winner) {
				winner, created = other, otherCreated
			}
		}
		if winner != name {
			losses = append(losses, lost{spot: s, winner: winner})
		}
	}
	slices.SortFunc(losses, func(a, b lost) int {
		return cmp.Or(cmp.Compare(a.spot.host, b.spot.host), cmp.Compare(a.spot.path, b.spot.path), cmp.Compare(a.spot.headers, b.spot.headers))
	})
	return losses
}

// precedes is how package routing decides between equal rules.
func precedes(created time.Time, name types.NamespacedName, otherCreated time.Time, other types.NamespacedName) bool {
	return cmp.Or(created.Compare(otherCreated), cmp.Compare(other.String(), name.String())) < 0
}

// claimOf returns what a route asks for; nil if its rules are out of bounds, so
// that it gets nothing.
func claimOf(route *v1beta1.InterceptorRoute) *claim {
	if routing.Validate(route.Spec.Rules) != nil {
		return nil
	}
	c := &claim{created: route.CreationTimestamp.Time, spots: map[spot]struct{}{}}
	for i := range route.Spec.Rules {
		rule := &route.Spec.Rules[i]
		headers := headersOf(rule.Headers)
		for _, host := range orAny(rule.Hosts) {
			for _, path := range orAnyPath(rule.Paths) {
				c.spots[spot{host: hostOf(host), path: strings.Trim(path.Value, "/"), headers: headers}] = struct{}{}
			}
		}
	}
	return c
}

func orAny(hosts []string) []string {
	if len(hosts) == 0 {
		return []string{""}
	}
	return hosts
}

func orAnyPath(paths []v1beta1.PathMatch) []v1beta1.PathMatch {
	if len(paths) == 0 {
		return []v1beta1.PathMatch{{}}
	}
	return paths
}

// hostOf is a host as requests are compared with it.
func hostOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	return cmp.Or(host, "*")
}

// headersOf is a form of headers that is equal for equal ones.
func headersOf(matches []v1beta1.HeaderMatch) string {
	all := make([]string, 0, len(matches))
	for _, match := range matches {
		text := http.CanonicalHeaderKey(match.Name)
		if match.Value != nil {
			text += "=" + *match.Value
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}
