package routing

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// shape is a way to have many routes: request i of a shape belongs to route i.
type shape struct {
	name    string
	rule    func(i int) Rule
	request func(i int) (host, path string, header http.Header)
}

func hostShape() shape {
	host := func(i int) string { return fmt.Sprintf("app-%d.team-%d.example.com", i, i%100) }
	return shape{
		"hosts",
		func(i int) Rule { return makeRule(host(i)) },
		func(i int) (string, string, http.Header) { return host(i) + ":8080", "/v1/chat/completions", nil },
	}
}

func pathShape() shape {
	path := func(i int) string { return fmt.Sprintf("/tenants/tenant-%d/api", i) }
	return shape{
		"paths",
		func(i int) Rule { return makeRule("api.example.com " + path(i)) },
		func(i int) (string, string, http.Header) { return "api.example.com", path(i) + "/v1/models", nil },
	}
}

func headerShape() shape {
	return shape{
		"headers",
		func(i int) Rule { return makeRule(fmt.Sprint("api.example.com X-Tenant=", i)) },
		func(i int) (string, string, http.Header) {
			return "api.example.com", "/", http.Header{"X-Tenant": {fmt.Sprint(i)}}
		},
	}
}

func (s shape) routes(n int) []Route[int] {
	routes := make([]Route[int], n)
	for i := range routes {
		routes[i] = s.route(i)
	}
	return routes
}

func (s shape) route(i int) Route[int] {
	return Route[int]{
		Key:     Key{Namespace: "ns", Name: fmt.Sprint("route-", i)},
		Created: time.Unix(int64(i), 0),
		Rules:   []Rule{s.rule(i)},
		Value:   i,
	}
}

type lookup struct {
	host, path string
	header     http.Header
}

// lookups are requests spread over all routes, so that no cache holds the way.
func (s shape) lookups(n int) []lookup {
	out := make([]lookup, 1<<14)
	for i := range out {
		l := &out[i]
		l.host, l.path, l.header = s.request(i * 7919 % n)
	}
	return out
}

func BenchmarkMatch(b *testing.B) {
	for _, s := range []shape{hostShape(), pathShape()} {
		for _, n := range []int{10, 10_000, 100_000} {
			b.Run(fmt.Sprint(s.name, "=", n), func(b *testing.B) { benchmarkMatch(b, s, n) })
		}
	}
	for _, n := range []int{10, 1_000} {
		s := headerShape()
		b.Run(fmt.Sprint(s.name, "=", n), func(b *testing.B) { benchmarkMatch(b, s, n) })
	}
}

func benchmarkMatch(b *testing.B, s shape, n int) {
	table := Compile(s.routes(n))
	lookups := s.lookups(n)
	runtime.GC() // what the set-up left is not for the loop to clear up
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l := &lookups[i%len(lookups)]
		if _, ok := table.Match(&Request{Host: l.host, Path: l.path, Header: l.header}); !ok {
			b.Fatal("no match")
		}
	}
}

// BenchmarkGoMap is the baseline for BenchmarkMatch on a given machine. With many routes both
// wait for memory, and a map of exact names is the least that a table could be.
func BenchmarkGoMap(b *testing.B) {
	const n = 100_000
	s := hostShape()
	routes := make(map[string]*Route[int], n)
	for i := range n {
		r := s.route(i)
		routes[r.Rules[0].Hosts[0]] = &r
	}
	lookups := s.lookups(n)
	runtime.GC()
	for i := 0; b.Loop(); i++ {
		if r := routes[HostName(lookups[i%len(lookups)].host)]; r.Rules == nil {
			b.Fatal("no route")
		}
	}
}

// BenchmarkMatchHostile measures what a client can make a lookup cost.
func BenchmarkMatchHostile(b *testing.B) {
	for _, h := range hostile() {
		b.Run(h.name, func(b *testing.B) {
			table := hostileTable()
			b.ReportAllocs()
			for b.Loop() {
				table.Match(&Request{Host: h.host, Path: h.path})
			}
		})
	}
}

type hostileRequest struct{ name, host, path string }

// hostile returns requests as large as a server's limit of 1 MiB allows.
func hostile() []hostileRequest {
	const size = 1 << 20
	return []hostileRequest{
		{"slashes", "a.example.com", strings.Repeat("/", size)},
		{"segments", "a.example.com", strings.Repeat("/x", size/2)},
		{"known-segments", "a.example.com", strings.Repeat("/a", size/2)},
		{"long-segment", "a.example.com", "/" + strings.Repeat("x", size)},
		{"host", strings.Repeat("x", size), "/"},
		{"labels", strings.Repeat("a.", size/2) + "example.com", "/"},
		{"labels-within-limit", strings.Repeat("a.", 120) + "example.com", "/"},
		{"upper-labels-within-limit", strings.Repeat("A.", 120) + "example.com", "/"},
		{"dots", strings.Repeat(".", size), "/"},
	}
}

// hostileTable has rules as deep as what the requests ask for.
func hostileTable() *Table[int] {
	routes := hostShape().routes(10_000)
	for i := range 120 {
		routes = append(routes, Route[int]{Key: Key{"deep", fmt.Sprint(i)}, Rules: []Rule{
			makeRule("*." + strings.Repeat("a.", i) + "example.com /only-this"),
			makeRule("a.example.com " + strings.Repeat("/a", i+1)),
		}})
	}
	return Compile(routes)
}

func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{10, 10_000, 100_000} {
		b.Run(fmt.Sprint("hosts=", n), func(b *testing.B) {
			routes := hostShape().routes(n)
			b.ReportAllocs()
			for b.Loop() {
				Compile(routes)
			}
		})
	}
}

func BenchmarkWith(b *testing.B) {
	for _, s := range []shape{hostShape(), pathShape(), headerShape()} {
		for _, n := range []int{10, 10_000, 100_000} {
			if s.name == "headers" && n > 10_000 {
				continue
			}
			b.Run(fmt.Sprint("1-of-", s.name, "=", n), func(b *testing.B) {
				table := Compile(s.routes(n))
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					table = table.With([]Route[int]{s.route(i % n)}, nil)
				}
			})
		}
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	upper := http.Header{"X-Tenant": {"1", "2"}}
	mixed := Compile([]Route[int]{
		{Key: Key{"ns", "a"}, Rules: []Rule{makeRule("a.example.com /a X-Tenant=2")}},
		{Key: Key{"ns", "b"}, Rules: []Rule{makeRule("*.example.com /a/b")}},
		{Key: Key{"ns", "c"}, Rules: []Rule{makeRule("*")}},
		{Key: Key{"ns", "d"}, Rules: []Rule{makeRule("[::1]")}},
	})
	for reason, l := range map[string]lookup{
		"an exact host with a header":    {"a.example.com", "/a/b", upper},
		"an upper case host with a port": {"A.Example.COM.:8080", "/a/b", upper},
		"a long upper case host":         {strings.Repeat("A", 63) + "." + strings.Repeat("B", 63) + ".Example.Com", "/a/b/c", nil},
		"the catch-all":                  {"nobody.knows", "//x//", nil},
		"an IPv6 literal":                {"[::1]:8080", "/", nil},
	} {
		if allocs := testing.AllocsPerRun(100, func() { mixed.Match(&Request{Host: l.host, Path: l.path, Header: l.header}) }); allocs != 0 {
			t.Errorf("%s: %v allocations for each match", reason, allocs)
		}
	}
	for _, s := range []shape{hostShape(), pathShape(), headerShape()} {
		table := Compile(s.routes(1_000))
		lookups := s.lookups(1_000)
		i := 0
		if allocs := testing.AllocsPerRun(1_000, func() {
			l := &lookups[i]
			i++
			table.Match(&Request{Host: l.host, Path: l.path, Header: l.header})
		}); allocs != 0 {
			t.Errorf("%s: %v allocations for each match", s.name, allocs)
		}
	}
}

// TestWithCostsTheChange compares times of one run, with tenfold slack: With
// takes less than a thousandth of Compile here.
func TestWithCostsTheChange(t *testing.T) {
	const n = 10_000
	for _, s := range []shape{hostShape(), pathShape(), headerShape()} {
		routes := s.routes(n)
		start := time.Now()
		table := Compile(routes)
		compile := time.Since(start)
		with := median(101, func(i int) {
			table = table.With([]Route[int]{s.route(i * 97 % n)}, nil)
		})
		if with > compile/100 {
			t.Errorf("%s: With of one route takes %v, Compile of all %v", s.name, with, compile)
		}
	}
}

// TestHostileRequestsAreBounded compares times of one run, with tenfold slack. A match looks at
// each byte of a request about once, and not again for each rule.
func TestHostileRequestsAreBounded(t *testing.T) {
	const size = 1 << 20
	text := strings.Repeat("/a", size/2)
	var slashes int
	mebibyte := median(21, func(int) {
		for i := range len(text) {
			if text[i] == '/' {
				slashes++
			}
		}
	})
	table := hostileTable()
	for _, h := range hostile() {
		took := median(21, func(int) { table.Match(&Request{Host: h.host, Path: h.path}) })
		t.Logf("%s: a match takes %v, and a look at 1 MiB %v", h.name, took, mebibyte)
		if took > 10*mebibyte {
			t.Errorf("%s: a match takes %v, and a look at 1 MiB %v", h.name, took, mebibyte)
		}
	}
}

// median returns the time of a run that half of the runs were faster than, so
// that a busy machine does not matter.
func median(runs int, run func(i int)) time.Duration {
	times := make([]time.Duration, runs)
	for i := range times {
		start := time.Now()
		run(i)
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	return times[runs/2]
}
