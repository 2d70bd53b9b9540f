package route

import (
	"fmt"
	"strings"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// ReasonInvalidRules is the reason of rules that no request matches, as conditions have it.
const ReasonInvalidRules = "InvalidRules"

// maxFindings is how many hosts and paths are named: an object may have thousands.
const maxFindings = 5

// Rules returns the rules of a route in the form that a routing table takes, and what is
// wrong with their hosts and paths. Those that no request has are left out. A rule that
// has no host or no path left is left out too: without hosts it would match all of them.
// So is what comes after PerObject hosts, paths and headers; before is what the object has of
// them in front of these rules.
//
// What has one meaning is converted: Unicode hosts to the form that clients send (UTS #46,
// as browsers do it), percent-encoding to what it stands for, as the paths of requests are
// compared decoded.
func (l Limits) Rules(rules []v1beta1.RoutingRule, before int) (out []routing.Rule, wrong []string) {
	most := orUnlimited(l.PerObject)
	var found findings
	room := max(most-before, 0)
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
				found.add("the path %.80q stands for itself only: * is no wildcard (write %%2A to say so)", match.Value)
			}
			rule.Paths = append(rule.Paths, path)
		}
		if !fits || len(in.Hosts) > 0 && len(rule.Hosts) == 0 || len(in.Paths) > 0 && len(rule.Paths) == 0 {
			continue
		}
		for _, header := range in.Headers {
			rule.Headers = append(rule.Headers, routing.HeaderMatch{Name: header.Name, Value: header.Value})
		}
		out = append(out, rule)
	}
	wrong = found.texts()
	if over := before + Size(rules) - most; over > 0 {
		wrong = append(wrong, fmt.Sprintf(
			"the last %d hosts, paths and headers are left out: an object may have %d", min(over, Size(rules)), most))
	}
	return out, wrong
}

// Size is how many hosts, paths and headers rules have. A rule without any counts as one.
func Size(rules []v1beta1.RoutingRule) (size int) {
	for i := range rules {
		size += sizeOf(&rules[i])
	}
	return size
}

func sizeOf(rule *v1beta1.RoutingRule) int {
	return max(len(rule.Hosts)+len(rule.Paths)+len(rule.Headers), 1)
}

// trim returns how many hosts and paths of a rule find room. The rule does not fit if none
// of them does: it would match everything; nor without all its headers.
func trim(rule *v1beta1.RoutingRule, room int) (hosts, paths int, fits bool) {
	room -= len(rule.Headers)
	hosts = max(min(len(rule.Hosts), room-min(len(rule.Paths), 1)), 0)
	paths = max(min(len(rule.Paths), room-hosts), 0)
	fits = room >= 0 && (hosts > 0 || len(rule.Hosts) == 0) && (paths > 0 || len(rule.Paths) == 0)
	if len(rule.Hosts)+len(rule.Paths)+len(rule.Headers) == 0 {
		fits = room > 0
	}
	return hosts, paths, fits
}

// findings are what is wrong with rules.
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
		return append(f.named, fmt.Sprintf("the same is true of %d more hosts and paths", f.more))
	}
	return f.named
}
