package routing

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// modelHit is one way in which a rule of a route matches a request.
type modelHit struct {
	route               *Route[string]
	exact               bool
	methods, clients    bool
	labels, segments    int
	headers, withValues int
}

// modelMatch is the slow and obvious table: of every rule's every host and path
// that match, the first in the order of precedence.
func modelMatch(routes map[Key]*Route[string], of *Request) (string, bool) {
	host, path, header := of.Host, of.Path, of.Header
	var hits []modelHit
	for _, r := range routes {
		for _, rule := range r.Rules {
			headers, withValues, ok := modelHeaders(rule.Headers, header)
			if !ok || !modelMethod(rule.Methods, of.Method) || !modelClient(rule.Clients, of.Peer) {
				continue
			}
			for _, h := range orDefault(rule.Hosts, "*") {
				exact, labels, ok := modelHost(h, host)
				if !ok {
					continue
				}
				for _, p := range orDefault(rule.Paths, "/") {
					if segments, ok := modelPath(p, path); ok {
						hits = append(hits, modelHit{r, exact, len(rule.Methods) > 0, len(rule.Clients) > 0, labels, segments, headers, withValues})
					}
				}
			}
		}
	}
	if len(hits) == 0 {
		return "", false
	}
	return slices.MinFunc(hits, func(a, b modelHit) int {
		switch {
		case a.exact != b.exact && a.exact:
			return -1
		case a.exact != b.exact:
			return 1
		}
		return cmp.Or(
			cmp.Compare(b.labels, a.labels),
			cmp.Compare(b.segments, a.segments),
			trueFirst(a.methods, b.methods),
			cmp.Compare(b.headers, a.headers),
			cmp.Compare(b.withValues, a.withValues),
			trueFirst(a.clients, b.clients),
			a.route.Created.Compare(b.route.Created),
			cmp.Compare(b.route.Key.String(), a.route.Key.String()),
		)
	}).route.Value, true
}

func trueFirst(a, b bool) int {
	switch {
	case a && !b:
		return -1
	case b && !a:
		return 1
	}
	return 0
}

func modelMethod(methods []string, method string) bool {
	return len(methods) == 0 || slices.Contains(methods, method)
}

func modelClient(clients []netip.Prefix, peer string) bool {
	address := netip.MustParseAddrPort(peer).Addr()
	return len(clients) == 0 || slices.ContainsFunc(clients, func(p netip.Prefix) bool { return p.Contains(address) })
}

func orDefault[E any](list []E, otherwise E) []E {
	if len(list) == 0 {
		return []E{otherwise}
	}
	return list
}

// modelHeaders counts the headers that are asked for, and the values: each once.
func modelHeaders(matches []HeaderMatch, header http.Header) (headers, withValues int, ok bool) {
	asked := map[string]map[string]bool{}
	for _, m := range matches {
		name := strings.ToLower(m.Name)
		if m.Test != nil {
			if !m.Test.Match(header.Values(name)) {
				return 0, 0, false
			}
			headers++
			if m.Test != Absent {
				withValues++
			}
			continue
		}
		if asked[name] == nil {
			asked[name] = map[string]bool{}
		}
		if len(header.Values(name)) == 0 {
			return 0, 0, false
		}
		if m.Value != nil {
			asked[name][*m.Value] = true
		}
	}
	for name, values := range asked {
		for value := range values {
			if !slices.Contains(header.Values(name), value) {
				return 0, 0, false
			}
		}
		headers, withValues = headers+max(len(values), 1), withValues+len(values)
	}
	return headers, withValues, true
}

func modelHost(pattern, host string) (exact bool, labels int, ok bool) {
	pattern, host = modelName(pattern), modelName(host)
	if pattern == "" || pattern == "*" {
		return false, 0, true
	}
	if len(host) > 253 {
		return false, 0, false
	}
	if suffix, wildcard := strings.CutPrefix(pattern, "*."); wildcard {
		return false, strings.Count(suffix, ".") + 1, suffix != "" && strings.HasSuffix(host, "."+suffix)
	}
	return true, 0, pattern == host
}

func modelName(host string) string {
	host = strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 32
		}
		return r
	}, host)
	if strings.HasPrefix(host, "[") && strings.Contains(host, "]") {
		inside, _, _ := strings.Cut(host[1:], "]")
		return inside
	}
	if !strings.HasPrefix(host, "[") {
		if strings.Count(host, ":") == 1 {
			host, _, _ = strings.Cut(host, ":")
		}
		host = strings.TrimSuffix(host, ".")
	}
	return host
}

func modelPath(prefix, path string) (segments int, ok bool) {
	prefix, path = strings.Trim(prefix, "/"), strings.Trim(path, "/")
	if prefix == "" {
		return 0, true
	}
	return strings.Count(prefix, "/") + 1, strings.HasPrefix(path+"/", prefix+"/")
}

// draw makes routes and requests out of a few names, so that they meet often.
type draw struct {
	*rand.Rand
	// filters draws what 0.16 does not know: methods, tests and clients.
	filters bool
}

func (d draw) host() string {
	if d.IntN(12) == 0 {
		return []string{"", "*", "[::1]", "[::1]:80", "::1", ":80", ".", "..", "[", strings.Repeat("a.", 130) + "b"}[d.IntN(10)]
	}
	host := strings.Join(d.some(1, 3, "a", "b", "C", "c", ""), ".")
	if d.IntN(3) == 0 {
		host = "*." + host
	}
	return host + []string{"", "", ".", ":80", ".:80"}[d.IntN(5)]
}

func (d draw) path() string {
	return "/" + strings.Join(d.some(0, 5, "a", "b", "ab", ""), "/")
}

func (d draw) some(least, most int, of ...string) []string {
	out := make([]string, least+d.IntN(most-least+1))
	for i := range out {
		out[i] = of[d.IntN(len(of))]
	}
	return out
}

func (d draw) rule() Rule {
	var rule Rule
	hosts, paths := 3, 3
	if d.IntN(6) == 0 { // they share a tree
		hosts, paths = 60, 60
	}
	for range d.IntN(hosts) {
		rule.Hosts = append(rule.Hosts, d.host())
	}
	for range d.IntN(paths) {
		rule.Paths = append(rule.Paths, d.path())
	}
	for range max(d.IntN(5)-2, 0) {
		match := HeaderMatch{Name: d.some(1, 1, "X-A", "x-b", "x-a")[0]}
		if d.IntN(2) == 0 {
			match.Value = &d.some(1, 1, "v", "w", "")[0]
		}
		if d.filters && d.IntN(3) == 0 {
			match.Test = []HeaderTest{Absent, Prefix("v"), Contains("V"), OneOf("v", "w")}[d.IntN(4)]
		}
		rule.Headers = append(rule.Headers, match)
	}
	if d.filters && d.IntN(4) == 0 {
		rule.Methods = d.some(1, 2, "GET", "POST")
	}
	if d.filters && d.IntN(4) == 0 {
		rule.Clients = []netip.Prefix{netip.MustParsePrefix(d.some(1, 1, "10.0.0.0/8", "192.0.2.0/24", "::/0")[0])}
	}
	return rule
}

func (d draw) request(host, path string) *Request {
	return &Request{
		Host: host, Path: path, Header: d.header(), Method: d.some(1, 1, "GET", "POST", "PUT")[0],
		Peer: d.some(1, 1, "10.1.2.3:4", "192.0.2.1:4", "[2001:db8::1]:4")[0],
	}
}

func (d draw) route() Route[string] {
	r := Route[string]{
		Key:     Key{Namespace: d.some(1, 1, "n", "n-a")[0], Name: fmt.Sprint("r", d.IntN(12))},
		Created: time.Unix(int64(d.IntN(3)), 0),
		Value:   fmt.Sprint(d.Uint32()),
	}
	for range d.IntN(4) {
		r.Rules = append(r.Rules, d.rule())
	}
	if d.IntN(6) == 0 { // a place has an index
		for range 4 * fewRules {
			if rule := d.rule(); len(rule.Headers) > 0 {
				rule.Hosts, rule.Paths = nil, nil
				r.Rules = append(r.Rules, rule)
			}
		}
	}
	return r
}

func (d draw) header() http.Header {
	header := http.Header{}
	for range d.IntN(4) {
		header.Add(d.some(1, 1, "X-A", "X-B")[0], d.some(1, 1, "v", "w", "", "u")[0])
	}
	return header
}

// checkAgainstModel changes a table step by step and compares it, and a table compiled afresh,
// with the model. At the end it does so with all older tables too, which must not have changed.
func checkAgainstModel(t *testing.T, d draw, host, path string) {
	t.Helper()
	type version struct {
		table  *Table[string]
		routes map[Key]*Route[string]
	}
	current := version{routes: map[Key]*Route[string]{}}
	var versions []version
	for range 1 + d.IntN(6) {
		next := version{routes: map[Key]*Route[string]{}}
		for key, r := range current.routes {
			next.routes[key] = r
		}
		var remove []Key
		for range d.IntN(4) {
			remove = append(remove, d.route().Key)
			delete(next.routes, remove[len(remove)-1])
		}
		var set []Route[string]
		for range d.IntN(8) {
			r := d.route()
			set = append(set, r)
			next.routes[r.Key] = &r
		}
		next.table = current.table.With(set, remove)
		versions = append(versions, next)
		current = next
	}
	var all []Route[string]
	for _, r := range current.routes {
		all = append(all, *r)
	}
	versions = append(versions, version{Compile(all), current.routes})

	for i, v := range versions {
		if v.table.Len() != len(v.routes) {
			t.Fatalf("version %d: Len() = %d, want %d", i, v.table.Len(), len(v.routes))
		}
		var values, want []string
		for value := range v.table.All() {
			values = append(values, value)
		}
		for _, r := range v.routes {
			want = append(want, r.Value)
		}
		if slices.Sort(values); !slices.Equal(values, slices.Sorted(slices.Values(want))) {
			t.Fatalf("version %d: All() = %v, want %v", i, values, want)
		}
		for n := range 20 {
			if n > 0 { // the first request is the one that the caller asks for
				host, path = d.host(), d.path()
			}
			request := d.request(host, path)
			got, ok := v.table.Match(request)
			want, wantOK := modelMatch(v.routes, request)
			if got != want || ok != wantOK {
				t.Fatalf("version %d: Match(%+v) = %q, %v; the model says %q, %v; routes: %+v", i, request, got, ok, want, wantOK, v.routes)
			}
		}
	}
	keys := make([]Key, 0, len(current.routes))
	for key := range current.routes {
		keys = append(keys, key)
	}
	if empty := current.table.With(nil, keys); empty.hosts != (hosts[string]{}) || !empty.routes.empty() || empty.Len() != 0 {
		t.Fatal("after all routes were removed nodes are left")
	}
}

func FuzzTable(f *testing.F) {
	f.Add(uint64(1), "a.b", "/a/b")
	f.Add(uint64(2), "A.B.:80", "//a//b//")
	f.Add(uint64(3), "[::1]:80", "/a")
	f.Add(uint64(4), "[", "")
	f.Add(uint64(5), "\xff.\x00", "/\xff")
	f.Fuzz(func(t *testing.T, seed uint64, host, path string) {
		checkAgainstModel(t, draw{rand.New(rand.NewPCG(seed, 0)), seed%2 == 1}, host, path)
	})
}

func TestTableAgainstModel(t *testing.T) {
	for seed := range uint64(500) {
		checkAgainstModel(t, draw{rand.New(rand.NewPCG(seed, 1)), seed%2 == 1}, "a.b", "/a/b")
	}
}

// TestOldRulesSortAsBefore holds rules that 0.16 knows to its order: more headers, more
// values, age, name.
func TestOldRulesSortAsBefore(t *testing.T) {
	d := draw{Rand: rand.New(rand.NewPCG(16, 0))}
	var rules []*rule[string]
	for range 200 {
		r := d.route()
		rules = append(rules, compileRoute(&edit{hash: func(string) uint64 { return 0 }}, &r).rules...)
	}
	old := func(r *rule[string]) (headers, values int) {
		if r.asks == nil {
			return 0, 0
		}
		for _, m := range r.asks.headers {
			if headers++; !m.anyValue {
				values++
			}
		}
		return headers, values
	}
	for _, a := range rules {
		for _, b := range rules {
			aHeaders, aValues := old(a)
			bHeaders, bValues := old(b)
			want := cmp.Or(cmp.Compare(bHeaders, aHeaders), cmp.Compare(bValues, aValues),
				a.route.created.Compare(b.route.created), cmp.Compare(b.route.id, a.route.id))
			if got := compareRules(a, b); got != want {
				t.Fatalf("compareRules(%+v, %+v) = %d, want %d", a.asks, b.asks, got, want)
			}
		}
	}
}
