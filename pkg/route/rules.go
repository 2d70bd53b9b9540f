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
// Of rules that a table refuses none is left.
//
// What has one meaning is converted: Unicode hosts to the form that clients send (UTS #46,
// as browsers do it), percent-encoding to what it stands for, as the paths of requests are
// compared decoded.
func Rules(rules []v1beta1.RoutingRule) (out []routing.Rule, wrong []string) {
	var found findings
	for i := range rules {
		in := &rules[i]
		var rule routing.Rule
		for _, value := range in.Hosts {
			host, err := convertHost(value)
			if err != nil {
				found.add("no request matches the host %.80q: %v", value, err)
				continue
			}
			rule.Hosts = append(rule.Hosts, host)
		}
		for _, match := range in.Paths {
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
		if len(in.Hosts) > 0 && len(rule.Hosts) == 0 || len(in.Paths) > 0 && len(rule.Paths) == 0 {
			continue
		}
		for _, header := range in.Headers {
			rule.Headers = append(rule.Headers, routing.HeaderMatch{Name: header.Name, Value: header.Value})
		}
		out = append(out, rule)
	}
	if err := routing.Validate(out); err != nil {
		return nil, []string{fmt.Sprintf("no request matches: %v", err)}
	}
	return out, found.texts()
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
