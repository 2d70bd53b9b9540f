package routing

import (
	"cmp"
	"strings"
)

// maxHost is the length of the longest host name (RFC 1035, 2.3.4). A longer
// host is no name, so it matches nothing but the catch-all; that bounds the
// depth of the tree of hosts.
const maxHost = 253

// pattern is a host of a rule, lower case. With any, it stands for all hosts
// that end in "." and name; an empty name with any is the catch-all.
type pattern struct {
	name string
	any  bool
}

// catchAll is the pattern of every host.
func catchAll() pattern { return pattern{any: true} }

// parsePattern reads a host of a rule. A pattern that is too long to be a host
// name is not ok: nothing could match it.
func parsePattern(host string) (p pattern, ok bool) {
	host = lower(normalizeHost(host))
	if host == "" || host == "*" {
		return catchAll(), true
	}
	p.name, p.any = strings.CutPrefix(host, "*.")
	return p, len(p.name) <= maxHost
}

// comparePatterns orders patterns so that duplicates are neighbours.
func comparePatterns(a, b pattern) int {
	if a.any != b.any {
		if a.any {
			return -1
		}
		return 1
	}
	return cmp.Compare(a.name, b.name)
}

// normalizeHost cuts off what does not name a host: the port, the brackets of
// an IPv6 literal, the trailing dot of a fully qualified name. More than one
// colon without brackets is an IPv6 literal that has no port.
func normalizeHost(host string) string {
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

// hosts is a node of the tree of host labels, the rightmost label at the root.
type hosts[T any] struct {
	by       *edit
	children dict[*hosts[T]]
	// exact is the paths of the host that ends here, wildcard those of all hosts
	// with further labels. The root's wildcard is the catch-all.
	exact, wildcard *paths[T]
}

// match finds the rule for a host whose labels above this node are cut off. The
// recursion goes down first, so that the most specific host has the first say;
// it is as deep as the hosts of the rules have labels.
func (n *hosts[T]) match(r *request, host string) *rule[T] {
	if len(host) <= maxHost {
		rest, label, more := cutLabel(host)
		if child, ok := n.children.find(hashLabel(r, label), label, r.fold); ok {
			var matched *rule[T]
			if more {
				matched = child.match(r, rest)
			} else {
				matched = child.exact.match(r)
			}
			if matched != nil {
				return matched
			}
		}
	}
	return n.wildcard.match(r)
}

// update returns the node with a change made to the paths of a pattern; nil if
// nothing is left. The receiver may be nil.
func (n *hosts[T]) update(e *edit, p pattern, change func(*paths[T]) *paths[T]) *hosts[T] {
	if p == catchAll() {
		n = n.own(e)
		n.wildcard = change(n.wildcard)
		return n.orNil()
	}
	return n.descend(e, p.name, func(end *hosts[T]) {
		if p.any {
			end.wildcard = change(end.wildcard)
		} else {
			end.exact = change(end.exact)
		}
	})
}

// descend owns the nodes on the way to a host and changes the last one.
func (n *hosts[T]) descend(e *edit, host string, change func(*hosts[T])) *hosts[T] {
	n = n.own(e)
	rest, label, more := cutLabel(host)
	hash := e.hash(label)
	child, _ := n.children.find(hash, label, false)
	if more {
		child = child.descend(e, rest, change)
	} else {
		child = child.own(e)
		change(child)
		child = child.orNil()
	}
	if child == nil {
		n.children.delete(e, hash, label)
	} else {
		n.children.set(e, hash, label, child)
	}
	return n.orNil()
}

// own returns a node that the edit may change: n itself or a copy.
func (n *hosts[T]) own(e *edit) *hosts[T] {
	if n == nil {
		return &hosts[T]{by: e}
	}
	if n.by == e {
		return n
	}
	owned := *n
	owned.by = e
	return &owned
}

// orNil returns nil for a node that nothing is left of.
func (n *hosts[T]) orNil() *hosts[T] {
	if n.exact == nil && n.wildcard == nil && n.children.empty() {
		return nil
	}
	return n
}

// cutLabel cuts off the rightmost label; more says whether any is left.
func cutLabel(host string) (rest, label string, more bool) {
	i := strings.LastIndexByte(host, '.')
	if i < 0 {
		return "", host, false
	}
	return host[:i], host[i+1:], true
}
