package routesync

import (
	"cmp"
	"fmt"
	"mime"
	"net/http"
	"path"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedacore/http-add-on/interceptor/coldstart/page"
	"github.com/kedacore/http-add-on/interceptor/coldstart/stream"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/inflight"
	"github.com/kedacore/http-add-on/interceptor/session"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// defaultLease is long enough for a model that loads for minutes after its
// client gave up.
const defaultLease = 10 * time.Minute

// compiler turns one object into a Route, with every default applied: objects
// that were converted or read from files have met no API server.
type compiler struct {
	store      *endpoints.Store
	tracker    *inflight.Tracker
	reports    *reports
	defaults   Defaults
	settings   route.Settings
	services   map[routing.Key]*corev1.Service
	configMaps map[routing.Key]*configMap
	// wakes returns the names in coldStart.wakes of a route, and whether it exists.
	wakes func(routing.Key) (names []string, ok bool)
}

// compilation is the state of compiling one route.
type compilation struct {
	compiler
	namespace string
	uses      []ObjectRef
	problems  []string
}

// compile returns the route, the objects it depends on (whether they exist or not), and its
// problems. It leaves out a part that does not compile; the rest is served. The caller compiles
// the rules of the object.
func (c compiler) compile(obj *v1beta1.InterceptorRoute) (*exchange.Route, []ObjectRef, []string) {
	n := &compilation{compiler: c, namespace: obj.Namespace}
	spec := &obj.Spec
	compiled := &exchange.Route{
		Namespace:      obj.Namespace,
		Name:           obj.Name,
		InFlight:       c.tracker.Route(routing.Key{Namespace: obj.Namespace, Name: obj.Name}.String()),
		Target:         n.target(spec.Target),
		Reported:       n.reported(routing.Key{Namespace: obj.Namespace, Name: obj.Name}),
		Readiness:      timeout(spec.Timeouts.Readiness, c.defaults.Readiness),
		Request:        timeout(spec.Timeouts.Request, c.defaults.Request),
		ResponseHeader: timeout(spec.Timeouts.ResponseHeader, c.defaults.ResponseHeader),
		MaxPending:     c.defaults.MaxPending,
		Replacement:    exchange.NewReplacement(),
	}
	if compiled.Target.Problem != "" {
		n.problem("target: %s", compiled.Target.Problem)
	}
	matches := route.Matches{}.And(spec.Rules)
	for i := range spec.StaticRoutes {
		static := &spec.StaticRoutes[i]
		staticRules, wrong := n.settings.Limits.Rules(static.Rules, matches)
		matches = matches.And(static.Rules)
		for _, problem := range wrong {
			n.problem("staticRoutes[%d]: %s", i, problem)
		}
		compiled.Static = append(compiled.Static, exchange.StaticRoute{
			Name:     cmp.Or(static.Name, fmt.Sprintf("staticRoutes[%d]", i)),
			Rules:    routing.CompileMatcher(staticRules),
			Response: n.response(fmt.Sprintf("staticRoutes[%d]", i), &static.Response, http.StatusOK),
			Always:   static.ResponseMode == v1beta1.StaticResponseAlways,
		})
	}
	n.coldStart(compiled, spec.ColdStart)
	n.needs(compiled, spec.ColdStart)
	compiled.Session = n.session(obj)
	if compiled.Fallback != nil && compiled.Readiness == 0 {
		compiled.Readiness = route.FallbackReadiness
	}
	if compiled.Lease == 0 {
		compiled.Lease = n.lease(compiled.Readiness)
	}
	return compiled, n.uses, n.problems
}

// reported returns where the reports of a route are; nil if nothing reports.
func (n *compilation) reported(key routing.Key) *exchange.Reported {
	if n.reports == nil {
		return nil
	}
	return n.reports.route(key)
}

// Check returns a function that reports what would not be in effect of a route with these
// Services, ConfigMaps and other routes. It does not check the rules.
func Check(services []*corev1.Service, configMaps []*corev1.ConfigMap, settings route.Settings, wakes func(routing.Key) ([]string, bool)) func(*v1beta1.InterceptorRoute) []string {
	c := compiler{
		store: endpoints.NewStore(), tracker: inflight.NewTracker(nil), settings: settings, wakes: wakes,
		services: make(map[routing.Key]*corev1.Service, len(services)), configMaps: make(map[routing.Key]*configMap, len(configMaps)),
	}
	for _, s := range services {
		c.services[routing.Key{Namespace: s.Namespace, Name: s.Name}] = s
	}
	for _, m := range configMaps {
		c.configMaps[routing.Key{Namespace: m.Namespace, Name: m.Name}] = newConfigMap(m)
	}
	return func(object *v1beta1.InterceptorRoute) []string {
		_, _, problems := c.compile(object)
		return problems
	}
}

func (n *compilation) coldStart(to *exchange.Route, spec *v1beta1.ColdStartSpec) {
	if spec == nil {
		return
	}
	if spec.Fallback != nil {
		to.Fallback = n.target(route.FallbackTarget(spec.Fallback.Service))
		if to.Fallback.Problem != "" {
			n.problem("coldStart.fallback: %s", to.Fallback.Problem)
		}
	}
	if spec.Placeholder != nil {
		to.Placeholder = n.response("coldStart.placeholder", &spec.Placeholder.Response, http.StatusServiceUnavailable)
	}
	if spec.MaxPendingRequests != nil && *spec.MaxPendingRequests > 0 {
		to.MaxPending, to.CapOwn = int(*spec.MaxPendingRequests), true
	}
	if spec.ReleaseConcurrency != nil {
		to.ReleaseConcurrency = max(int(*spec.ReleaseConcurrency), 0)
	}
	to.OverflowPlaceholder = spec.Overflow == v1beta1.OverflowPlaceholder
	to.FailEarly = spec.OnFailure == v1beta1.OnFailureFail
	if spec.ActivationLease != nil && spec.ActivationLease.Duration > 0 {
		to.Lease = spec.ActivationLease.Duration
	}
	if spec.StreamingCallback != nil {
		callback, err := stream.Compile(callbackOptions(spec.StreamingCallback))
		if err != nil {
			n.problem("coldStart.streamingCallback: %v", err)
		}
		to.Callback = callback
	}
	if spec.WaitingPage != nil {
		compiled, err := page.Compile(pageOptions(spec.WaitingPage))
		if err != nil {
			n.problem("coldStart.waitingPage: %v", err)
		}
		to.Page = compiled
		if from := spec.WaitingPage.BodyFromConfigMap; from != nil && compiled != nil {
			to.Page = n.ownPage(compiled, from)
		}
	}
}

// needs compiles when the target is needed without a request, and what it needs itself.
func (n *compilation) needs(to *exchange.Route, spec *v1beta1.ColdStartSpec) {
	if spec == nil {
		return
	}
	for i := range spec.WarmUp {
		warmUp, problem := route.CompileWarmUp(&spec.WarmUp[i])
		if problem != nil {
			n.problem("coldStart.warmUp[%d]: %s", i, problem.Message)
			continue
		}
		to.WarmUps = append(to.WarmUps, warmUp)
	}
	if len(spec.Wakes) == 0 {
		return
	}
	needs, seen, problems := route.Needs(to.Name, func(name string) ([]string, bool) {
		return n.wakes(routing.Key{Namespace: n.namespace, Name: name})
	})
	for _, problem := range problems {
		n.problem("coldStart.wakes: %s", problem.Message)
	}
	for _, name := range needs {
		to.Needs = append(to.Needs, routing.Key{Namespace: n.namespace, Name: name})
	}
	for _, name := range seen {
		n.uses = append(n.uses, ObjectRef{Kind: kindRoute, Namespace: n.namespace, Name: name})
	}
}

// session compiles how the route keeps sessions; nil is not at all.
func (n *compilation) session(obj *v1beta1.InterceptorRoute) *session.Rule {
	spec := obj.Spec.SessionPersistence
	if spec == nil {
		return nil
	}
	if problem := route.SessionProblem(spec); problem != nil {
		n.problem("sessionPersistence: %s", problem.Message)
		return nil
	}
	if n.defaults.NoSessions {
		return nil
	}
	rule := &session.Rule{Timeout: timeout(spec.AbsoluteTimeout, 0), KeepAwake: timeout(spec.KeepAwake, 0), Now: time.Now}
	switch {
	case spec.Type == v1beta1.SessionPersistenceHeader:
		rule.Header = http.CanonicalHeaderKey(spec.Header.Name)
	case spec.Cookie != nil && spec.Cookie.Name != "":
		rule.Cookie = spec.Cookie.Name
	default:
		rule.Cookie = session.CookieName(obj.Namespace, obj.Name)
	}
	return rule
}

func callbackOptions(spec *v1beta1.StreamingCallbackSpec) stream.Options {
	return stream.Options{
		Message: spec.Message, KeepaliveMessage: spec.KeepaliveMessage, Separator: spec.Separator,
		Interval: spec.Interval.Duration, InitialDelay: spec.InitialDelay.Duration, Display: stream.Display(spec.Display),
	}
}

func pageOptions(spec *v1beta1.WaitingPageSpec) page.Options {
	return page.Options{
		Title: spec.Title, Message: spec.Message, RefreshInterval: spec.RefreshInterval.Duration, StatusCode: int(spec.StatusCode),
		Finite: spec.Delivery == v1beta1.WaitingPageRefresh, HoldCrossSite: spec.CrossSite == v1beta1.CrossSiteHold,
	}
}

// target resolves a Service and port. If that fails (for now), the target is never ready, and is
// resolved again when the Service changes.
func (n *compilation) target(ref v1beta1.TargetRef) *exchange.Target {
	n.uses = append(n.uses, ObjectRef{Kind: KindService, Namespace: n.namespace, Name: ref.Service})
	name := ref.Service + "." + n.namespace
	target := &exchange.Target{Namespace: n.namespace, Service: ref.Service, ServerName: name}
	port, problem := route.ServicePort(n.services[routing.Key{Namespace: n.namespace, Name: ref.Service}], ref)
	if problem != nil {
		target.Problem = problem.Message
		// No Service port has this name, because it is not a DNS label.
		target.Endpoints = n.store.Port(endpoints.Key{Namespace: n.namespace, Service: ref.Service, Port: "?"})
		target.Address = fmt.Sprintf("%s:%d", name, max(ref.Port, 1))
		return target
	}
	target.Endpoints = n.store.Port(endpoints.Key{Namespace: n.namespace, Service: ref.Service, Port: port.Name})
	target.Address = fmt.Sprintf("%s:%d", name, port.Port)
	if port.AppProtocol != nil {
		switch *port.AppProtocol {
		case "kubernetes.io/h2c":
			target.Protocol = exchange.H2C
		case "http", "kubernetes.io/ws":
			target.Plain = true
		}
	}
	return target
}

// response compiles a static response.
func (n *compilation) response(field string, spec *v1beta1.StaticResponse, status int) *exchange.StaticResponse {
	response := &exchange.StaticResponse{Status: status, Header: http.Header{}}
	if spec.StatusCode != 0 {
		response.Status = int(spec.StatusCode)
	}
	if response.Status < http.StatusOK {
		// net/http would send it as an informational response, and no answer after it.
		response.Problem = fmt.Sprintf("status %d is no final status", response.Status)
		n.problem("%s: %s", field, response.Problem)
	}
	for name, value := range spec.Headers {
		if framing(name) {
			n.problem("%s: the header %.80q is not sent: it is for the connection", field, name)
			continue
		}
		response.Header.Set(name, value)
	}
	switch from := spec.BodyFromConfigMap; {
	case spec.Body != nil:
		response.Body = []byte(*spec.Body)
	case from != nil:
		n.responseBody(field, response, from)
	}
	return response
}

// framing reports whether a header is for one connection only (RFC 9110, 7.6.1). It could make a
// proxy in front read a response in another way.
func framing(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// ownPage returns the page with the template of a ConfigMap, or the built-in page if the template
// is invalid.
func (n *compilation) ownPage(builtIn *page.Page, from *v1beta1.ConfigMapKeyRef) *page.Page {
	const field = "coldStart.waitingPage"
	files, problem := n.files(from.Name)
	source, ok := files[from.Key]
	switch {
	case problem != "":
		n.problem("%s: %s", field, problem)
		return builtIn
	case !ok:
		n.problem("%s: %s", field, route.NoKey(from.Name, from.Key).Message)
		return builtIn
	}
	own, err := builtIn.WithTemplate(string(source))
	if err != nil {
		n.problem("%s: ConfigMap %q: %v", field, from.Name, err)
		return builtIn
	}
	return own
}

// files returns the data of a ConfigMap that responses may be taken from, which
// they share, or the problem with the ConfigMap.
func (n *compilation) files(name string) (files map[string][]byte, problem string) {
	if refused := n.settings.ConfigMaps.Problem(n.namespace, name); refused != nil {
		return nil, refused.Message
	}
	n.uses = append(n.uses, ObjectRef{Kind: KindConfigMap, Namespace: n.namespace, Name: name})
	found := n.configMaps[routing.Key{Namespace: n.namespace, Name: name}]
	if found == nil {
		return nil, route.NoConfigMap(name).Message
	}
	return found.files, ""
}

func (n *compilation) responseBody(field string, response *exchange.StaticResponse, from *v1beta1.ConfigMapKeyRef) {
	files, problem := n.files(from.Name)
	if problem != "" {
		response.Problem = problem
		n.problem("%s: %s", field, problem)
		return
	}
	if from.Key == "" {
		response.Files = files
		return
	}
	body, ok := files[from.Key]
	if !ok {
		response.Problem = route.NoKey(from.Name, from.Key).Message
		n.problem("%s: %s", field, response.Problem)
		return
	}
	response.Body = body
	if response.Header.Get("Content-Type") == "" {
		if t := mime.TypeByExtension(path.Ext(from.Key)); t != "" {
			response.Header.Set("Content-Type", t)
		}
	}
}

// lease returns the activation lease of a route that sets none.
func (n *compilation) lease(readiness time.Duration) time.Duration {
	switch {
	case n.defaults.Lease > 0:
		return n.defaults.Lease
	case readiness > 0:
		return readiness
	}
	return defaultLease
}

func (n *compilation) problem(format string, args ...any) {
	n.problems = append(n.problems, fmt.Sprintf(format, args...))
}

// timeout returns the setting of a route, or the default. Negative ones are off.
func timeout(own *metav1.Duration, fallback time.Duration) time.Duration {
	if own == nil {
		return fallback
	}
	return max(own.Duration, 0)
}
