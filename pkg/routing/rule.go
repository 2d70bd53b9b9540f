package routing

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// A rule stands at each pair of a host and a path if these are at most twice its hosts and paths,
// or fewPairs. Other rules have a tree of paths that their hosts share. Otherwise an object that
// fits into etcd could fill the memory of the interceptor, and with it the routes of everybody
// else. A match looks at each tree of its host, so [Weight] bounds them.
const (
	expansion = 2
	fewPairs  = 512
)

// Weight returns what a rule costs all who share the table with it, by its numbers of hosts,
// paths and further conditions. A bound on the sum of weights bounds the memory of rules, and how
// many of them a match examines without success.
func Weight(hosts, paths, conditions int) int {
	return max(hosts+paths+conditions, min(hosts*paths, fewPairs)/expansion, 1)
}

// Rule matches requests that have one of its hosts, paths, methods and clients each, and all of
// its headers. An empty list matches everything.
type Rule struct {
	// Hosts are exact, or wildcards ("*.example.com"; "*" is every host).
	Hosts []string
	// Paths are prefixes of whole segments.
	Paths []string
	// Methods have case (RFC 9110, 9.1).
	Methods []string
	Headers []HeaderMatch
	// Clients are networks of IPv4 or IPv6, none of them of IPv4-mapped addresses.
	Clients []netip.Prefix
}

// HeaderMatch matches a header that has the value; nil is any value. A Test decides in
// place of the value, which is an example then.
type HeaderMatch struct {
	Name  string
	Value *string
	Test  HeaderTest
}

// route is a compiled Route.
type route[T any] struct {
	id      string
	created time.Time
	rules   []*rule[T]
	value   T
}

// rule is a compiled rule.
type rule[T any] struct {
	route *route[T]
	hosts []pattern
	paths []string
	// asks is what requests must have besides host and path; nil means nothing.
	asks *conditions
	// tree of the paths, if the hosts share one.
	tree *paths[T]
}

// candidate is a rule as it stands in the tree, at each node that one of its
// hosts and one of its paths lead to. It has by itself what a match looks at:
// with many routes each pointer costs as much as all the rest.
type candidate[T any] struct {
	asks  *conditions
	value T
	rule  *rule[T]
}

// headerMatch is a header that must be there, with a certain value or any.
type headerMatch struct {
	name     string
	value    string
	anyValue bool
}

// String returns the matcher as messages show it.
func (m headerMatch) String() string {
	if m.anyValue {
		return m.name
	}
	return m.name + "=" + m.value
}

// newTree returns a tree of the paths of a rule.
func newTree[T any](e *edit, r *rule[T]) (tree *paths[T]) {
	for _, path := range r.paths {
		tree = tree.update(e, path, r, true)
	}
	return tree
}

// compileRoute compiles the rules of a route.
func compileRoute[T any](e *edit, in *Route[T]) *route[T] {
	out := &route[T]{id: in.Key.String(), created: in.Created, value: in.Value}
	out.rules = make([]*rule[T], 0, len(in.Rules))
	for i := range in.Rules {
		r := compileRule[T](&in.Rules[i])
		r.route = out
		if r.asks.indexed() {
			for _, m := range r.asks.headers {
				r.asks.hashes = append(r.asks.hashes, e.hash(m.String()))
			}
		}
		if pairs := len(r.hosts) * len(r.paths); pairs > max(expansion*(len(r.hosts)+len(r.paths)), fewPairs) {
			r.tree = newTree(e, r)
		}
		out.rules = append(out.rules, r)
	}
	return out
}

// compileRule normalizes a rule. Its hosts and paths are without duplicates, so
// that a rule stands at a node once.
func compileRule[T any](in *Rule) *rule[T] {
	out := new(rule[T])
	for _, host := range in.Hosts {
		if p, ok := parsePattern(host); ok {
			out.hosts = append(out.hosts, p)
		}
	}
	if len(in.Hosts) == 0 {
		out.hosts = []pattern{catchAll()}
	}
	for _, path := range in.Paths {
		out.paths = append(out.paths, normalizePath(path))
	}
	if len(in.Paths) == 0 {
		out.paths = []string{""}
	}
	slices.SortFunc(out.hosts, comparePatterns)
	out.hosts = slices.Compact(out.hosts)
	slices.Sort(out.paths)
	out.paths = slices.Compact(out.paths)

	out.asks = compileConditions(in)
	return out
}

// distinctHeaders sorts matchers and drops those that add nothing: "X-A" and "x-a" are one
// header, and one with a certain value has any value. Rules that match the same requests then
// have the same matchers.
func distinctHeaders(all []headerMatch) []headerMatch {
	slices.SortFunc(all, compareMatches)
	return slices.CompactFunc(all, func(a, b headerMatch) bool {
		return a.name == b.name && (a.anyValue || b.anyValue || a.value == b.value)
	})
}

// compareMatches orders matchers so that duplicates are neighbors.
func compareMatches(a, b headerMatch) int {
	return cmp.Or(cmp.Compare(a.name, b.name), compareBools(a.anyValue, b.anyValue), cmp.Compare(a.value, b.value))
}

// compareRules orders the rules of one host and path, the winner first.
func compareRules[T any](a, b *rule[T]) int {
	return cmp.Or(
		compareConditions(a.asks, b.asks),
		comparePrecedence(a.route.created, a.route.id, b.route.created, b.route.id),
	)
}

// changeRules puts a rule into its place in a list that the caller owns, or takes it out.
func changeRules[T any](list []candidate[T], r *rule[T], add bool) []candidate[T] {
	if !add {
		return slices.DeleteFunc(list, func(c candidate[T]) bool { return c.rule == r })
	}
	i, _ := slices.BinarySearchFunc(list, r, func(c candidate[T], r *rule[T]) int { return compareRules(c.rule, r) })
	return slices.Insert(list, i, candidate[T]{asks: r.asks, value: r.route.value, rule: r})
}
