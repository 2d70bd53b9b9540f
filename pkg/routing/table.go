// Package routing finds the route that a request belongs to. A [Table] holds the
// rules of many routes, a [Matcher] those of one static route, and [Places] are
// what routes compete for.
//
// Of all rules that match a request the one that comes first in this order wins:
//
//  1. its host: an exact host, then a wildcard with more labels, then the catch-all;
//  2. its path: the longest prefix of whole segments;
//  3. one with methods before one without;
//  4. more header matchers, then more of them with a value;
//  5. one with clients before one without;
//  6. the older creationTimestamp of its route;
//  7. its route's "namespace/name", descending.
//
// A rule whose path or conditions do not match is out, whatever its host. The request goes on to
// the next shorter path, and then to the next less specific host. So a route for
// shop.example.com/api takes only /api away from one for *.example.com.
//
// The package must not know Kubernetes, what a route leads to, or who serves it.
package routing

import (
	"hash/maphash"
	"iter"
	"net/http"
	"net/netip"
	"time"
)

// Key names a route.
type Key struct{ Namespace, Name string }

// String returns "namespace/name".
func (k Key) String() string { return k.Namespace + "/" + k.Name }

// Route is a route as it goes into a Table.
type Route[T any] struct {
	// Key of the route; a table holds one route for each.
	Key Key
	// Created is the creationTimestamp: of equal rules the older one wins.
	Created time.Time
	// Rules of which one must match. A route without rules matches nothing, a
	// rule without hosts, paths and headers everything.
	Rules []Rule
	// Value is what Match returns for the route.
	Value T
}

// Table finds the route of a request. It is immutable, so that any number of goroutines may use
// it. The nil and the zero Table match nothing.
//
// It is a persistent map of hosts, a tree of wildcards, and for each host a tree of paths. With
// copies the nodes on the way to what changes and shares all others.
type Table[T any] struct {
	seed   maphash.Seed
	routes dict[*route[T]]
	count  int
	hosts  hosts[T]
}

// Compile makes a table. Of routes with the same Key the last one counts.
func Compile[T any](routes []Route[T]) *Table[T] {
	return (*Table[T])(nil).With(routes, nil)
}

// With returns a table without the removed routes and with those of set, which
// replace routes of the same Key. Its cost follows the size of the change, not
// of the table. Keys that are not in the table may be removed; a key in both
// lists is set.
func (t *Table[T]) With(set []Route[T], remove []Key) *Table[T] {
	next := new(Table[T])
	if t != nil {
		*next = *t
	}
	if next.seed == (maphash.Seed{}) {
		next.seed = maphash.MakeSeed()
	}
	e := &edit{hash: func(key string) uint64 { return maphash.String(next.seed, key) }}
	for _, key := range remove {
		next.remove(e, key.String())
	}
	for i := range set {
		next.remove(e, set[i].Key.String())
		next.insert(e, compileRoute(e, &set[i]))
	}
	return next
}

// Match returns the value of the route that a request belongs to.
//
// Match allocates nothing, except where a rule matches clients or regular expressions. Its work
// is linear in the lengths of host, path and header. Two kinds of rules add to it, each by their
// number. One kind are rules of the host that weigh 256 or more (see [Weight]). The other are
// rules of a path that match methods, tests or clients, or a header of the request together with
// other headers.
func (t *Table[T]) Match(of *Request) (value T, ok bool) {
	if t == nil || t.count == 0 {
		return value, false
	}
	r := request{Request: of, seed: t.seed, path: normalizePath(of.Path)}
	if matched := t.hosts.match(&r, HostName(of.Host)); matched != nil {
		return matched.value, true
	}
	return value, false
}

// Find returns the value of a route.
func (t *Table[T]) Find(key Key) (value T, ok bool) {
	if t == nil {
		return value, false
	}
	name := key.String()
	found, ok := t.routes.find(maphash.String(t.seed, name), name, false)
	if ok {
		value = found.value
	}
	return value, ok
}

// Len returns the number of routes, those that match nothing included.
func (t *Table[T]) Len() int {
	if t == nil {
		return 0
	}
	return t.count
}

// All returns the values of all routes in no order, those that match nothing included.
func (t *Table[T]) All() iter.Seq[T] {
	return func(yield func(T) bool) {
		if t != nil {
			t.routes.each(func(r *route[T]) bool { return yield(r.value) })
		}
	}
}

// insert adds a route whose key is not in the table.
func (t *Table[T]) insert(e *edit, r *route[T]) {
	t.routes.set(e, r.id, r)
	t.count++
	for _, rule := range r.rules {
		t.place(e, rule, true)
	}
}

// remove takes out a route if it is there.
func (t *Table[T]) remove(e *edit, id string) {
	r, ok := t.routes.lookup(e, id)
	if !ok {
		return
	}
	t.routes.delete(e, id)
	t.count--
	for _, rule := range r.rules {
		t.place(e, rule, false)
	}
}

// place adds a rule to every place in the tree that it belongs to, or takes it out.
func (t *Table[T]) place(e *edit, r *rule[T], add bool) {
	atHost := func(p *paths[T]) *paths[T] {
		if r.tree != nil {
			return p.share(e, r, add)
		}
		for _, path := range r.paths {
			p = p.update(e, path, r, add)
		}
		return p
	}
	for _, host := range r.hosts {
		t.hosts.update(e, host, atHost)
	}
}

// Request is what rules look at.
type Request struct {
	// Host as the request has it: its port is cut off, case and a trailing dot do not
	// matter.
	Host string
	// Path is the decoded one (URL.Path); it is compared as it is, except for leading and
	// trailing slashes.
	Path   string
	Method string
	// Header has canonical keys.
	Header http.Header
	// Peer is the address at the other end of the connection, with its port.
	Peer string
	// Trusted are the proxies that may name the client of a request.
	Trusted Proxies
}

// request is what the trees look at.
type request struct {
	*Request
	seed maphash.Seed
	path string
	// from is the client, once it was asked for.
	from  netip.Addr
	known bool
	// fold says that the host has upper case letters; known once it is looked up.
	fold bool
}

// client returns the address of the client.
func (r *request) client() netip.Addr {
	if !r.known {
		r.from, r.known = r.Trusted.Client(r.Peer, r.Header["X-Forwarded-For"]), true
	}
	return r.from
}
