package route

import (
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// Rules returns the rules of a route in the form that a routing table takes.
func Rules(rules []v1beta1.RoutingRule) []routing.Rule {
	out := make([]routing.Rule, len(rules))
	for i := range rules {
		in := &rules[i]
		out[i].Hosts = in.Hosts
		for _, path := range in.Paths {
			out[i].Paths = append(out[i].Paths, path.Value)
		}
		for _, header := range in.Headers {
			out[i].Headers = append(out[i].Headers, routing.HeaderMatch{Name: header.Name, Value: header.Value})
		}
	}
	return out
}
