package routing

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// conditions are the matches of a rule besides host and path. There is at least one: a rule
// without any has nil conditions. They are immutable.
type conditions struct {
	// headers that must be there, with a value or any; hashes of them if they are indexed.
	headers []headerMatch
	hashes  []uint64
	// tests of further headers.
	tests []headerTest
	// values is how many headers and tests ask for certain values.
	values  int
	methods []string
	clients []netip.Prefix
}

// headerTest is a header that a test decides about.
type headerTest struct {
	name string
	test HeaderTest
}

// compileConditions returns nil for a rule that asks for nothing.
func compileConditions(in *Rule) *conditions {
	if len(in.Headers)+len(in.Methods)+len(in.Clients) == 0 {
		return nil
	}
	c := &conditions{methods: slices.Compact(slices.Sorted(slices.Values(in.Methods)))}
	c.clients = slices.Clone(in.Clients)
	slices.SortFunc(c.clients, netip.Prefix.Compare)
	for _, header := range in.Headers {
		name := http.CanonicalHeaderKey(header.Name)
		switch {
		case header.Test != nil:
			c.tests = append(c.tests, headerTest{name, header.Test})
			if header.Test != Absent {
				c.values++
			}
		case header.Value != nil:
			c.headers = append(c.headers, headerMatch{name: name, value: *header.Value})
		default:
			c.headers = append(c.headers, headerMatch{name: name, anyValue: true})
		}
	}
	c.headers = distinctHeaders(c.headers)
	for _, m := range c.headers {
		if !m.anyValue {
			c.values++
		}
	}
	return c
}

// indexed reports whether a path with many rules finds a rule with these conditions by its
// headers: they ask for nothing else.
func (c *conditions) indexed() bool {
	return c != nil && len(c.tests)+len(c.methods)+len(c.clients) == 0
}

// match reports whether a request meets the conditions.
func (c *conditions) match(r *request) bool {
	return c == nil || matchHeaders(c.headers, r.Header) && c.matchMethod(r.Method) && c.matchClient(r) && c.matchTests(r.Header)
}

func (c *conditions) matchMethod(method string) bool {
	return len(c.methods) == 0 || slices.Contains(c.methods, method)
}

func (c *conditions) matchClient(r *request) bool {
	if len(c.clients) == 0 {
		return true
	}
	client := r.client()
	for _, network := range c.clients {
		if network.Contains(client) {
			return true
		}
	}
	return false
}

func (c *conditions) matchTests(header http.Header) bool {
	for i := range c.tests {
		if t := &c.tests[i]; !t.test.Match(header[t.name]) {
			return false
		}
	}
	return true
}

// matchHeaders reports whether a header has all that is asked for. Of several values
// of one header any may be the one.
func matchHeaders(matches []headerMatch, header http.Header) bool {
	for i := range matches {
		m := &matches[i]
		values := header[m.name]
		if m.anyValue && len(values) == 0 || !m.anyValue && !slices.Contains(values, m.value) {
			return false
		}
	}
	return true
}

// compareConditions orders what rules ask for by precedence.
func compareConditions(a, b *conditions) int {
	if a == nil || b == nil {
		return compareBools(a == nil, b == nil)
	}
	return cmp.Or(
		compareBools(len(a.methods) == 0, len(b.methods) == 0),
		compareRank(len(a.headers)+len(a.tests), a.values, len(b.headers)+len(b.tests), b.values),
		compareBools(len(a.clients) == 0, len(b.clients) == 0),
	)
}

// String returns the conditions as messages show them: the same for rules that match the
// same requests of a host and path.
func (c *conditions) String() string {
	if c == nil {
		return ""
	}
	var parts, headers []string
	if len(c.methods) > 0 {
		parts = append(parts, "methods "+strings.Join(c.methods, ", "))
	}
	for _, match := range c.headers {
		headers = append(headers, match.String())
	}
	for _, t := range c.tests {
		headers = append(headers, t.name+" "+t.test.String())
	}
	if len(headers) > 0 {
		slices.Sort(headers)
		parts = append(parts, "headers "+strings.Join(headers, ", "))
	}
	if len(c.clients) > 0 {
		clients := make([]string, len(c.clients))
		for i := range c.clients {
			clients[i] = c.clients[i].String()
		}
		parts = append(parts, "clients "+strings.Join(clients, ", "))
	}
	return strings.Join(parts, " and ")
}
