package conformance

import (
	"fmt"
	"net/http"
	"testing"
)

const guarded = service + `
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: app}
spec:
  target: {service: app, port: 80}
  rules: [{hosts: [app.test], paths: [{value: /app}, {value: /login}]}]
  scalingMetric: {requestRate: {targetValue: 1}}
  staticRoutes:
  - name: robots
    rules: [{userAgents: [Crawlers, UptimeCheckers, LoadBalancerProbes]}]
    response: {statusCode: 503, headers: {Retry-After: "600"}}
  - name: preflight
    rules: [{methods: [OPTIONS]}]
    response: {statusCode: 204}
  - name: without-token
    rules: [{headers: [{name: Authorization, type: Absent}, {name: Cookie, type: Absent}]}]
    response: {statusCode: 401}
  - name: scripts
    rules: [{headers: [{name: User-Agent, type: Prefix, values: [curl/, Wget/]}]}, {headers: [{name: User-Agent, type: Regex, value: "(?i)^python-[a-z]+/"}]}]
    response: {statusCode: 403}
---
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: office}
spec:
  target: {service: app, port: 80}
  rules: [{hosts: [office.test], clientCIDRs: [10.0.0.0/8]}]
  scalingMetric: {concurrency: {targetValue: 1}}
`

// A request that a static route answers, or that no rule matches, does not wake the target, nor
// keep it awake.
func TestWhoMayWake(t *testing.T) {
	w := newWorld(t, guarded)
	const browser = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
	type attempt struct {
		reason, method, host, path string
		headers                    []string
		asleep, awake              int
	}
	cases := []attempt{
		{"a crawler", http.MethodGet, "app.test", "/app", []string{"User-Agent", "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"}, 503, 200},
		{"an uptime check", http.MethodHead, "app.test", "/login", []string{"User-Agent", "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)"}, 503, 200},
		{"a probe of a load balancer", http.MethodGet, "app.test", "/app", []string{"User-Agent", "GoogleHC/1.0"}, 503, 200},
		{"a preflight", http.MethodOptions, "app.test", "/app", []string{"User-Agent", browser}, 204, 200},
		{"a client without a token", http.MethodGet, "app.test", "/app", []string{"User-Agent", browser}, 401, 200},
		{"a script with one", http.MethodGet, "app.test", "/app", []string{"User-Agent", "curl/8.14.1", "Authorization", "Bearer t"}, 403, 200},
		{"another script with one", http.MethodGet, "app.test", "/app", []string{"User-Agent", "Python-urllib/3.13", "Authorization", "Bearer t"}, 403, 200},
		{"somebody outside the office", http.MethodGet, "office.test", "/", []string{"User-Agent", browser}, 404, 404},
		{"who says to be inside", http.MethodGet, "office.test", "/", []string{"User-Agent", browser, "X-Forwarded-For", "10.0.0.1"}, 404, 404},
	}
	for i := range 1000 {
		cases = append(cases, attempt{"a scanner", http.MethodGet, "app.test", fmt.Sprintf("/wp-%d.php", i), []string{"User-Agent", browser, "Authorization", "Bearer t"}, 404, 404})
	}
	ask := func(status func(attempt) int) {
		t.Helper()
		for _, c := range cases {
			w.do(w.request(c.method, c.host, c.path, "", c.headers...)).expect(t, c.reason, status(c), "")
		}
		for name, counts := range w.counts() {
			if counts.Concurrency != 0 || counts.RequestCount != 0 || counts.Cold || counts.Leased {
				t.Errorf("%s: there is demand: %+v", name, counts)
			}
		}
	}
	ask(func(c attempt) int { return c.asleep })
	w.ready("app", w.backend(say("awake")))
	ask(func(c attempt) int { return c.awake })
	w.do(w.request(http.MethodGet, "app.test", "/app", "", "User-Agent", browser, "Cookie", "session=1")).expect(t, "who may wake", 200, "awake")
	if counts := w.counts()["default/app"]; counts.RequestCount != 1 {
		t.Errorf("a request that is demand was not counted: %+v", counts)
	}
}

// Behind a proxy that is trusted, its word counts, and that of no one before it.
func TestClientsBehindTrustedProxies(t *testing.T) {
	w := newWorld(t, guarded, "KEDA_HTTP_TRUSTED_PROXIES", "127.0.0.0/8, ::1, 192.0.2.7")
	w.ready("app", w.backend(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("X-Forwarded-For")) }))
	for _, c := range []struct {
		reason, forwarded string
		status            int
		body              string
	}{
		{"inside", "10.1.2.3", 200, "10.1.2.3, 127.0.0.1"},
		{"inside, by another proxy", "10.1.2.3, 192.0.2.7", 200, "10.1.2.3, 192.0.2.7, 127.0.0.1"},
		{"with a port, in IPv6", "[::ffff:10.1.2.3]:4711", 200, "[::ffff:10.1.2.3]:4711, 127.0.0.1"},
		{"outside", "203.0.113.9", 404, ""},
		{"outside, and says to be inside", "10.1.2.3, 203.0.113.9", 404, ""},
		{"a proxy that hides its client", "10.1.2.3, unknown", 404, ""},
	} {
		w.do(w.request(http.MethodGet, "office.test", "/", "", "X-Forwarded-For", c.forwarded)).expect(t, c.reason, c.status, c.body)
	}
}
