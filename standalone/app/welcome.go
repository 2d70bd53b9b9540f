package app

import (
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/routing"
	"github.com/kedacore/http-add-on/standalone/manifest"
)

// welcome says what to try: a line or two for each route.
func welcome(w io.Writer, set *manifest.Set, proxyPort, adminPort string) {
	var b strings.Builder
	b.WriteString("\nWhat to try:\n")
	routes := routesOf(set)
	for _, route := range routes {
		fmt.Fprintf(&b, "\n  %s/%s\n", route.Namespace, route.Name)
		for _, line := range invitation(route, proxyPort) {
			b.WriteString("    " + line + "\n")
		}
	}
	if len(routes) == 0 {
		b.WriteString("\n  There is no route yet: add one to the manifests, they are watched.\n")
	}
	fmt.Fprintf(&b, "\n  the demand of all routes\n    curl http://localhost:%s/queue\n\n", adminPort)
	_, _ = io.WriteString(w, b.String())
}

func routesOf(set *manifest.Set) []*v1beta1.InterceptorRoute {
	var routes []*v1beta1.InterceptorRoute
	convert := runtime.DefaultUnstructuredConverter.FromUnstructured
	for _, u := range manifest.All[*unstructured.Unstructured](set) {
		switch u.GetKind() {
		case api.KindInterceptorRoute:
			route := &v1beta1.InterceptorRoute{}
			if convert(u.Object, route) == nil {
				routes = append(routes, route)
			}
		case api.KindHTTPScaledObject:
			o := &v1alpha1.HTTPScaledObject{}
			if convert(u.Object, o) == nil {
				routes = append(routes, routing.ConvertHTTPScaledObject(o))
			}
		}
	}
	return routes
}

// invitation is how to see a route's cold start.
func invitation(route *v1beta1.InterceptorRoute, port string) []string {
	if len(route.Spec.Rules) == 0 {
		return []string{"matches nothing: it has no rules"}
	}
	rule := route.Spec.Rules[0]
	host, path := "localhost", "/"
	if len(rule.Hosts) > 0 {
		host = strings.Replace(strings.TrimPrefix(rule.Hosts[0], "*."), "*", "localhost", 1)
	}
	if len(rule.Paths) > 0 {
		path = "/" + strings.TrimPrefix(rule.Paths[0].Value, "/")
	}
	// *.localhost is this machine for browsers and curl; other names need a header.
	base, options := "http://"+host+":"+port, ""
	local := host == "localhost" || strings.HasSuffix(host, ".localhost")
	if !local {
		base, options = "http://localhost:"+port, " -H 'Host: "+host+"'"
	}
	for _, h := range rule.Headers {
		value := ""
		if h.Value != nil {
			value = *h.Value
		}
		options += " -H '" + h.Name + ": " + value + "'"
	}
	coldStart := route.Spec.ColdStart
	switch {
	case coldStart != nil && coldStart.StreamingCallback != nil:
		path = strings.TrimSuffix(strings.TrimSuffix(path, "/"), "/v1") + "/v1/chat/completions"
		return []string{
			"curl -N" + options + " " + base + path + " -H 'Content-Type: application/json' \\",
			`  -d '{"model":"` + route.Name + `","stream":true,"messages":[{"role":"user","content":"Hello"}]}'`,
		}
	case coldStart != nil && coldStart.WaitingPage != nil && local && len(rule.Headers) == 0:
		return []string{"open " + base + path + " in a browser"}
	}
	return []string{"curl -i" + options + " " + base + path}
}
