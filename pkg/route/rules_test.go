package route

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/environment"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// matches reports whether a request belongs to rules.
func matches(rules []routing.Rule, host, path string) bool {
	_, ok := routing.Compile([]routing.Route[int]{{Rules: rules}}).Match(&routing.Request{Host: host, Path: path, Header: http.Header{}})
	return ok
}

// defaults are the limits that are in force if nothing else is set.
var defaults = ReadSettings(environment.NewReader(environment.None)).Limits

func TestHostsOfRules(t *testing.T) {
	for _, test := range []struct {
		host    string
		request string // a host that matches
		wrong   string // part of the message; empty if all is well
	}{
		{"shop.example.com", "shop.example.com", ""},
		{"Shop.Example.com:8080", "shop.example.com", ""},
		{"shop.example.com.", "shop.example.com", ""},
		{"*.example.com", "a.b.example.com", ""},
		{"*", "any.test", ""},
		{"", "any.test", ""},
		{"my_app.test", "my_app.test", ""},
		{"10.1.2.3", "10.1.2.3", ""},
		{"[fd00::1]:80", "[fd00::1]", ""},
		{"[FD00:0:0::1]", "[fd00::1]", ""},
		{"0:0:0:0:0:0:0:1", "[::1]:8080", ""},
		{"[fe80::1%eth0]", "[fe80::1]", ""},
		{"shop.example.com:", "shop.example.com", ""},
		{"fd00::1", "[fd00::1]:8080", ""},

		{"münchen.example", "xn--mnchen-3ya.example", ""},
		{"*.MÜNCHEN.example:80", "www.xn--mnchen-3ya.example", ""},
		{"例え。テスト", "xn--r8jz45g.xn--zckzah", ""},
		{"straße.example", "xn--strae-oqa.example", ""},
		{"my_bücher.example", "xn--my_bcher-95a.example", ""},
		{"xn--mnchen-3ya.example", "xn--mnchen-3ya.example", ""},

		{"http://shop.example.com", "", "it is a URL"},
		{"https://shop.example.com/cart", "", "it is a URL"},
		{"shop.example.com/cart", "", "a host has no path"},
		{"user@shop.example.com", "", "a host has no user"},
		{"a.*.b", "", "* stands for whole labels at the beginning"},
		{"foo*.b", "", "* stands for whole labels at the beginning"},
		{"*foo.b", "", "* stands for whole labels at the beginning"},
		{"*.*.b", "", "* stands for whole labels at the beginning"},
		{"**", "", "* stands for whole labels at the beginning"},
		{".example.com", "", `write "*.example.com"`},
		{"a..b", "", "it has an empty label"},
		{"*..", "", "it has an empty label"},
		{"*.", "", "it has an empty label"},
		{"*.:80", "", "it has an empty label"},
		{"http:example.com", "", `port "example.com" is not a number`},
		{"*.example.com:https", "", `port "https" is not a number`},
		{".", "any.test", ""}, // an empty name, as 0.16 reads it
		{"shop example", "", "a character that no host may have"},
		{"m%C3%BCnchen.example", "", "a character that no host may have"},
		{"shop\"", "", "a character that no host may have"},
		{"a:b:c", "", "neither a name nor an IP address"},
		{"a\u200d.example", "", "internationalized domain name"},
		{strings.Repeat("a", 254), "", "longer than 253"},
	} {
		rules, wrong := defaults.Rules([]v1beta1.RoutingRule{{Hosts: []string{test.host}}}, Matches{})
		got := strings.Join(wrong, "; ")
		switch {
		case test.wrong == "" && (got != "" || !matches(rules, test.request, "/")):
			t.Errorf("%q: %q does not match: %v, %s", test.host, test.request, rules, got)
		case test.wrong != "" && (!strings.Contains(got, "no request matches the host ") || !strings.Contains(got, test.wrong) || len(rules) > 0):
			t.Errorf("%q: %v, %q instead of %q", test.host, rules, got, test.wrong)
		}
	}
}

func TestPathsOfRules(t *testing.T) {
	for _, test := range []struct {
		path    string
		request string // a decoded path that matches
		wrong   string
	}{
		{"/api", "/api/x", ""},
		{"/api/", "/api", ""},
		{"api", "/api", ""},
		{"/", "/x", ""},
		{"/my%20app", "/my app", ""},
		{"/a%2Fb", "/a/b", ""},
		{"/%c3%bc", "/ü", ""},
		{"/ü", "/ü", ""},
		{"/caf%C3%A9/", "/café/x", ""},
		{"/100%", "/100%", ""},
		{"/100%25", "/100%", ""},
		{"/50%/a%20b", "/50%/a b", ""},
		{"/a%zz%4", "/a%zz%4", ""},
		{"/what%3F", "/what?", ""},
		{"/%2A", "/*", ""},
		{"/{id}", "/{id}", ""},

		{"/api/*", "", "* is not a wildcard (write %2A"},
		{"/api/**", "", "* is not a wildcard"},
		{"*", "", "* is not a wildcard"},
		{"/v1/*/chat", "", "* is not a wildcard"},
		{"/a?x=1", "", `the path ends before "?" (write %3F`},
		{"/a#b", "", `the path ends before "#" (write %23`},
		{"https://shop.example.com/cart", "", "it is a URL"},
	} {
		rules, wrong := defaults.Rules([]v1beta1.RoutingRule{{Paths: []v1beta1.PathMatch{{Value: test.path}}}}, Matches{})
		got := strings.Join(wrong, "; ")
		switch {
		case test.wrong == "" && (got != "" || !matches(rules, "a.test", test.request)):
			t.Errorf("%q: %q does not match: %v, %s", test.path, test.request, rules, got)
		case test.wrong != "" && (!strings.Contains(got, "no request matches the path ") || !strings.Contains(got, test.wrong) || len(rules) > 0):
			t.Errorf("%q: %v, %q instead of %q", test.path, rules, got, test.wrong)
		}
	}
}

// There are such paths, and 0.16 routes them.
func TestAsteriskWithinASegmentStands(t *testing.T) {
	rules, wrong := defaults.Rules([]v1beta1.RoutingRule{{Paths: []v1beta1.PathMatch{{Value: "/wiki/A*_search"}}}}, Matches{})
	if len(wrong) != 1 || !strings.Contains(wrong[0], "matches only itself") || !matches(rules, "a.test", "/wiki/A*_search") {
		t.Errorf("%v, %q", rules, wrong)
	}
}

// A rule that has lost all its hosts must not match all hosts.
func TestWhatNoRequestMatchesIsLeftOut(t *testing.T) {
	rules, wrong := defaults.Rules([]v1beta1.RoutingRule{
		{Hosts: []string{"http://a.test"}, Paths: []v1beta1.PathMatch{{Value: "/a"}}},
		{Hosts: []string{"b.test"}, Paths: []v1beta1.PathMatch{{Value: "/*"}}},
		{Hosts: []string{"a.*", "c.test"}, Paths: []v1beta1.PathMatch{{Value: "/?"}, {Value: "/c"}}, Headers: []v1beta1.HeaderMatch{{Name: "x"}}},
	}, Matches{})
	want := []routing.Rule{{Hosts: []string{"c.test"}, Paths: []string{"/c"}, Headers: []routing.HeaderMatch{{Name: "x"}}}}
	if diff := cmp.Diff(want, rules); diff != "" || len(wrong) != 4 {
		t.Errorf("%q (-want +got):\n%s", wrong, diff)
	}
}

func TestOutOfBounds(t *testing.T) {
	many := v1beta1.RoutingRule{Hosts: make([]string, 300)}
	for i := range many.Hosts {
		many.Hosts[i] = "a*b"
	}
	if rules, wrong := defaults.Rules([]v1beta1.RoutingRule{many}, Matches{}); len(rules) > 0 || len(wrong) != maxFindings+1 || !strings.Contains(wrong[maxFindings], " 295 more") {
		t.Errorf("%v, %q", rules, wrong)
	}
}

// An object may have PerObject hosts, paths and headers. What is over is left out and named, and
// the rest is served. A rule without all its headers, or any of its hosts, would match more.
func TestSizeOfRulesIsBounded(t *testing.T) {
	rule := func(hosts, paths, headers int) (rule v1beta1.RoutingRule) {
		for i := range hosts {
			rule.Hosts = append(rule.Hosts, fmt.Sprintf("h%d.test", i))
		}
		for i := range paths {
			rule.Paths = append(rule.Paths, v1beta1.PathMatch{Value: fmt.Sprintf("/p%d", i)})
		}
		for i := range headers {
			rule.Headers = append(rule.Headers, v1beta1.HeaderMatch{Name: fmt.Sprintf("x-%d", i)})
		}
		return rule
	}
	for _, test := range []struct {
		reason string
		before int
		rules  []v1beta1.RoutingRule
		want   []int // sizes of the rules that are left
		over   string
	}{
		{"at the bound", 0, []v1beta1.RoutingRule{rule(2048, 2048, 0)}, []int{4096}, ""},
		{"one host too many", 0, []v1beta1.RoutingRule{rule(4097, 0, 0)}, []int{4096}, "the last 1 "},
		{"a path has room for one host less", 0, []v1beta1.RoutingRule{rule(4096, 1, 0)}, []int{4096}, "the last 1 "},
		{"the next rule has some room", 0, []v1beta1.RoutingRule{rule(4000, 0, 0), rule(1, 200, 0)}, []int{4000, 96}, "the last 105 "},
		{"headers are all or nothing", 0, []v1beta1.RoutingRule{rule(4090, 0, 0), rule(0, 0, 10), rule(1, 0, 0)}, []int{4090}, "the last 5 "},
		{"no room for a rule that matches everything", 0, []v1beta1.RoutingRule{rule(4096, 0, 0), {}}, []int{4096}, "the last 1 "},
		{"what comes before counts", 4095, []v1beta1.RoutingRule{rule(1, 1, 0)}, nil, "the last 1 "},
		{"it may be too much by itself", 10_000, []v1beta1.RoutingRule{rule(2, 0, 0)}, nil, "the last 2 "},
	} {
		rules, wrong := defaults.Rules(test.rules, Matches{All: test.before})
		var got []int
		for i := range rules {
			got = append(got, len(rules[i].Hosts)+len(rules[i].Paths)+len(rules[i].Headers))
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.reason, diff)
		}
		if said := strings.Join(wrong, "\n"); (said == "") != (test.over == "") || !strings.HasPrefix(said, test.over) {
			t.Errorf("%s: %q", test.reason, said)
		}
	}
}

// FuzzRules looks for rules that become others when they are converted again, and for such
// that match more than they say.
func FuzzRules(f *testing.F) {
	for _, seed := range []string{"a.test", "*.a.test", "münchen.example", "http://a", "a.*.b", "[::1]:80", "/a%20b", "/api/*", "%2a", "*.%2a", "％2Ａ"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if host, err := convertHost(value); err == nil {
			if again, err := convertHost(host); err != nil || routing.HostName(again) != routing.HostName(host) {
				t.Errorf("the host %q is %q and then %q, %v", value, host, again, err)
			}
			rules, _ := defaults.Rules([]v1beta1.RoutingRule{{Hosts: []string{value}}}, Matches{})
			if name := routing.HostName(value); name != "" && name != "*" && matches(rules, "other.invalid", "/") && !strings.HasPrefix(name, "*.") {
				t.Errorf("the host %q matches all hosts", value)
			}
		}
		_, _ = convertPath(value)
	})
}
