package interceptorroute

import (
	"fmt"
	"iter"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// services are the names of the Services that a route refers to.
func services(spec *v1beta1.InterceptorRouteSpec) []string {
	names := []string{spec.Target.Service}
	if c := spec.ColdStart; c != nil && c.Fallback != nil {
		names = append(names, c.Fallback.Service.Name)
	}
	return names
}

// bodies are the references to ConfigMaps, by the field that they stand in.
func bodies(spec *v1beta1.InterceptorRouteSpec) iter.Seq2[string, *v1beta1.ConfigMapKeyRef] {
	return func(yield func(string, *v1beta1.ConfigMapKeyRef) bool) {
		for i := range spec.StaticRoutes {
			ref := spec.StaticRoutes[i].Response.BodyFromConfigMap
			if ref != nil && !yield(fmt.Sprintf("staticRoutes[%d]", i), ref) {
				return
			}
		}
		if c := spec.ColdStart; c != nil && c.Placeholder != nil {
			if ref := c.Placeholder.Response.BodyFromConfigMap; ref != nil {
				if !yield("coldStart.placeholder", ref) {
					return
				}
			}
		}
		if ref := waitingPage(spec); ref != nil {
			yield(waitingPageField, ref)
		}
	}
}

// waitingPageField is the field of a waiting page's reference.
const waitingPageField = "coldStart.waitingPage"

// waitingPage returns the reference to a route's own waiting page, nil if it has
// none.
func waitingPage(spec *v1beta1.InterceptorRouteSpec) *v1beta1.ConfigMapKeyRef {
	c := spec.ColdStart
	if c == nil || c.WaitingPage == nil {
		return nil
	}
	return c.WaitingPage.BodyFromConfigMap
}
