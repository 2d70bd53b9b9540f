package route

import (
	"fmt"
	"strings"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// ReasonInvalidRules is the condition reason of rules that no request can match.
const ReasonInvalidRules = "InvalidRules"

// maxFindings is how many matches are named: an object may have thousands.
const maxFindings = 5

// Rules returns the rules of a route in the form that a routing table takes, and what is wrong
// with them. It leaves out hosts, paths, methods and networks that no request has. It also leaves
// out a rule that has none of them left, because it would match all hosts. The same holds for a
// rule with a header that cannot be matched, and for what comes after PerObject matches. before
// is what the object has in front of these rules.
//
// Rules converts values that have one meaning. Unicode hosts take the form that clients send (UTS
// #46, as browsers do it). Percent-encoding is decoded, because the paths of requests are
// compared decoded.
func (l Limits) Rules(rules []v1beta1.RoutingRule, before Matches) (out []routing.Rule, wrong []string) {
	most := orUnlimited(l.PerObject)
	var found findings
	room, regexes := max(most-before.All, 0), before.Regexes
	for i := range rules {
		in := &rules[i]
		hosts, paths, fits := trim(in, room)
		room = max(room-sizeOf(in), 0)
		var rule routing.Rule
		for _, value := range in.Hosts[:hosts] {
			host, err := convertHost(value)
			if err != nil {
				found.add("no request matches the host %.80q: %v", value, err)
				continue
			}
			rule.Hosts = append(rule.Hosts, host)
		}
		for _, match := range in.Paths[:paths] {
			path, err := convertPath(match.Value)
			switch {
			case err != nil:
				found.add("no request matches the path %.80q: %v", match.Value, err)
				continue
			case strings.Contains(match.Value, "*"):
				found.add("the path %.80q matches only itself: * is not a wildcard (write %%2A to say so)", match.Value)
			}
			rule.Paths = append(rule.Paths, path)
		}
		if !fits || len(in.Hosts) > 0 && len(rule.Hosts) == 0 || len(in.Paths) > 0 && len(rule.Paths) == 0 {
			continue
		}
		regexes += regexesOf(in)
		if convertConditions(in, &rule, regexes, &found) {
			out = append(out, rule)
		}
	}
	wrong = found.texts()
	if size := (Matches{}).And(rules).All; before.All+size > most {
		wrong = append(wrong, fmt.Sprintf(
			"the last %d hosts, paths, headers and other matches are left out: an object may have %d", min(before.All+size-most, size), most))
	}
	return out, wrong
}

// Matches is how many matches rules have.
type Matches struct {
	// All counts hosts, paths, methods, values of headers, presets and networks. A rule
	// without any counts as one.
	All int
	// Regexes among them.
	Regexes int
}

// And returns the matches of further rules with these.
func (m Matches) And(rules []v1beta1.RoutingRule) Matches {
	for i := range rules {
		m.All += sizeOf(&rules[i])
		m.Regexes += regexesOf(&rules[i])
	}
	return m
}

func sizeOf(rule *v1beta1.RoutingRule) int {
	return max(len(rule.Hosts)+len(rule.Paths)+conditionsOf(rule), 1)
}

// trim returns how many hosts and paths of a rule find room. The rule does not fit if none of
// them does, because it would match everything. It does not fit without all its conditions
// either.
func trim(rule *v1beta1.RoutingRule, room int) (hosts, paths int, fits bool) {
	room -= conditionsOf(rule)
	hosts = max(min(len(rule.Hosts), room-min(len(rule.Paths), 1)), 0)
	paths = max(min(len(rule.Paths), room-hosts), 0)
	fits = room >= 0 && (hosts > 0 || len(rule.Hosts) == 0) && (paths > 0 || len(rule.Paths) == 0)
	if len(rule.Hosts)+len(rule.Paths)+conditionsOf(rule) == 0 {
		fits = room > 0
	}
	return hosts, paths, fits
}

// findings collects what is wrong with rules.
type findings struct {
	named []string
	more  int
}

func (f *findings) add(format string, args ...any) {
	if len(f.named) < maxFindings {
		f.named = append(f.named, fmt.Sprintf(format, args...))
	} else {
		f.more++
	}
}

func (f *findings) texts() []string {
	if f.more > 0 {
		return append(f.named, fmt.Sprintf("the same is true of %d more of them", f.more))
	}
	return f.named
}
