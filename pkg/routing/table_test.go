package routing

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// rt makes a route named ns/name whose value is its name.
func rt(name string, rules ...Rule) Route[string] {
	return Route[string]{Key: Key{Namespace: "ns", Name: name}, Created: time.Unix(1000, 0), Rules: rules, Value: name}
}

// older makes a route older by an hour.
func older(r Route[string]) Route[string] {
	r.Created = r.Created.Add(-time.Hour)
	return r
}

// makeRule makes a rule from "host host path path X-Name X-Name=value". Words that begin with a
// slash are paths; those that begin with "X-" or "x-" are headers.
func makeRule(words string) Rule {
	var rule Rule
	for _, word := range strings.Fields(words) {
		switch {
		case strings.HasPrefix(word, "/"):
			rule.Paths = append(rule.Paths, word)
		case strings.HasPrefix(strings.ToUpper(word), "X-"):
			name, value, ok := strings.Cut(word, "=")
			match := HeaderMatch{Name: name}
			if ok {
				match.Value = &value
			}
			rule.Headers = append(rule.Headers, match)
		default:
			rule.Hosts = append(rule.Hosts, word)
		}
	}
	return rule
}

func TestMatch(t *testing.T) {
	const none = "(none)"
	long := strings.Repeat("a", MaxHost)
	tests := []struct {
		reason string
		routes []Route[string]
		host   string
		path   string
		header http.Header
		want   string
	}{
		// Hosts.
		{"an exact host matches", []Route[string]{rt("a", makeRule("a.example.com"))}, "a.example.com", "/", nil, "a"},
		{"another host does not", []Route[string]{rt("a", makeRule("a.example.com"))}, "b.example.com", "/", nil, none},
		{"an exact host is no suffix", []Route[string]{rt("a", makeRule("example.com"))}, "a.example.com", "/", nil, none},
		{"an exact host is no prefix", []Route[string]{rt("a", makeRule("a.example.com"))}, "example.com", "/", nil, none},
		{"one of several hosts is enough", []Route[string]{rt("a", makeRule("a.example.com b.example.com"))}, "b.example.com", "/", nil, "a"},
		{"an exact host goes before a wildcard", []Route[string]{rt("w", makeRule("*.example.com")), rt("e", makeRule("a.example.com"))}, "a.example.com", "/", nil, "e"},
		{"a wildcard with more labels goes first", []Route[string]{rt("w1", makeRule("*.example.com")), rt("w2", makeRule("*.bar.example.com"))}, "a.bar.example.com", "/", nil, "w2"},
		{"a wildcard covers any depth", []Route[string]{rt("w", makeRule("*.example.com"))}, "a.b.c.example.com", "/", nil, "w"},
		{"a wildcard does not cover its own suffix", []Route[string]{rt("w", makeRule("*.example.com"))}, "example.com", "/", nil, none},
		{"a wildcard covers whole labels", []Route[string]{rt("w", makeRule("*.example.com"))}, "a.badexample.com", "/", nil, none},
		{"a star elsewhere is no wildcard", []Route[string]{rt("w", makeRule("a.*.com *b.com"))}, "a.x.com", "/", nil, none},
		{"a wildcard of nothing matches nothing", []Route[string]{rt("w", makeRule("*..")), rt("v", makeRule("*.:80"))}, "a.", "/", nil, "v"},
		{"a wildcard goes before the catch-all", []Route[string]{older(rt("c", makeRule("*"))), rt("w", makeRule("*.example.com"))}, "a.example.com", "/", nil, "w"},
		{"a star is a catch-all", []Route[string]{rt("c", makeRule("*"))}, "a.example.com", "/", nil, "c"},
		{"an empty host is a catch-all", []Route[string]{rt("c", Rule{Hosts: []string{""}})}, "a.example.com", "/", nil, "c"},
		{"no host is a catch-all", []Route[string]{rt("c", makeRule("/"))}, "a.example.com", "/x", nil, "c"},
		{"an empty rule matches everything", []Route[string]{rt("c", Rule{})}, "", "", nil, "c"},
		{"a request without host (HTTP/1.0) meets the catch-all", []Route[string]{rt("a", makeRule("a")), rt("c", makeRule("*"))}, "", "/", nil, "c"},
		{"a route without rules matches nothing", []Route[string]{rt("a")}, "a.example.com", "/", nil, none},
		{"the request's port is cut off", []Route[string]{rt("a", makeRule("a.example.com"))}, "a.example.com:8080", "/", nil, "a"},
		{"an empty port too", []Route[string]{rt("a", makeRule("a.example.com"))}, "a.example.com:", "/", nil, "a"},
		{"the rule's port is cut off", []Route[string]{rt("a", makeRule("a.example.com:8080"))}, "a.example.com", "/", nil, "a"},
		{"ports need not be the same", []Route[string]{rt("a", makeRule("a.example.com:8080"))}, "a.example.com:9090", "/", nil, "a"},
		{"a wildcard's port is cut off", []Route[string]{rt("w", makeRule("*.example.com:443"))}, "a.example.com", "/", nil, "w"},
		{"a star with a port is a catch-all", []Route[string]{rt("c", makeRule("*:80"))}, "a.example.com", "/", nil, "c"},
		{"the request's host has no case", []Route[string]{rt("a", makeRule("a.example.com"))}, "A.eXample.COM:80", "/", nil, "a"},
		{"the rule's host has no case", []Route[string]{rt("a", makeRule("A.Example.com"))}, "a.example.com", "/", nil, "a"},
		{"a wildcard has no case", []Route[string]{rt("w", makeRule("*.Example.COM"))}, "A.EXAMPLE.com", "/", nil, "w"},
		{"only ASCII is folded (the Kelvin sign is no k)", []Route[string]{rt("a", makeRule("k.example.com"))}, "\u212a.Example.com", "/", nil, none},
		{"the request's trailing dot does not matter", []Route[string]{rt("a", makeRule("a.example.com"))}, "a.example.com.", "/", nil, "a"},
		{"nor before a port", []Route[string]{rt("a", makeRule("a.example.com"))}, "a.example.com.:80", "/", nil, "a"},
		{"nor in a rule", []Route[string]{rt("a", makeRule("a.example.com."))}, "a.example.com", "/", nil, "a"},
		{"an IPv6 literal in brackets", []Route[string]{rt("a", makeRule("[::1]"))}, "[::1]", "/", nil, "a"},
		{"with a port", []Route[string]{rt("a", makeRule("[::1]"))}, "[::1]:8080", "/", nil, "a"},
		{"without brackets in the rule", []Route[string]{rt("a", makeRule("2001:DB8::1"))}, "[2001:db8::1]:8080", "/", nil, "a"},
		{"an IPv6 literal loses no group as a port", []Route[string]{rt("a", makeRule("2001:db8::"))}, "[2001:db8::1]", "/", nil, none},
		{"a bracket that is not closed is no name", []Route[string]{rt("a", makeRule("::1"))}, "[::1", "/", nil, none},
		{"the longest host name", []Route[string]{rt("a", makeRule(long))}, long, "/", nil, "a"},
		{"a longer one is no name: the catch-all takes it", []Route[string]{rt("a", makeRule(long+"a")), rt("w", makeRule("*.a")), rt("c", makeRule("*"))}, long + ".a", "/", nil, "c"},
		{"a pattern too long is no catch-all", []Route[string]{rt("a", makeRule(long+"a"))}, long + "a", "/", nil, none},

		// Paths.
		{"a prefix matches itself", []Route[string]{rt("a", makeRule("/api"))}, "h", "/api", nil, "a"},
		{"and what is below", []Route[string]{rt("a", makeRule("/api"))}, "h", "/api/x/y", nil, "a"},
		{"by whole segments", []Route[string]{rt("a", makeRule("/api"))}, "h", "/apix", nil, none},
		{"not what is above", []Route[string]{rt("a", makeRule("/api/v1"))}, "h", "/api", nil, none},
		{"the longest prefix wins", []Route[string]{older(rt("a", makeRule("/api"))), rt("b", makeRule("/api/v1"))}, "h", "/api/v1/x", nil, "b"},
		{"in whole segments", []Route[string]{rt("a", makeRule("/api")), rt("b", makeRule("/api/v1"))}, "h", "/api/v10", nil, "a"},
		{"slashes around a rule's path do not count", []Route[string]{rt("a", makeRule("//api//"))}, "h", "/api", nil, "a"},
		{"nor around the request's", []Route[string]{rt("a", makeRule("/api"))}, "h", "//api//", nil, "a"},
		{"a rule's path need not begin with a slash", []Route[string]{rt("a", Rule{Paths: []string{"api"}})}, "h", "/api", nil, "a"},
		{"slashes between are kept", []Route[string]{rt("a", makeRule("/a//b")), rt("b", makeRule("/a/b"))}, "h", "/a//b/c", nil, "a"},
		{"and make another path", []Route[string]{rt("a", makeRule("/a//b"))}, "h", "/a/b", nil, none},
		{"a path has case", []Route[string]{rt("a", makeRule("/API"))}, "h", "/api", nil, none},
		{"the root is every path", []Route[string]{rt("a", makeRule("/"))}, "h", "/x", nil, "a"},
		{"an empty path of the request (CONNECT) is the root", []Route[string]{rt("a", makeRule("/"))}, "h", "", nil, "a"},
		{"one of several paths is enough", []Route[string]{rt("a", makeRule("/a /b"))}, "h", "/b/x", nil, "a"},
		{"the host goes before the path", []Route[string]{rt("w", makeRule("*.example.com /api/v1")), rt("e", makeRule("a.example.com /"))}, "a.example.com", "/api/v1", nil, "e"},
		{"an exact host without the path leaves it to a wildcard", []Route[string]{rt("e", makeRule("a.example.com /api")), rt("w", makeRule("*.example.com"))}, "a.example.com", "/x", nil, "w"},
		{"and a wildcard to a shorter one", []Route[string]{rt("w2", makeRule("*.b.example.com /api")), rt("w1", makeRule("*.example.com"))}, "a.b.example.com", "/x", nil, "w1"},
		{"and to the catch-all", []Route[string]{rt("e", makeRule("a.example.com /api")), rt("w", makeRule("*.example.com /api")), rt("c", makeRule("*"))}, "a.example.com", "/x", nil, "c"},
		{"two rules of a route are alternatives", []Route[string]{rt("a", makeRule("a.example.com /a"), makeRule("b.example.com /b"))}, "b.example.com", "/b", nil, "a"},
		{"and do not mix", []Route[string]{rt("a", makeRule("a.example.com /a"), makeRule("b.example.com /b"))}, "a.example.com", "/b", nil, none},

		// Headers.
		{"a header must be there", []Route[string]{rt("a", makeRule("X-A"))}, "h", "/", nil, none},
		{"with any value", []Route[string]{rt("a", makeRule("X-A"))}, "h", "/", http.Header{"X-A": {"v"}}, "a"},
		{"even an empty one", []Route[string]{rt("a", makeRule("X-A"))}, "h", "/", http.Header{"X-A": {""}}, "a"},
		{"a value compares exactly", []Route[string]{rt("a", makeRule("X-A=v"))}, "h", "/", http.Header{"X-A": {"V"}}, none},
		{"and whole", []Route[string]{rt("a", makeRule("X-A=v"))}, "h", "/", http.Header{"X-A": {"v, w"}}, none},
		{"an empty value is a value", []Route[string]{rt("a", makeRule("X-A="))}, "h", "/", http.Header{"X-A": {"v"}}, none},
		{"that an empty header has", []Route[string]{rt("a", makeRule("X-A="))}, "h", "/", http.Header{"X-A": {""}}, "a"},
		{"any of several values may match", []Route[string]{rt("a", makeRule("X-A=v"))}, "h", "/", http.Header{"X-A": {"u", "v"}}, "a"},
		{"a name has no case", []Route[string]{rt("a", makeRule("x-a=v"))}, "h", "/", http.Header{"X-A": {"v"}}, "a"},
		{"all headers must match", []Route[string]{rt("a", makeRule("X-A=v X-B"))}, "h", "/", http.Header{"X-A": {"v"}}, none},
		{"more headers win", []Route[string]{older(rt("z", makeRule("X-A=v"))), rt("a", makeRule("X-A X-B"))}, "h", "/", http.Header{"X-A": {"v"}, "X-B": {""}}, "a"},
		{"then more values", []Route[string]{older(rt("z", makeRule("X-A X-B"))), rt("a", makeRule("X-A=v X-B"))}, "h", "/", http.Header{"X-A": {"v"}, "X-B": {""}}, "a"},
		{"the path goes before headers", []Route[string]{rt("h", makeRule("/ X-A X-B")), rt("p", makeRule("/a"))}, "h", "/a", http.Header{"X-A": {"v"}, "X-B": {""}}, "p"},
		{"headers that do not match leave it to the next shorter path", []Route[string]{rt("l", makeRule("/a/b X-A=v")), rt("s", makeRule("/a"))}, "h", "/a/b", http.Header{"X-A": {"w"}}, "s"},
		{"and to the next host", []Route[string]{rt("e", makeRule("a.example.com X-A=v")), rt("c", makeRule("*"))}, "a.example.com", "/a/b", nil, "c"},

		{"a header that is named twice counts once", []Route[string]{older(rt("o", makeRule("X-A"))), rt("t", twice("X-A", "x-a"))}, "h", "/", http.Header{"X-A": {"v"}}, "o"},
		{"with its value too", []Route[string]{older(rt("o", makeRule("X-A=v"))), rt("t", twice("x-A=v", "X-A=v"))}, "h", "/", http.Header{"X-A": {"v"}}, "o"},
		{"a value asks for any already", []Route[string]{older(rt("o", makeRule("X-A=v"))), rt("t", twice("X-A", "x-a=v"))}, "h", "/", http.Header{"X-A": {"v"}}, "o"},
		{"two values are two", []Route[string]{older(rt("o", makeRule("X-A=v"))), rt("t", twice("X-A=v", "x-a=w"))}, "h", "/", http.Header{"X-A": {"v", "w"}}, "t"},

		// Ties.
		{"the older route wins", []Route[string]{rt("z", makeRule("/a")), older(rt("a", makeRule("/a")))}, "h", "/a", nil, "a"},
		{"then the later name", []Route[string]{rt("a", makeRule("/a")), rt("c", makeRule("/a")), rt("b", makeRule("/a"))}, "h", "/a", nil, "c"},
		{"namespace and name compare as one string", []Route[string]{
			{Key: Key{"n", "x"}, Rules: []Rule{makeRule("/a")}, Value: "n/x"},
			{Key: Key{"n-a", "x"}, Rules: []Rule{makeRule("/a")}, Value: "n-a/x"},
		}, "h", "/a", nil, "n/x"},
		{"of one key the last route counts", []Route[string]{rt("a", makeRule("/a")), rt("a", makeRule("/b"))}, "h", "/a", nil, none},
	}
	for _, test := range tests {
		t.Run(test.reason, func(t *testing.T) {
			got, ok := Compile(test.routes).Match(&Request{Host: test.host, Path: test.path, Header: test.header})
			if !ok {
				got = none
			}
			if got != test.want {
				t.Errorf("Match(%q, %q, %v) = %s, want %s", test.host, test.path, test.header, got, test.want)
			}
		})
	}
}

// twice is a rule of two header matchers, whose names are as they are written.
func twice(headers ...string) Rule {
	var rule Rule
	for _, header := range headers {
		match := HeaderMatch{}
		name, value, ok := strings.Cut(header, "=")
		if match.Name = name; ok {
			match.Value = &value
		}
		rule.Headers = append(rule.Headers, match)
	}
	return rule
}

func TestNilAndZeroTable(t *testing.T) {
	for reason, table := range map[string]*Table[int]{"nil": nil, "zero": {}, "compiled of nothing": Compile[int](nil)} {
		if _, ok := table.Match(&Request{Host: "a.example.com", Path: "/"}); ok || table.Len() != 0 {
			t.Errorf("the %s table matches or has routes", reason)
		}
		next := table.With([]Route[int]{{Key: Key{"ns", "a"}, Rules: make([]Rule, 1), Value: 7}}, nil)
		if got, ok := next.Match(&Request{Host: "a.example.com", Path: "/"}); !ok || got != 7 || next.Len() != 1 {
			t.Errorf("With on the %s table: got %d, %v", reason, got, ok)
		}
	}
}

func TestWith(t *testing.T) {
	match := func(table *Table[string], path string) string {
		got, _ := table.Match(&Request{Host: "a.example.com", Path: path})
		return got
	}
	base := Compile([]Route[string]{rt("a", makeRule("a.example.com /a")), rt("b", makeRule("a.example.com /b"))})

	moved := base.With([]Route[string]{rt("a", makeRule("a.example.com /c"))}, nil)
	if match(moved, "/a") != "" || match(moved, "/b") != "b" || match(moved, "/c") != "a" || moved.Len() != 2 {
		t.Error("a changed route is not where its new rule says, or is still where the old one said")
	}
	gone := base.With(nil, []Key{{"ns", "a"}, {"ns", "unknown"}})
	if match(gone, "/a") != "" || match(gone, "/b") != "b" || gone.Len() != 1 {
		t.Error("a removed route is still there, or another one is not")
	}
	both := base.With([]Route[string]{rt("a", makeRule("a.example.com /d"))}, []Key{{"ns", "a"}})
	if match(both, "/d") != "a" || both.Len() != 2 {
		t.Error("a key in both lists is not set")
	}
	if match(base, "/a") != "a" || match(base, "/b") != "b" || match(base, "/c") != "" || base.Len() != 2 {
		t.Error("the table that the others were made from has changed")
	}
	empty := base.With(nil, []Key{{"ns", "a"}, {"ns", "b"}})
	if empty.hosts != (hosts[string]{}) || !empty.routes.empty() {
		t.Error("a table without routes keeps nodes of its tree")
	}
}

// A rule with many hosts and many paths costs what it has of them, not their product.
func TestHostsAndPathsAreNotMultiplied(t *testing.T) {
	var rules []Rule
	for i := range 6 {
		var rule Rule
		for j := range 300 {
			rule.Hosts = append(rule.Hosts, fmt.Sprintf("h%d-%d.test", i, j))
			rule.Paths = append(rule.Paths, fmt.Sprintf("/p%d-%d", i, j))
		}
		rules = append(rules, rule)
	}
	var table *Table[string]
	allocated := testing.Benchmark(func(b *testing.B) {
		for range b.N {
			table = Compile([]Route[string]{rt("many", rules...), rt("other", makeRule("h1-1.test /p1-1/more"))})
		}
	}).AllocedBytesPerOp()
	if allocated > 8<<20 {
		t.Errorf("%d bytes for 3,600 hosts and paths", allocated)
	}
	for _, test := range []struct{ host, path, want string }{
		{"h0-299.test", "/p0-0/x", "many"}, {"h0-0.test", "/p1-0", ""}, {"h5-7.test", "/p5-299", "many"},
		{"h1-1.test", "/p1-1/more", "other"}, {"h1-1.test", "/p1-1", "many"}, {"h1-2.test", "/p1-1/more", "many"},
	} {
		if got, _ := table.Match(&Request{Host: test.host, Path: test.path}); got != test.want {
			t.Errorf("%s%s is %q's, want %q", test.host, test.path, got, test.want)
		}
	}
}

// With thousands of rules that differ by header a request looks at those that ask for
// something it has.
func TestRulesThatDifferByHeaderAreFound(t *testing.T) {
	const many = 15000
	routes := make([]Route[string], 0, many+1)
	for i := range many {
		value := fmt.Sprint(i)
		headers := []HeaderMatch{{Name: "Accept"}, {Name: "X-Tenant", Value: &value}}
		routes = append(routes, rt(value, Rule{Hosts: []string{"shop.test"}, Headers: headers}))
	}
	table := Compile(append(routes, rt("victim", makeRule("shop.test"))))
	request := func(tenant string) http.Header {
		header := http.Header{"Accept": {"*/*"}, "User-Agent": {"test"}}
		if tenant != "" {
			header.Set("X-Tenant", tenant)
		}
		return header
	}
	for _, tenant := range []string{"0", "7777", "14999"} {
		if got, _ := table.Match(&Request{Host: "shop.test", Path: "/", Header: request(tenant)}); got != tenant {
			t.Errorf("tenant %s gets the route %q", tenant, got)
		}
	}
	header := request("")
	if got, _ := table.Match(&Request{Host: "shop.test", Path: "/", Header: header}); got != "victim" {
		t.Errorf("got the route %q", got)
	}
	few := Compile([]Route[string]{rt("victim", makeRule("shop.test"))})
	cost := func(table *Table[string]) int64 {
		return testing.Benchmark(func(b *testing.B) {
			for range b.N {
				table.Match(&Request{Host: "shop.test", Path: "/", Header: header})
			}
		}).NsPerOp()
	}
	// One after the other the rules took thousands of times as long.
	if with, without := cost(table), cost(few); with > 100*(without+100) {
		t.Errorf("a request takes %d ns among %d rules and %d ns alone", with, many, without)
	}
}

// What With makes is complete: all requests after a change would do the rest at once.
func TestTheFirstMatchAllocatesNothing(t *testing.T) {
	header := headerShape()
	table := Compile(header.routes(1_000))
	tables := make([]*Table[int], 20)
	for i := range tables {
		table = table.With([]Route[int]{header.route(i)}, nil)
		tables[i] = table
	}
	request := &Request{Host: "api.example.com", Path: "/", Header: http.Header{"X-Tenant": {"7"}}}
	if allocs := testing.AllocsPerRun(len(tables)-1, func() {
		tables[0].Match(request)
		tables = tables[1:]
	}); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// What others put on the hosts of a request costs it little, whatever form their rules have.
func TestRulesOfOthersCostLittle(t *testing.T) {
	header := http.Header{}
	names := make([]string, 13)
	for i := range names {
		names[i] = fmt.Sprint("X-", i)
		header.Set(names[i], "1")
	}
	squares := func(size, many int) (rules []Rule) {
		for i := range many {
			rule := makeRule("*")
			for j := range size {
				rule.Hosts = append(rule.Hosts, fmt.Sprintf("h%d.test", j))
				rule.Paths = append(rule.Paths, fmt.Sprintf("/p%d-%d", i, j))
			}
			rules = append(rules, rule)
		}
		return rules
	}
	subsets := func(more ...string) (rules []Rule) {
		for set := range 1 << len(names) {
			var rule Rule
			for i, name := range names {
				if set>>i&1 == 1 {
					rule.Headers = append(rule.Headers, HeaderMatch{Name: name})
				}
			}
			for _, name := range more {
				rule.Headers = append(rule.Headers, HeaderMatch{Name: name})
			}
			rules = append(rules, rule)
		}
		return rules
	}
	victim := rt("victim", makeRule("*"))
	matching := func(table *Table[string]) time.Duration {
		return median(21, func(int) { table.Match(&Request{Host: "a.test", Path: "/", Header: header}) })
	}
	// alone is what a match takes, slow what looking at all rules with headers takes.
	alone := matching(Compile([]Route[string]{victim}))
	var compiled []*rule[string]
	for _, in := range subsets("Z") {
		compiled = append(compiled, compileRule[string](&in))
	}
	slow := median(21, func(int) {
		for _, r := range compiled {
			if matchHeaders(r.asks.headers, header) {
				t.Error("a rule matches")
			}
		}
	})
	for _, test := range []struct {
		reason string
		rules  []Rule
		limit  time.Duration
	}{
		{"many hosts and paths", squares(5, 5_000), 20 * (alone + 1_000)},
		{"as many of both as rules without a tree have", squares(22, 270), 20 * (alone + 1_000)},
		{"as many trees as a namespace may have", squares(24, 256), 10 * slow},
		{"all headers that the request has, and one that it has not", subsets("Z"), 10 * slow},
		{"several that it has not", subsets("Z", "Z-1", "Z-2"), 10 * slow},
	} {
		table := Compile([]Route[string]{victim, rt("other", test.rules...)})
		if got, _ := table.Match(&Request{Host: "a.test", Path: "/", Header: header}); got != "victim" {
			t.Errorf("%s: got the route %q", test.reason, got)
		}
		if took := matching(table); took > test.limit {
			t.Errorf("%s: a match takes %v, more than %v; alone %v", test.reason, took, test.limit, alone)
		}
	}
}

// A bound on weights bounds the pairs that rules stand at, and their trees.
func TestWeight(t *testing.T) {
	for _, test := range []struct{ hosts, paths, headers, want int }{
		{0, 0, 0, 1}, {1, 0, 0, 1}, {1, 1, 0, 2}, {300, 1, 2, 303}, {4, 4, 0, 8}, {5, 5, 1, 12},
		{22, 22, 0, 242}, {23, 23, 0, 256}, {100, 100, 0, 256}, {300, 300, 0, 600},
	} {
		if got := Weight(test.hosts, test.paths, test.headers); got != test.want {
			t.Errorf("%+v: %d", test, got)
		}
	}
}

func TestMatcher(t *testing.T) {
	m := CompileMatcher([]Rule{makeRule("/healthz"), makeRule("a.example.com /favicon.ico X-A")})
	header := http.Header{"X-A": {"v"}}
	tests := []struct {
		reason, host, path string
		header             http.Header
		want               bool
	}{
		{"the first rule", "b.example.com", "/healthz", nil, true},
		{"the second rule", "A.example.com:80", "/favicon.ico", header, true},
		{"the second rule without its header", "a.example.com", "/favicon.ico", nil, false},
		{"the second rule at another host", "b.example.com", "/favicon.ico", header, false},
		{"neither", "a.example.com", "/", header, false},
	}
	for _, test := range tests {
		if got := m.Match(&Request{Host: test.host, Path: test.path, Header: test.header}); got != test.want {
			t.Errorf("%s: got %v", test.reason, got)
		}
	}
	var zero Matcher
	if none := CompileMatcher(nil); zero.Match(&Request{Host: "h", Path: "/"}) || none.Match(&Request{Host: "h", Path: "/"}) {
		t.Error("a matcher without rules matches")
	}
}
