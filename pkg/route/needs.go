package route

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// The condition reasons of routes that are to be woken along.
const (
	// ReasonInvalidWakes is that of routes that lead into a cycle, or to too many others.
	ReasonInvalidWakes = "InvalidWakes"
	// ReasonRouteNotFound is that of routes that do not exist.
	ReasonRouteNotFound = "RouteNotFound"
)

const (
	// NeedsDepth is how deep the routes may be that a route wakes along.
	NeedsDepth = 5
	// maxNeeds is how many they may be.
	maxNeeds = 64
)

// Needs returns the routes that a route wakes along with itself: those of its coldStart.wakes,
// and what they wake in turn. wakes returns the names of one, and whether it exists. A route
// that leads into a cycle, or to too many others, needs nothing. seen are all routes that were
// looked at: a change of one may change the answer.
func Needs(name string, wakes func(name string) (names []string, ok bool)) (needs, seen []string, problems []*Problem) {
	w := walk{wakes: wakes, height: map[string]int{}}
	if problem := w.visit(name); problem != nil {
		return nil, w.order, []*Problem{problem}
	}
	for _, needed := range w.order[1:] {
		if w.missing[needed] {
			problems = append(problems, &Problem{Reason: ReasonRouteNotFound, Message: fmt.Sprintf("this namespace has no route %.80q", needed)})
		} else {
			needs = append(needs, needed)
		}
	}
	return needs, w.order, problems
}

// walk visits each route once, depth first.
type walk struct {
	wakes   func(name string) ([]string, bool)
	order   []string // of the visits
	path    []string // to the route that is visited now
	missing map[string]bool
	// height is how deep the routes below a visited one are, 1 if there are none. It is 0 on
	// the path.
	height map[string]int
}

func (w *walk) visit(name string) *Problem {
	if len(w.path) > NeedsDepth {
		return tooDeep()
	}
	names, ok := w.wakes(name)
	if w.order = append(w.order, name); len(w.order) > maxNeeds+1 {
		return &Problem{Reason: ReasonInvalidWakes, Message: fmt.Sprintf("it leads to more than %d routes", maxNeeds)}
	}
	if !ok && len(w.path) > 0 {
		if w.missing == nil {
			w.missing = map[string]bool{}
		}
		w.missing[name] = true
	}
	w.height[name] = 0
	w.path = append(w.path, name)
	deepest := 0
	for _, next := range names {
		height, seen := w.height[next]
		switch {
		case !seen:
			if problem := w.visit(next); problem != nil {
				return problem
			}
			height = w.height[next]
		case height == 0:
			return &Problem{Reason: ReasonInvalidWakes, Message: "it leads into a cycle: " + strings.Join(append(w.path[slices.Index(w.path, next):], next), " wakes ")}
		}
		deepest = max(deepest, height)
	}
	w.path = w.path[:len(w.path)-1]
	w.height[name] = deepest + 1
	if len(w.path)+deepest > NeedsDepth {
		return tooDeep()
	}
	return nil
}

func tooDeep() *Problem {
	return &Problem{Reason: ReasonInvalidWakes, Message: fmt.Sprintf("it leads to routes that are more than %d deep", NeedsDepth)}
}

// Wakes returns the names in coldStart.wakes of the object in force, and whether there is one.
func Wakes(named *Named[v1beta1.InterceptorRoute]) (names []string, ok bool) {
	if named == nil {
		return nil, false
	}
	_, object := named.InForce()
	if object == nil {
		return nil, false
	}
	if object.Spec.ColdStart != nil {
		names = object.Spec.ColdStart.Wakes
	}
	return names, true
}
