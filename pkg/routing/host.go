package routing

import (
	"cmp"
	"strings"
)

// MaxHost is the longest host name of RFC 1035, 2.3.4: a longer host matches only the catch-all.
// That bounds the depth of the tree.
const MaxHost = 253

// pattern is a host of a rule, lower case. With any, it stands for all hosts
// that end in "." and name; an empty name with any is the catch-all.
type pattern struct {
	name string
	any  bool
}

// String returns the pattern as a host of a rule.
func (p pattern) String() string {
	switch {
	case !p.any:
		return p.name
	case p.name == "":
		return "*"
	}
	return "*." + p.name
}

// catchAll is the pattern of every host.
func catchAll() pattern { return pattern{any: true} }

// parsePattern reads a host of a rule. A pattern is not ok if nothing could match
// it: one that is too long to be a host name, or a wildcard of nothing ("*..").
func parsePattern(host string) (p pattern, ok bool) {
	host = lower(HostName(host))
	if host == "" || host == "*" {
		return catchAll(), true
	}
	p.name, p.any = strings.CutPrefix(host, "*.")
	return p, p.name != "" && len(p.name) <= MaxHost
}

// comparePatterns orders patterns so that duplicates are neighbors.
func comparePatterns(a, b pattern) int {
	return cmp.Or(-compareBools(a.any, b.any), cmp.Compare(a.name, b.name))
}

// compareBools orders false before true.
func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// HostName returns a host without its port, the brackets of an IPv6 literal, and the trailing dot
// of a fully qualified name. More than one colon without brackets is an IPv6 literal that has no
// port.
func HostName(host string) string {
	if strings.HasPrefix(host, "[") {
		if end := strings.IndexByte(host, ']'); end > 0 {
			return host[1:end]
		}
		return host
	}
	if i := strings.IndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i+1:], ':') < 0 {
		host = host[:i]
	}
	return strings.TrimSuffix(host, ".")
}

// hosts is the paths of each host.
type hosts[T any] struct {
	exact     dict[*paths[T]]
	wildcards *wildcards[T]
}

// match finds the rule for a request; the most specific host has the first say.
func (h *hosts[T]) match(r *request, host string) *candidate[T] {
	if len(host) > MaxHost {
		if h.wildcards == nil {
			return nil
		}
		return h.wildcards.paths.match(r)
	}
	r.fold = hasUpper(host)
	if p, ok := h.exact.find(r.hash(host), host, r.fold); ok {
		if matched := p.match(r); matched != nil {
			return matched
		}
	}
	return h.wildcards.match(r, host)
}

// update makes a change to the paths of a pattern.
func (h *hosts[T]) update(e *edit, p pattern, change func(*paths[T]) *paths[T]) {
	if p.any {
		h.wildcards = h.wildcards.update(e, p.name, p == catchAll(), change)
		return
	}
	old, _ := h.exact.lookup(e, p.name)
	if changed := change(old); changed != nil {
		h.exact.set(e, p.name, changed)
	} else {
		h.exact.delete(e, p.name)
	}
}

// wildcards is a node of the tree of the labels of wildcards, the rightmost label
// below the root.
type wildcards[T any] struct {
	by       *edit
	children dict[*wildcards[T]]
	// paths of the hosts that have further labels. The root's are those of the
	// catch-all: every host has a label, if only an empty one.
	paths *paths[T]
}

// match finds the rule for a host whose labels above this node are cut off. The
// recursion goes down first, so that the longer wildcard has the first say; it
// is as deep as the wildcards have labels. The receiver may be nil.
func (n *wildcards[T]) match(r *request, host string) *candidate[T] {
	if n == nil {
		return nil
	}
	if rest, label, more := cutLabel(host); more && !n.children.empty() {
		if child, ok := n.children.find(r.hash(label), label, r.fold); ok {
			if matched := child.match(r, rest); matched != nil {
				return matched
			}
		}
	}
	return n.paths.match(r)
}

// update returns the node with a change made to the paths of a wildcard, which ends here or is
// left of it. It returns nil if nothing is left. The receiver may be nil.
func (n *wildcards[T]) update(e *edit, name string, end bool, change func(*paths[T]) *paths[T]) *wildcards[T] {
	n = n.own(e)
	if end {
		n.paths = change(n.paths)
	} else {
		rest, label, more := cutLabel(name)
		child, _ := n.children.lookup(e, label)
		if child = child.update(e, rest, !more, change); child != nil {
			n.children.set(e, label, child)
		} else {
			n.children.delete(e, label)
		}
	}
	if n.paths == nil && n.children.empty() {
		return nil
	}
	return n
}

// own returns a node that the edit may change: n itself or a copy.
func (n *wildcards[T]) own(e *edit) *wildcards[T] {
	if n == nil {
		return &wildcards[T]{by: e}
	}
	if n.by == e {
		return n
	}
	owned := *n
	owned.by = e
	return &owned
}

// cutLabel cuts off the rightmost label; more says whether any is left.
func cutLabel(host string) (rest, label string, more bool) {
	i := strings.LastIndexByte(host, '.')
	if i < 0 {
		return "", host, false
	}
	return host[:i], host[i+1:], true
}
