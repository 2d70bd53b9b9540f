package routing

import (
	"hash/maphash"
	"slices"
	"strings"
)

// normalizePath cuts off leading and trailing slashes, which do not count. The result is empty
// for the root. Otherwise it begins and ends with a segment that is not empty. There may be empty
// segments between, which are compared like others.
func normalizePath(path string) string { return strings.Trim(path, "/") }

// paths is a node of the tree of path segments. One node keeps all segments up to the next one at
// which a rule ends or branches off. So a path of a rule adds at most two nodes, however many
// segments it has.
type paths[T any] struct {
	by *edit
	// prefix is the segments between the parent and the end of this node, joined
	// by slashes. A root has none.
	prefix string
	// children by the first segment of their prefix.
	children dict[*paths[T]]
	// rules of the path that ends here, the winner first.
	rules []candidate[T]
	// first holds a list of one rule, because most lists are that short. With many routes,
	// following a pointer costs more than everything else in a match.
	first [1]candidate[T]
	// headers of the rules that are indexed instead, by name.
	headers dict[*namedHeader[T]]
	// shared are the rules of a host that have their own tree; nil below a root.
	shared []*rule[T]
}

// newPaths returns a node without rules.
func newPaths[T any](e *edit, prefix string) *paths[T] {
	n := &paths[T]{by: e, prefix: prefix}
	n.rules = n.first[:0]
	return n
}

// match finds the rule for the path and header of a request; nil if none. The receiver,
// a root, may be nil.
func (n *paths[T]) match(r *request) *candidate[T] {
	if n == nil {
		return nil
	}
	matched, rest := n.walk(r)
	for _, rule := range n.shared {
		if !rule.asks.match(r) {
			continue
		}
		other, left := rule.tree.walk(r)
		if other == nil || matched != nil && (left > rest || left == rest && compareRules(matched.rule, rule) < 0) {
			continue
		}
		matched, rest = other, left
	}
	return matched
}

// walk goes down the path and keeps the last hit, which has the longest prefix. left is the
// number of bytes behind that prefix. walk needs no stack, and its work ends with the first
// segment that no rule has.
func (n *paths[T]) walk(r *request) (matched *candidate[T], left int) {
	rest := r.path
	for n != nil {
		if hit := n.pick(r); hit != nil {
			matched, left = hit, len(rest)
		}
		if rest == "" {
			break
		}
		segment, _, _ := strings.Cut(rest, "/")
		child, ok := n.children.find(maphash.String(r.seed, segment), segment, false)
		if !ok || !hasSegments(rest, child.prefix) {
			break
		}
		n, rest = child, afterSegments(rest, len(child.prefix))
	}
	return matched, left
}

// pick returns the first of the rules of a node that a request satisfies.
func (n *paths[T]) pick(r *request) (hit *candidate[T]) {
	if !n.headers.empty() {
		hit = n.pickIndexed(r)
	}
	for i := range n.rules {
		c := &n.rules[i]
		if hit != nil && compareRules(hit.rule, c.rule) < 0 {
			break
		}
		if c.asks.match(r) {
			return c
		}
	}
	return hit
}

// share adds a rule with its own tree to a root, or removes it. It returns nil if nothing is
// left. The receiver may be nil.
func (n *paths[T]) share(e *edit, r *rule[T], add bool) *paths[T] {
	n = n.own(e)
	if add {
		n.shared = append(n.shared, r)
	} else {
		n.shared = slices.DeleteFunc(n.shared, func(other *rule[T]) bool { return other == r })
	}
	if n.empty() {
		return nil
	}
	return n
}

func (n *paths[T]) empty() bool {
	return len(n.rules) == 0 && n.headers.empty() && n.children.empty() && len(n.shared) == 0
}

// update returns the node with a rule added to a path, or taken out; nil if nothing is
// left. The receiver may be nil.
func (n *paths[T]) update(e *edit, path string, r *rule[T], add bool) *paths[T] {
	n = n.own(e)
	if path == "" {
		n.updateRules(e, r, add)
	} else {
		n.updateChild(e, path, r, add)
	}
	if n.empty() {
		return nil
	}
	return n
}

// updateRules makes a change to the rules of a node that the edit owns. Once there are
// many, those that ask for headers alone are in the index until none is left.
func (n *paths[T]) updateRules(e *edit, r *rule[T], add bool) {
	if r.asks.indexed() && n.headers.empty() && len(n.rules) >= fewRules && add {
		n.rules = slices.DeleteFunc(n.rules, func(c candidate[T]) bool {
			if c.asks.indexed() {
				n.indexRule(e, c.rule, true)
			}
			return c.asks.indexed()
		})
		n.indexRule(e, r, true)
		return
	}
	if r.asks.indexed() && !n.headers.empty() {
		n.indexRule(e, r, add)
		return
	}
	n.rules = changeRules(n.rules, r, add)
}

// updateChild makes a change below a node that the edit owns.
func (n *paths[T]) updateChild(e *edit, path string, r *rule[T], add bool) {
	segment, _, _ := strings.Cut(path, "/")
	child, ok := n.children.lookup(e, segment)
	if ok {
		common := commonSegments(child.prefix, path)
		if common < len(child.prefix) {
			child = child.split(e, common)
		}
		child = child.update(e, afterSegments(path, common), r, add)
	} else {
		child = newPaths[T](e, path).update(e, "", r, add)
	}
	if child == nil {
		n.children.delete(e, segment)
	} else {
		n.children.set(e, segment, child)
	}
}

// split puts a node above this one that takes the first bytes of its prefix,
// which end with a segment.
func (n *paths[T]) split(e *edit, at int) *paths[T] {
	lower := n.own(e)
	upper := newPaths[T](e, lower.prefix[:at])
	lower.prefix = lower.prefix[at+1:]
	segment, _, _ := strings.Cut(lower.prefix, "/")
	upper.children.set(e, segment, lower)
	return upper
}

// own returns a node that the edit may change: n itself or a copy.
func (n *paths[T]) own(e *edit) *paths[T] {
	if n == nil {
		return newPaths[T](e, "")
	}
	if n.by == e {
		return n
	}
	owned := newPaths[T](e, n.prefix)
	owned.headers, owned.children, owned.shared = n.headers, n.children, slices.Clone(n.shared)
	owned.rules = append(owned.rules, n.rules...)
	return owned
}

// hasSegments says whether a path begins with the segments of a prefix.
func hasSegments(path, prefix string) bool {
	return strings.HasPrefix(path, prefix) && (len(path) == len(prefix) || path[len(prefix)] == '/')
}

// afterSegments cuts off the first n bytes of a path, which end with a segment.
func afterSegments(path string, n int) string {
	if n == len(path) {
		return ""
	}
	return path[n+1:]
}

// commonSegments returns the length of the segments that two paths have in
// common; the first segment of both is the same.
func commonSegments(a, b string) int {
	i, end := 0, 0
	for ; i < len(a) && i < len(b) && a[i] == b[i]; i++ {
		if a[i] == '/' {
			end = i
		}
	}
	if (i == len(a) || a[i] == '/') && (i == len(b) || b[i] == '/') {
		return i
	}
	return end
}
