package objects

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// Old objects use every field that 0.16 had, and nothing newer. They are text,
// as users wrote them: what they say must be accepted for good.

// OldHTTPScaledObject is a v1alpha1 object with every field of 0.16.
const OldHTTPScaledObject = `
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata:
  name: old
  labels: {team: shop}
  annotations:
    httpscaledobject.keda.sh/skip-scaledobject-creation: "false"
    httpscaledobject.keda.sh/orphan-scaledobject: "true"
  finalizers: [httpscaledobject.http.keda.sh]
spec:
  hosts: [shop.example.com, "*.shop.example.com", SHOP.example.com:8080]
  pathPrefixes: [/cart, /cart]
  headers:
  - {name: X-Tenant, value: blue}
  - {name: X-Beta}
  - {name: X-Empty, value: ""}
  scaleTargetRef: {name: shop, apiVersion: apps/v1, kind: Deployment, service: shop, port: 8080}
  coldStartTimeoutFailoverRef: {service: sorry, portName: http, timeoutSeconds: 5}
  replicas: {min: 0, max: 10}
  targetPendingRequests: 50
  scaledownPeriod: 300
  initialCooldownPeriod: 60
  scalingMetric:
    concurrency: {targetValue: 20}
    requestRate: {targetValue: 30, window: 2m, granularity: 500ms}
  timeouts: {conditionWait: 20s, responseHeader: 500ms}
`

// OddHTTPScaledObject holds values that make little sense and that 0.16's schema
// let in all the same: no newer rule may refuse them.
const OddHTTPScaledObject = `
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {name: odd}
spec:
  hosts: [""]
  pathPrefixes: [""]
  headers: [{name: X}]
  scaleTargetRef: {service: "", portName: "", name: ""}
  coldStartTimeoutFailoverRef: {service: "", port: 0, timeoutSeconds: -1}
  replicas: {min: 5, max: 1}
  targetPendingRequests: -1
  scaledownPeriod: -1
  scalingMetric: {concurrency: {targetValue: 0}, requestRate: {targetValue: -1, window: "30", granularity: soon}}
  timeouts: {conditionWait: -1s, responseHeader: never}
`

// OldInterceptorRoute is a v1beta1 object with every field of 0.16.
const OldInterceptorRoute = `
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: old}
spec:
  target: {service: shop, portName: http}
  rules:
  - hosts: [shop.example.com, "*.shop.example.com"]
    paths: [{value: /cart}, {value: /cart}]
    headers: [{name: X-Tenant, value: blue}, {name: X-Beta}]
  - {}
  scalingMetric:
    concurrency: {targetValue: 20}
    requestRate: {targetValue: 30, window: 2m, granularity: 500ms}
  staticRoutes:
  - rules: [{paths: [{value: /healthz}]}]
    responseMode: Always
    response: {statusCode: 204, body: "", headers: {X-Answered-By: interceptor}}
  - rules: [{hosts: [shop.example.com]}]
    responseMode: WhenUnavailable
    response: {bodyFromConfigMap: {name: pages, key: down.html}}
  coldStart:
    fallback: {service: {name: sorry, port: 80}}
    placeholder: {response: {statusCode: 202, body: waking, headers: {Content-Type: text/plain}}}
    maxPendingRequests: 100
    overflow: Placeholder
  timeouts: {readiness: 60s, request: 0s, responseHeader: 1m30s}
`

// OddInterceptorRoute holds values that make little sense and that 0.16's schema
// let in all the same: no newer rule may refuse them.
const OddInterceptorRoute = `
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: odd}
spec:
  target: {service: UPPER_case, port: 80}
  rules: [{hosts: ["", "a b"], paths: [{value: "nonsense?"}], headers: [{name: "a b"}]}]
  scalingMetric: {requestRate: {targetValue: 1, window: 0s, granularity: -5s}}
  staticRoutes: [{rules: [{}], response: {statusCode: 100, headers: {"a b": "c"}}}]
  coldStart: {maxPendingRequests: 1}
  timeouts: {readiness: "30", request: soon, responseHeader: -1s}
`

// CompleteHTTPScaledObject returns a v1alpha1 object with every field; the
// caller owns it.
func CompleteHTTPScaledObject() (*unstructured.Unstructured, error) {
	return patched(OldHTTPScaledObject, `
scaleTargetRef: {port: null, portName: http}
coldStartTimeoutFailoverRef: {portName: null, port: 80}
scalingMetric: {requestRate: {window: 2m0s}}
coldStartStreamingCallback: {message: Waking up, intervalSeconds: 7, keepaliveMessage: .}
coldStartMessage: Waking up the application, please wait...
`)
}

// CompleteInterceptorRoute returns a v1beta1 object with every field; the
// caller owns it.
func CompleteInterceptorRoute() (*unstructured.Unstructured, error) {
	return patched(OldInterceptorRoute, `
target: {portName: null, port: 80}
rules:
- hosts: [shop.example.com, "*.shop.example.com"]
  paths: [{value: /cart}, {value: /cart}]
  headers: [{name: X-Tenant, value: blue}, {name: X-Beta}, {name: X-Gamma, type: Prefix, values: [a, b]}]
  methods: [GET, HEAD]
  userAgents: [Crawlers]
  clientCIDRs: [192.0.2.0/24]
- {}
scalingMetric: {requestRate: {window: 2m0s}}
staticRoutes:
- name: probes
  rules:
  - hosts: [shop.example.com]
    paths: [{value: /healthz}]
    headers: [{name: X-Tenant, type: Exact, value: blue, values: [green]}]
    methods: [GET]
    userAgents: [LoadBalancerProbes]
    clientCIDRs: [192.0.2.0/24, "2001:db8::/32"]
  responseMode: Always
  response: {statusCode: 200, body: ok, headers: {X-Answered-By: interceptor}}
- rules: [{}]
  responseMode: WhenUnavailable
  response: {bodyFromConfigMap: {name: pages, key: down.html}}
timeouts: {readiness: 1m0s, request: 2m0s}
coldStart:
  fallback: {service: {port: null, portName: http}}
  streamingCallback: {message: Waking up, interval: 7s, keepaliveMessage: ., separator: "", display: Reasoning, initialDelay: 250ms}
  waitingPage: {message: Waking up, title: Shop, refreshInterval: 2s, statusCode: 200, delivery: Refresh, crossSite: Hold, bodyFromConfigMap: {name: pages, key: waiting.html}}
  releaseConcurrency: 4
  activationLease: 20m0s
  onFailure: Fail
  failAfter: 2m0s
  warmUp: [{cron: 0 8 * * MON-FRI, timeZone: Europe/Berlin, for: 2h0m0s}]
  wakes: [db, cache]
sessionPersistence: {type: Header, absoluteTimeout: 12h0m0s, header: {name: Mcp-Session-Id}, keepAwake: 30m0s}
`)
}
