package route

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// asks reports whether a request matches a rule, and what is wrong with the rule.
func asks(rule v1beta1.RoutingRule, request *routing.Request) (matches bool, wrong string) {
	rules, problems := defaults.Rules([]v1beta1.RoutingRule{rule}, Matches{})
	_, matches = routing.Compile([]routing.Route[int]{{Rules: rules}}).Match(request)
	return matches, strings.Join(problems, "\n")
}

func TestConditionsOfRules(t *testing.T) {
	header := func(kind v1beta1.HeaderMatchType, values ...string) v1beta1.RoutingRule {
		return v1beta1.RoutingRule{Headers: []v1beta1.HeaderMatch{{Name: "x-a", Type: kind, Values: values}}}
	}
	value := func(kind v1beta1.HeaderMatchType, value string, more ...string) v1beta1.RoutingRule {
		rule := header(kind, more...)
		rule.Headers[0].Value = &value
		return rule
	}
	agents := func(lists ...v1beta1.UserAgents) v1beta1.RoutingRule { return v1beta1.RoutingRule{UserAgents: lists} }
	request := func(values ...string) *routing.Request {
		return &routing.Request{Host: "h", Path: "/", Method: "GET", Peer: "192.0.2.7:80", Header: http.Header{"X-A": values}}
	}
	agent := func(value string) *routing.Request {
		return &routing.Request{Host: "h", Path: "/", Method: "GET", Peer: "192.0.2.7:80", Header: http.Header{"User-Agent": {value}}}
	}
	for _, c := range []struct {
		reason  string
		rule    v1beta1.RoutingRule
		request *routing.Request
		want    bool
		wrong   string
	}{
		{"a value without a type is exact, as in 0.16", value("", "v"), request("v"), true, ""},
		{"", value("", "v"), request("vw"), false, ""},
		{"neither is present, as in 0.16", header(""), request("v"), true, ""},
		{"several values are alternatives", header("", "v", "w"), request("w"), true, ""},
		{"value is one of them", value("Exact", "v", "w"), request("v"), true, ""},
		{"a prefix", header("Prefix", "v"), request("vw"), true, ""},
		{"a part", header("Contains", "W"), request("vwx"), true, ""},
		{"a regular expression", value("Regex", "^v[0-9]$"), request("v7"), true, ""},
		{"a header that is present", header("Present"), request("v"), true, ""},
		{"a header that is absent", header("Absent"), agent("curl"), true, ""},
		{"", header("Absent"), request("v"), false, ""},
		{"Present has no value", value("Present", "v"), request("v"), false, "its type Present has no values"},
		{"nor has Absent", header("Absent", "v"), agent("curl"), false, "its type Absent has no values"},
		{"Exact needs one", header("Exact"), request("v"), false, "its type Exact needs values"},
		{"so does Contains", header("Contains"), request("v"), false, "its type Contains needs values"},
		{"every value contains an empty one", header("Contains", ""), request("v"), false, "write the type Present"},
		{"an invalid regular expression", header("Regex", "("), request("v"), false, "an invalid regular expression: parsing it"},
		{"one that takes too long", header("Regex", "(x{30}){30}"), request("v"), false, "more than 300 instructions"},
		{"nine of them", header("Regex", strings.Split("vvvvvvvvv", "")...), request("v"), false, "an object may have 8 regular expressions"},
		{"a type of a later version", header("Suffix", "v"), request("v"), false, `there is no type "Suffix"`},

		{"a method", v1beta1.RoutingRule{Methods: []string{"HEAD", "GET"}}, request(), true, ""},
		{"another method", v1beta1.RoutingRule{Methods: []string{"HEAD"}}, request(), false, ""},
		{"an invalid method", v1beta1.RoutingRule{Methods: []string{"G T"}}, request(), false, "no request has the method"},
		{"beside one that is", v1beta1.RoutingRule{Methods: []string{"G T", "GET"}}, request(), true, "no request has the method"},
		{"a network", v1beta1.RoutingRule{ClientCIDRs: []string{"10.0.0.0/8", "192.0.2.0/24"}}, request(), true, ""},
		{"an address", v1beta1.RoutingRule{ClientCIDRs: []string{"192.0.2.7"}}, request(), true, ""},
		{"another network", v1beta1.RoutingRule{ClientCIDRs: []string{"10.0.0.0/8"}}, request(), false, ""},
		{"an invalid network", v1beta1.RoutingRule{ClientCIDRs: []string{"10.0.0.0/33"}}, request(), false, "no client is in the network"},

		{"a crawler", agents("Crawlers"), agent("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"), true, ""},
		{"an uptime check", agents("UptimeCheckers"), agent("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)"), true, ""},
		{"a probe", agents("Crawlers", "LoadBalancerProbes"), agent("ELB-HealthChecker/2.0"), true, ""},
		{"Chrome", agents("Crawlers", "UptimeCheckers", "LoadBalancerProbes"), agent("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"), false, ""},
		{"Firefox", agents("Crawlers", "UptimeCheckers", "LoadBalancerProbes"), agent("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"), false, ""},
		{"a page that a person asked ChatGPT for", agents("Crawlers"), agent("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko); compatible; ChatGPT-User/1.0; +https://openai.com/bot"), false, ""},
		{"a list of a later version", agents("Robots"), agent("Googlebot"), false, "there is no list of User-Agents"},
	} {
		got, wrong := asks(c.rule, c.request)
		if got != c.want || (wrong == "") != (c.wrong == "") || !strings.Contains(wrong, c.wrong) {
			t.Errorf("%s: %+v: %v, %q; want %v, %q", c.reason, c.rule, got, wrong, c.want, c.wrong)
		}
	}
}

func TestConditionsCount(t *testing.T) {
	rule := v1beta1.RoutingRule{
		Hosts: []string{"a.test"}, Methods: []string{"GET", "HEAD"}, ClientCIDRs: []string{"10.0.0.0/8"}, UserAgents: []v1beta1.UserAgents{"Crawlers"},
		Headers: []v1beta1.HeaderMatch{{Name: "x-a"}, {Name: "x-b", Type: "Regex", Values: []string{"a", "b"}}},
	}
	rules := []v1beta1.RoutingRule{rule}
	if got := (Matches{}).And(rules).And(rules); got != (Matches{All: 16, Regexes: 4}) {
		t.Errorf("%+v", got)
	}
	// The conditions of a rule find room together, or it matches nothing.
	limits := Limits{PerObject: 8}
	if got, wrong := limits.Rules(rules, Matches{}); len(got) != 1 || len(wrong) != 0 {
		t.Errorf("%v, %v", got, wrong)
	}
	if got, wrong := limits.Rules(rules, Matches{All: 1}); len(got) != 0 || !strings.HasPrefix(fmt.Sprint(wrong), "[the last 1 ") {
		t.Errorf("%v, %v", got, wrong)
	}
	object := made("a", 1, rule)
	alone := Weight(object)
	if alone != 8+2*routing.RegexWeight+presetWeight {
		t.Errorf("it weighs %d", alone)
	}
	object.Spec.Rules, object.Spec.StaticRoutes = nil, []v1beta1.StaticRoute{{Rules: rules}}
	if got := Weight(object); got != 8 {
		t.Errorf("a static route, whose time no one else pays for, weighs %d", got)
	}
}

// Each row of the presets has a source and a date, and adds something.
func TestPresetsOfUserAgents(t *testing.T) {
	for name, rows := range knownUserAgents() {
		for i, row := range rows {
			if !strings.HasPrefix(row.source, "https://") || len(row.date) != len("2026-11-27") {
				t.Errorf("%s: %q has no source or no date", name, row.contains)
			}
			for j, other := range rows {
				if i != j && strings.Contains(strings.ToLower(other.contains), strings.ToLower(row.contains)) {
					t.Errorf("%s: %q covers %q", name, row.contains, other.contains)
				}
			}
		}
	}
}
