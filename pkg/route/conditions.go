package route

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/net/http/httpguts"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// maxRegexes is how many regular expressions an object may have.
const maxRegexes = 8

// convertConditions adds the conditions of a rule, besides hosts and paths, to its converted
// form. It reports whether a request can meet them. regexes is the number of regular expressions
// of the object so far.
func convertConditions(in *v1beta1.RoutingRule, rule *routing.Rule, regexes int, found *findings) bool {
	for _, method := range in.Methods {
		if !httpguts.ValidHeaderFieldName(method) { // both are tokens (RFC 9110, 9.1)
			found.add("no request has the method %.80q", method)
			continue
		}
		rule.Methods = append(rule.Methods, method)
	}
	for _, text := range in.ClientCIDRs {
		network, err := routing.ParseNetwork(text)
		if err != nil {
			found.add("no client is in the network %.80q: %v", text, err)
			continue
		}
		rule.Clients = append(rule.Clients, network)
	}
	ok := (len(in.Methods) == 0 || len(rule.Methods) > 0) && (len(in.ClientCIDRs) == 0 || len(rule.Clients) > 0)
	for i := range in.Headers {
		header, err := convertHeader(&in.Headers[i])
		if err == nil && in.Headers[i].Type == v1beta1.HeaderMatchRegex && regexes > maxRegexes {
			err = fmt.Errorf("an object may have %d regular expressions", maxRegexes)
		}
		if err != nil {
			found.add("a rule matches nothing, because of its header %.80q: %v", in.Headers[i].Name, err)
			ok = false
			continue
		}
		rule.Headers = append(rule.Headers, header)
	}
	if len(in.UserAgents) > 0 {
		test, err := userAgents(in.UserAgents)
		if err != nil {
			found.add("a rule matches nothing: %v", err)
			ok = false
		}
		rule.Headers = append(rule.Headers, routing.HeaderMatch{Name: "User-Agent", Test: test})
	}
	return ok
}

// convertHeader returns the matcher of a header, or why no request has it.
func convertHeader(in *v1beta1.HeaderMatch) (routing.HeaderMatch, error) {
	out := routing.HeaderMatch{Name: in.Name}
	values := valuesOf(in)
	switch in.Type {
	case v1beta1.HeaderMatchPresent, v1beta1.HeaderMatchAbsent:
		if len(values) > 0 {
			return out, fmt.Errorf("its type %s has no values", in.Type)
		}
		if in.Type == v1beta1.HeaderMatchAbsent {
			out.Test = routing.Absent
		}
		return out, nil
	case "":
		if len(values) == 0 {
			return out, nil
		}
	}
	if len(values) == 0 {
		return out, fmt.Errorf("its type %s needs values", in.Type)
	}
	out.Value = &values[0] // an example; a test decides
	switch in.Type {
	case "", v1beta1.HeaderMatchExact:
		if len(values) > 1 {
			out.Test = routing.OneOf(values...)
		}
	case v1beta1.HeaderMatchPrefix:
		out.Test = routing.Prefix(values...)
	case v1beta1.HeaderMatchContains:
		if slices.Contains(values, "") {
			return out, errors.New("every value contains an empty one; write the type Present")
		}
		out.Test = routing.Contains(values...)
	case v1beta1.HeaderMatchRegex:
		test, err := routing.Regex(values...)
		if err != nil {
			return out, fmt.Errorf("it has an invalid regular expression: %w", err)
		}
		out.Value, out.Test = nil, test
	default:
		return out, fmt.Errorf("there is no type %.80q", in.Type)
	}
	return out, nil
}

// valuesOf are the values of a matcher, wherever they are written.
func valuesOf(in *v1beta1.HeaderMatch) []string {
	if in.Value == nil {
		return in.Values
	}
	return append([]string{*in.Value}, in.Values...)
}

// conditionsOf returns the number of matches of a rule besides its hosts and paths.
func conditionsOf(rule *v1beta1.RoutingRule) int {
	sum := len(rule.Methods) + len(rule.UserAgents) + len(rule.ClientCIDRs)
	for i := range rule.Headers {
		sum += max(len(valuesOf(&rule.Headers[i])), 1)
	}
	return sum
}

func regexesOf(rule *v1beta1.RoutingRule) (sum int) {
	for i := range rule.Headers {
		if rule.Headers[i].Type == v1beta1.HeaderMatchRegex {
			sum += len(valuesOf(&rule.Headers[i]))
		}
	}
	return sum
}

// ParseProxy reads a network of trusted proxies.
func ParseProxy(text string) (netip.Prefix, error) {
	network, err := routing.ParseNetwork(text)
	if err != nil {
		return network, fmt.Errorf("%q is not a network such as 10.0.0.0/8: %w", text, err)
	}
	return network, nil
}
