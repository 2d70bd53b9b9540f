package routing

import (
	"net/http"
	"net/netip"
	"regexp/syntax"
	"strings"
	"testing"
	"time"
)

func mustRegex(t *testing.T, pattern string) HeaderTest {
	t.Helper()
	test, err := Regex(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return test
}

func TestHeaderTests(t *testing.T) {
	long := strings.Repeat("x", maxLook)
	for _, c := range []struct {
		reason string
		test   HeaderTest
		values []string
		want   bool
	}{
		{"a header that is missing is absent", Absent, nil, true},
		{"an empty one is not", Absent, []string{""}, false},
		{"one of the values", OneOf("a", "b"), []string{"b"}, true},
		{"has case", OneOf("a", "b"), []string{"B"}, false},
		{"a prefix", Prefix("kube-probe/"), []string{"kube-probe/1.36"}, true},
		{"has case too", Prefix("kube-probe/"), []string{"Kube-Probe/1.36"}, false},
		{"is not in the middle", Prefix("b"), []string{"ab"}, false},
		{"a part without case", Contains("GoogleBot"), []string{"Mozilla/5.0 (compatible; Googlebot/2.1)"}, true},
		{"of ASCII alone", Contains("k"), []string{"\u212a"}, false},
		{"a part of any line", Contains("b"), []string{"a", "b"}, true},
		{"not across lines", Contains("ab"), []string{"a", "b"}, false},
		{"no part of a missing header", Contains(""), nil, false},
		{"a part in the first KiB", Contains("y"), []string{long[1:] + "y"}, true},
		{"not behind it", Contains("y"), []string{long + "y"}, false},
		{"nor in a line behind it", Contains("y"), []string{long, "y"}, false},
		{"a pattern anywhere", mustRegex(t, "b+"), []string{"abc"}, true},
		{"a pattern that is anchored", mustRegex(t, "^b+$"), []string{"abc"}, false},
		{"a pattern in the first KiB", mustRegex(t, "y"), []string{long + "y"}, false},
		{"no pattern in a missing header", mustRegex(t, ".*"), nil, false},
	} {
		if got := c.test.Match(c.values); got != c.want {
			t.Errorf("%s: %s matches %.80q: %v", c.reason, c.test, c.values, got)
		}
	}
}

func TestPatternsAreBounded(t *testing.T) {
	for _, c := range []struct {
		pattern string
		wrong   string
	}{
		{"^(foo|bar)[0-9]{1,3}$", ""},
		{"(?i)curl/[78]", ""},
		{strings.Repeat("a", MaxPattern), ""},
		{strings.Repeat("a", MaxPattern+1), "longer than 128 bytes"},
		{"(", "parsing it"},
		{"(?=a)", "parsing it"},
		{"((a{10}){10}){10}", "more than 300 instructions"},
		{"(x{30}){30}y", "more than 300 instructions"},
		{"(.{1,50}){1,20}", "more than 300 instructions"},
		{`\pL{300}`, "more than 300 instructions"},
	} {
		_, err := Regex(c.pattern)
		if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%.40q: %v, want %q", c.pattern, err, c.wrong)
		}
	}
}

// FuzzPattern checks that an accepted pattern compiles to at most the allowed number of
// instructions.
func FuzzPattern(f *testing.F) {
	for _, pattern := range []string{"a{2,}", "(a|b)*c", "(?i)[a-z]{9}", `\b\pL+$`, "(?:){100}", "((a?){9}){9}", "[^a]|(?s).{1,70}?"} {
		f.Add(pattern)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		if _, err := Regex(pattern); err != nil {
			return
		}
		if size := programSize(t, pattern); size > maxInstructions {
			t.Errorf("%q compiles to %d instructions", pattern, size)
		}
	})
}

// programSize returns how many instructions package regexp compiles a pattern to.
func programSize(t *testing.T, pattern string) int {
	t.Helper()
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		t.Fatal(err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		t.Fatal(err)
	}
	return len(program.Inst)
}

func TestClient(t *testing.T) {
	trusted := Proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	for _, c := range []struct {
		reason    string
		trusted   Proxies
		peer      string
		forwarded []string
		want      string
	}{
		{"the peer", nil, "192.0.2.1:80", nil, "192.0.2.1"},
		{"no proxy is trusted unasked", nil, "10.0.0.1:80", []string{"203.0.113.9"}, "10.0.0.1"},
		{"a peer that is not trusted cannot say", trusted, "192.0.2.1:80", []string{"203.0.113.9"}, "192.0.2.1"},
		{"what a trusted peer says", trusted, "10.0.0.1:80", []string{"203.0.113.9"}, "203.0.113.9"},
		{"the rightmost that is not trusted", trusted, "10.0.0.1:80", []string{"127.0.0.1, 203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		{"over all lines", trusted, "10.0.0.1:80", []string{"198.51.100.1", "203.0.113.9,10.0.0.3", "10.0.0.2"}, "203.0.113.9"},
		{"all are trusted: the first", trusted, "10.0.0.1:80", []string{"10.0.0.9, 10.0.0.2"}, "10.0.0.9"},
		{"no header", trusted, "10.0.0.1:80", nil, "10.0.0.1"},
		{"what is no address ends the walk", trusted, "10.0.0.1:80", []string{"203.0.113.9, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"so does nothing", trusted, "10.0.0.1:80", []string{"203.0.113.9,, 10.0.0.2"}, "10.0.0.2"},
		{"and an empty line", trusted, "10.0.0.1:80", []string{"203.0.113.9", ""}, "10.0.0.1"},
		{"a port", trusted, "10.0.0.1:80", []string{"203.0.113.9:4711"}, "203.0.113.9"},
		{"an IPv6 address", trusted, "[2001:db8::1]:80", []string{"2001:DB9::1"}, "2001:db9::1"},
		{"with brackets", trusted, "10.0.0.1:80", []string{"[2001:db9::1]"}, "2001:db9::1"},
		{"and a port", trusted, "10.0.0.1:80", []string{"[2001:db9::1]:443"}, "2001:db9::1"},
		{"an IPv4-mapped address", trusted, "[::ffff:10.0.0.1]:80", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"a zone", trusted, "[fe80::1%eth0]:80", nil, "fe80::1"},
		{"a peer without an address", trusted, "@", []string{"203.0.113.9"}, "invalid IP"},
	} {
		if got := c.trusted.Client(c.peer, c.forwarded).String(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.reason, got, c.want)
		}
	}
}

func TestParseNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"10.1.2.3/8": "10.0.0.0/8", "192.0.2.1": "192.0.2.1/32", "2001:db8::1/32": "2001:db8::/32", "::1": "::1/128",
		"::ffff:10.0.0.0/104": "10.0.0.0/8", "::ffff:192.0.2.1": "192.0.2.1/32",
		"::ffff:0:0/90": "", "10.0.0.0/33": "", "fe80::1%eth0": "", "example.com": "", "": "",
	} {
		got, err := ParseNetwork(text)
		if err == nil && got.String() != want || err != nil && want != "" {
			t.Errorf("%q: %v, %v; want %q", text, got, err, want)
		}
	}
}

func TestConditionsHaveAnOrder(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	method, headers, clients := Rule{Methods: []string{"GET"}}, makeRule("X-A X-B"), Rule{Clients: networks}
	test := Rule{Headers: []HeaderMatch{{Name: "x-a", Test: Prefix("v")}}}
	request := &Request{Host: "h", Path: "/", Method: "GET", Peer: "192.0.2.7:1", Header: http.Header{"X-A": {"v"}, "X-B": {"v"}}}
	for _, c := range []struct {
		reason string
		rules  []Route[string] // the winner first
	}{
		{"methods go before headers", []Route[string]{rt("m", method), older(rt("h", headers))}},
		{"headers before clients", []Route[string]{rt("h", headers), older(rt("c", clients))}},
		{"more headers before a test", []Route[string]{rt("h", headers), older(rt("t", test))}},
		{"a test before a header with any value", []Route[string]{rt("t", test), older(rt("h", makeRule("X-A")))}},
		{"a header with any value before one that is absent, by age", []Route[string]{
			older(rt("h", makeRule("X-A"))), rt("a", Rule{Headers: []HeaderMatch{{Name: "X-C", Test: Absent}}}),
		}},
		{"clients before age", []Route[string]{rt("c", clients), older(rt("a", Rule{}))}},
		{"the path before methods", []Route[string]{rt("p", makeRule("/a")), older(rt("m", method))}},
	} {
		request.Path = "/a/b"
		if got, _ := Compile(c.rules).Match(request); got != c.rules[0].Value {
			t.Errorf("%s: got %q", c.reason, got)
		}
	}
}

// TestConditionsAreBounded compares times of one run. A header a hundred times as long as the
// part that is examined costs no more. The client is looked up once, not for each rule that asks
// for it.
func TestConditionsAreBounded(t *testing.T) {
	request := func(length, proxies int) *Request {
		return &Request{
			Host: "h", Path: "/", Peer: "10.0.0.1:1", Trusted: Proxies{netip.MustParsePrefix("10.0.0.0/8")},
			Header: http.Header{"User-Agent": {strings.Repeat("a", length)}, "X-Forwarded-For": {strings.Repeat("10.0.0.1,", proxies) + "10.0.0.1"}},
		}
	}
	parts := make([]string, 64)
	for i := range parts {
		parts[i] = strings.Repeat("a", 60+i) + "b"
	}
	for _, c := range []struct {
		reason      string
		rule        Rule
		count       int
		short, long *Request
	}{
		{"parts", Rule{Headers: []HeaderMatch{{Name: "User-Agent", Test: Contains(parts...)}}}, 4, request(maxLook, 0), request(100*maxLook, 0)},
		{"patterns", Rule{Headers: []HeaderMatch{{Name: "User-Agent", Test: mustRegex(t, "(?:a?){90}b$|x")}}}, 1, request(maxLook, 0), request(100*maxLook, 0)},
		{"clients", Rule{Clients: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, 2000, request(1, 0), request(1, 100)},
	} {
		route := rt("other")
		for range c.count {
			route.Rules = append(route.Rules, c.rule)
		}
		table := Compile([]Route[string]{route})
		short := median(5, func(int) { table.Match(c.short) })
		if long := median(5, func(int) { table.Match(c.long) }); long > 10*(short+time.Microsecond) {
			t.Errorf("%s: a match takes %v, and %v if less is to be looked at", c.reason, long, short)
		}
	}
}
