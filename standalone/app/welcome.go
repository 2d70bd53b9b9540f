package app

import (
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/standalone/manifest"
)

// welcome says what to try: a line or two for each route.
func welcome(w io.Writer, set *manifest.Set, proxyPort, adminPort string) {
	var b strings.Builder
	b.WriteString("\nWhat to try:\n")
	routes := routesOf(set)
	for _, r := range routes {
		fmt.Fprintf(&b, "\n  %s/%s\n", r.Namespace, r.Name)
		for _, line := range invitation(r, proxyPort) {
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
	for _, u := range manifest.All[*unstructured.Unstructured](set) {
		if decoded, err := route.Decode(u); err == nil {
			routes = append(routes, decoded)
		}
	}
	return routes
}

// invitation is how to see a route's cold start.
func invitation(r *v1beta1.InterceptorRoute, port string) []string {
	if len(r.Spec.Rules) == 0 {
		return []string{"matches nothing: it has no rules"}
	}
	rule := r.Spec.Rules[0]
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
	coldStart := r.Spec.ColdStart
	switch {
	case coldStart != nil && coldStart.StreamingCallback != nil:
		path = strings.TrimSuffix(strings.TrimSuffix(path, "/"), "/v1") + "/v1/chat/completions"
		return []string{
			"curl -N" + options + " " + base + path + " -H 'Content-Type: application/json' \\",
			`  -d '{"model":"` + r.Name + `","stream":true,"messages":[{"role":"user","content":"Hello"}]}'`,
		}
	case coldStart != nil && coldStart.WaitingPage != nil && local && len(rule.Headers) == 0:
		return []string{"open " + base + path + " in a browser"}
	}
	return []string{"curl -i" + options + " " + base + path}
}
