//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Scenario l: what decides where a request goes, on a cluster.

// awake is a workload that runs from the start.
func awake(workload string) string { return strings.Replace(workload, "replicas: 0", "replicas: 1", 1) }

func TestRouting(t *testing.T) {
	s := together(t, "l-routing")
	const host = "l.example.com"
	route := func(name, target, rules string) string {
		return fmt.Sprintf(`
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: %s}
spec:
  target: {service: %s}
  rules: [%s]
  scalingMetric: {concurrency: {targetValue: 100}}
`, name, target, rules)
	}
	names := []string{"host", "path", "header", "wildcard", "portname"}
	for _, name := range names {
		s.apply(awake(model(name, 0, "-model="+name)))
	}
	s.apply(
		route("host", "host, port: 80", "{hosts: ["+host+", path."+host+"]}"),
		route("path", "path, port: 80", "{hosts: [path."+host+"], paths: [{value: /v1/models}]}"),
		route("header", "header, port: 80", "{hosts: ["+host+"], headers: [{name: X-Variant, value: beta}]}"),
		route("wildcard", "wildcard, port: 80", `{hosts: ["*.`+host+`"]}`),
		route("portname", "portname, portName: http", "{hosts: [named."+host+"]}"),
	)
	for _, name := range names {
		s.kubectl("rollout", "status", "deployment/"+name, "--timeout=60s")
	}
	for _, test := range []struct {
		host   string
		header http.Header
		want   string
	}{
		{host: host, want: "host"},
		{host: "path." + host, want: "path"},
		{host: host, header: http.Header{"X-Variant": {"beta"}}, want: "header"},
		{host: host, header: http.Header{"X-Variant": {"gamma"}}, want: "host"},
		{host: "any." + host, want: "wildcard"},
		{host: "named." + host, want: "portname"},
	} {
		for _, interceptor := range s.interceptors() {
			s.eventually(fmt.Sprintf("%s %v to reach %s", test.host, test.header, test.want), func() (bool, error) {
				got := s.send(call{by: interceptor.HTTP, url: "http://" + test.host + "/v1/models", header: test.header.Clone()})
				return got.status == http.StatusOK && strings.Contains(got.body, fmt.Sprintf("%q", test.want)), fmt.Errorf("%+v", got)
			})
		}
	}
}

// A static route answers while its target sleeps, and does not wake it. The fallback of another
// route answers when the wake fails.
func TestStaticRouteAndFallback(t *testing.T) {
	s := together(t, "l-static")
	s.apply(webApp("app", 0), scaledObject("app"), interceptorRoute("app", "static.l.example.com", concurrencyTen,
		`staticRoutes: [{name: robots, rules: [{paths: [{value: /robots.txt}]}], response: {body: "Disallow: /", headers: {X-Kept: "yes"}}}]`),
		model("llm", never), scaledObject("llm"), awake(model("spare", 0, "-model=spare")), interceptorRoute("llm", "spare.l.example.com", concurrencyTen,
			"timeouts: {readiness: 2s}", "coldStart: {fallback: {service: {name: spare, portName: http}}}"))
	s.awaitReady("InterceptorRoute/app", "ScaledObject/app", "InterceptorRoute/llm", "ScaledObject/llm")
	s.awaitReplicas("app", 0)
	s.kubectl("rollout", "status", "deployment/spare", "--timeout=60s")
	for _, interceptor := range s.interceptors() {
		s.awaitRouted(interceptor, "app")
		got := s.send(call{by: interceptor.HTTP, url: "http://static.l.example.com/robots.txt"})
		if got.err != nil || got.status != http.StatusOK || got.body != "Disallow: /" || got.header.Get("X-Kept") != "yes" {
			t.Errorf("the static route: %+v", got)
		}
	}
	s.steadily("nobody wants it", 2*time.Second, func() bool { return s.replicas("app") == 0 })
	if got := s.send(call{url: "http://spare.l.example.com/v1/models"}); got.err != nil || got.status != http.StatusOK || !strings.Contains(got.body, `"spare"`) {
		t.Errorf("the fallback's answer: %+v", got)
	}
}

// A client inside the cluster asks by the name of an ExternalName Service that stands in front of
// the application.
func TestExternalNameService(t *testing.T) {
	s := together(t, "l-external")
	const host = "front.l-external.svc.cluster.local"
	s.apply(model("llm", time.Second), scaledObject("llm"), interceptorRoute("llm", host, concurrencyTen), `
apiVersion: v1
kind: Service
metadata: {name: front}
spec: {type: ExternalName, externalName: keda-add-ons-http-interceptor-proxy.keda.svc.cluster.local}
`)
	s.awaitReady("InterceptorRoute/llm", "ScaledObject/llm")
	s.awaitReplicas("llm", 0)
	s.eventually("the name to lead to the interceptors", func() (bool, error) {
		connection, err := s.Dial(s.ctx, "tcp", host+":8080")
		if err != nil {
			return false, err
		}
		return true, connection.Close()
	})
	connection, err := s.Dial(s.ctx, "tcp", host+":8080")
	s.must(err)
	defer func() { _ = connection.Close() }()
	request, err := http.NewRequestWithContext(s.ctx, http.MethodGet, "http://"+host+":8080/v1/models", nil)
	s.must(err)
	s.must(request.Write(connection))
	response, err := http.ReadResponse(bufio.NewReader(connection), request)
	s.must(err)
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK || response.Header.Get("X-KEDA-HTTP-Cold-Start") != "true" {
		t.Errorf("%s, cold start %q", response.Status, response.Header.Get("X-KEDA-HTTP-Cold-Start"))
	}
}
