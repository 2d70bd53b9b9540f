package routing

import (
	"hash/maphash"
	"strings"
)

// normalizePath cuts off leading and trailing slashes, which do not count. What
// is left is empty for the root, else it begins and ends with a segment that is
// not empty; there may be empty ones between, and they are compared like others.
func normalizePath(path string) string { return strings.Trim(path, "/") }

// paths is a node of the tree of path segments. Segments that no rule ends at or
// branches off from are kept together in one node, so that a path of a rule adds
// two nodes at most, however many segments it has.
type paths[T any] struct {
	by *edit
	// prefix is the segments between the parent and the end of this node, joined
	// by slashes. A root has none.
	prefix string
	// children by the first segment of their prefix.
	children dict[*paths[T]]
	// rules of the path that ends here, the winner first.
	rules []candidate[T]
	// first is where a list of one rule lives: most lists are that short, and
	// with many routes following a pointer costs more than all else in a match.
	first [1]candidate[T]
}

// newPaths returns a node without rules.
func newPaths[T any](e *edit, prefix string) *paths[T] {
	n := &paths[T]{by: e, prefix: prefix}
	n.rules = n.first[:0]
	return n
}

// match finds the rule for the path and header of a request; nil if none. It
// goes down the path and keeps the last hit, which is that of the longest
// prefix. That needs no stack, and the work ends with the first segment that no
// rule has. The receiver may be nil.
func (n *paths[T]) match(r *request) (matched *candidate[T]) {
	rest := r.path
	for n != nil {
		for i := range n.rules {
			if matchHeaders(n.rules[i].headers, r.header) {
				matched = &n.rules[i]
				break
			}
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
	return matched
}

// update returns the node with a change made to the rules of a path; nil if
// nothing is left. The receiver may be nil.
func (n *paths[T]) update(e *edit, path string, change func([]candidate[T]) []candidate[T]) *paths[T] {
	n = n.own(e)
	if path == "" {
		n.rules = change(n.rules)
	} else {
		n.updateChild(e, path, change)
	}
	if len(n.rules) == 0 && n.children.empty() {
		return nil
	}
	return n
}

// updateChild makes a change below a node that the edit owns.
func (n *paths[T]) updateChild(e *edit, path string, change func([]candidate[T]) []candidate[T]) {
	segment, _, _ := strings.Cut(path, "/")
	child, ok := n.children.lookup(e, segment)
	if ok {
		common := commonSegments(child.prefix, path)
		if common < len(child.prefix) {
			child = child.split(e, common)
		}
		child = child.update(e, afterSegments(path, common), change)
	} else {
		child = newPaths[T](e, path).update(e, "", change)
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
	owned.children = n.children
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
