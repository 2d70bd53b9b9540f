package app

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/routesync"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/pkg/routing"
	"github.com/kedacore/http-add-on/standalone/manifest"
	"github.com/kedacore/http-add-on/standalone/process"
	"github.com/kedacore/http-add-on/standalone/scale"
)

// served is a route, and what its clients get.
type served struct {
	route *v1beta1.InterceptorRoute
	kind  string
	// example is a rule that requests match and no other route takes, with at most one host and
	// one path, or nil.
	example *routing.Rule
	// host is one that the example matches.
	host string
	// port of the target.
	port endpoints.Key
	// broken is why its target answers no request; empty if it does.
	broken []string
	// worse is what else is not as it was meant.
	worse []string
}

// name returns "namespace/name".
func (s *served) name() string { return s.route.Namespace + "/" + s.route.Name }

// examine finds out about each route that is in force, in order of their names. In a
// cluster the operator says much of it in conditions.
func examine(set *manifest.Set, targets []scale.Target, settings route.Settings) []served {
	x := &examination{
		set: set, deployments: manifest.All[*appsv1.Deployment](set), limits: settings.Limits, claims: route.NewClaims(settings.Limits),
		targets: make(map[types.NamespacedName]scale.Target, len(targets)), hosts: map[string]bool{},
	}
	for _, t := range targets {
		x.targets[t.Workload] = t
	}
	named := map[types.NamespacedName]*route.Named[v1beta1.InterceptorRoute]{}
	for _, u := range manifest.All[*unstructured.Unstructured](set) {
		decoded, err := route.Decode(u)
		if err != nil {
			continue // the manifest's checks let nothing pass that does not decode
		}
		name := types.NamespacedName{Namespace: u.GetNamespace(), Name: u.GetName()}
		if named[name] == nil {
			named[name] = &route.Named[v1beta1.InterceptorRoute]{}
		}
		named[name].Set(u.GetKind(), decoded)
		x.claims.Set(u.GetKind(), name, decoded)
	}
	x.check = routesync.Check(manifest.All[*corev1.Service](set), manifest.All[*corev1.ConfigMap](set), settings,
		func(key routing.Key) ([]string, bool) { return route.Wakes(named[types.NamespacedName(key)]) })
	for _, n := range named {
		_, object := n.InForce()
		rules, _ := settings.Limits.Rules(object.Spec.Rules, route.Matches{})
		for _, rule := range rules {
			for _, host := range rule.Hosts {
				x.hosts[host] = true
			}
		}
	}
	routes := make([]served, 0, len(named))
	for _, n := range named {
		s := x.route(n.InForce())
		if n.Superseded() {
			s.worse = append(s.worse, "it wins over the HTTPScaledObject of the same name")
		}
		routes = append(routes, s)
	}
	slices.SortFunc(routes, func(a, b served) int { return cmp.Compare(a.name(), b.name()) })
	return routes
}

type examination struct {
	set         *manifest.Set
	deployments []*appsv1.Deployment
	limits      route.Limits
	claims      *route.Claims
	targets     map[types.NamespacedName]scale.Target
	hosts       map[string]bool // of all routes
	// check returns what the interceptor leaves out of a route.
	check func(*v1beta1.InterceptorRoute) []string
}

func (x *examination) route(kind string, object *v1beta1.InterceptorRoute) served {
	s := served{route: object, kind: kind}
	x.rules(&s)
	if _, port, problem := x.servicePort(object.Namespace, object.Spec.Target); problem == nil {
		s.port = endpoints.Key{Namespace: object.Namespace, Service: object.Spec.Target.Service, Port: port.Name}
	}
	behind, undeclared, reason := x.behind(object.Namespace, object.Spec.Target)
	s.worse = append(s.worse, undeclared...)
	switch {
	case reason != "":
		s.broken = append(s.broken, reason)
	case !slices.ContainsFunc(behind, func(d *appsv1.Deployment) bool { return x.wakes(&s, d) }):
		s.broken = append(s.broken, fmt.Sprintf("requests do not wake Deployment %q: nothing scales it by this route", behind[0].Name))
	}
	if c := object.Spec.ColdStart; c != nil && c.Fallback != nil {
		_, undeclared, reason := x.behind(object.Namespace, route.FallbackTarget(c.Fallback.Service))
		if reason != "" {
			undeclared = append(undeclared, reason)
		}
		for _, problem := range undeclared {
			s.worse = append(s.worse, "coldStart.fallback: "+problem)
		}
	}
	for _, problem := range x.check(object) {
		if !strings.HasPrefix(problem, "target: ") && !slices.Contains(s.worse, problem) {
			s.worse = append(s.worse, problem)
		}
	}
	return s
}

// rules finds out which requests are the route's.
func (x *examination) rules(s *served) {
	if len(s.route.Spec.Rules) == 0 {
		s.broken = append(s.broken, "it has no rules, so no request matches")
		return
	}
	if over := x.claims.Over(types.NamespacedName{Namespace: s.route.Namespace, Name: s.route.Name}); over != nil {
		s.broken = append(s.broken, over.Message)
		return
	}
	rules, wrong := x.limits.Rules(s.route.Spec.Rules, route.Matches{})
	conflicts, all := x.claims.Conflicts(s.route)
	lost := make(map[routing.Place]bool, len(conflicts))
	for i, conflict := range conflicts {
		lost[conflict.Place] = true
		if i == 0 {
			wrong = append(wrong, conflict.String())
		}
	}
	if more := len(conflicts) - 1; more > 0 {
		wrong = append(wrong, fmt.Sprintf("%d more of its hosts and paths go to others", more))
	}
	if all || len(rules) == 0 {
		s.broken = append(s.broken, wrong...)
		return
	}
	s.worse = append(s.worse, wrong...)
	for _, rule := range rules {
		for one := range parts(rule) {
			for place := range routing.Places([]routing.Rule{one}) {
				if !lost[place] {
					s.example = &one
					s.host = x.host(place.Host)
					return
				}
			}
		}
	}
}

// host returns a host that a pattern matches and that no other pattern names.
func (x *examination) host(pattern string) string {
	parent, wildcard := strings.CutPrefix(pattern, "*")
	switch {
	case !wildcard:
		return pattern
	case parent == "" && !x.hosts["localhost"]:
		return "localhost"
	case parent == "" && !x.hosts["*.localhost"]:
		parent = ".localhost"
	case parent == "":
		parent = ".test"
	}
	host := "any" + parent
	for n := 2; x.hosts[host]; n++ {
		host = fmt.Sprintf("any%d%s", n, parent)
	}
	return host
}

// parts are the combinations of a host and a path of a rule.
func parts(rule routing.Rule) iter.Seq[routing.Rule] {
	return func(yield func(routing.Rule) bool) {
		one := routing.Rule{Methods: rule.Methods, Headers: rule.Headers, Clients: rule.Clients}
		for i := range max(len(rule.Hosts), 1) {
			for j := range max(len(rule.Paths), 1) {
				if one.Hosts, one.Paths = rule.Hosts, rule.Paths; len(one.Hosts) > 1 {
					one.Hosts = one.Hosts[i : i+1]
				}
				if len(one.Paths) > 1 {
					one.Paths = one.Paths[j : j+1]
				}
				if !yield(one) {
					return
				}
			}
		}
	}
}

// servicePort returns the Service and the port that a reference means.
func (x *examination) servicePort(namespace string, ref v1beta1.TargetRef) (*corev1.Service, *corev1.ServicePort, *route.Problem) {
	entry, _ := x.set.Lookup(manifest.Reference{Kind: manifest.KindService, Namespace: namespace, Name: ref.Service})
	service, _ := entry.Object.(*corev1.Service)
	port, problem := route.ServicePort(service, ref)
	return service, port, problem
}

// behind returns the Deployments that serve a reference, and which of them do not declare its
// port. If there is no Deployment, it returns the reason.
func (x *examination) behind(namespace string, ref v1beta1.TargetRef) (behind []*appsv1.Deployment, undeclared []string, reason string) {
	service, port, problem := x.servicePort(namespace, ref)
	if problem != nil {
		return nil, nil, problem.Message
	}
	behind, reason = process.Behind(service, port, x.deployments)
	for _, d := range behind {
		if problem := process.Undeclared(service, port, d); problem != "" {
			undeclared = append(undeclared, problem)
		}
	}
	return behind, undeclared, reason
}

// wakes reports whether a Deployment runs always, or when the route has requests.
func (x *examination) wakes(s *served, d *appsv1.Deployment) bool {
	target := x.targets[types.NamespacedName{Namespace: d.Namespace, Name: d.Name}]
	return target.Min > 0 || slices.ContainsFunc(target.Metrics, func(m scale.Metric) bool { return m.Route == s.name() })
}

// report logs what is new since the last time.
func (c *composition) report(routes []served) {
	now := make(map[string]string)
	c.broken = make(map[string]struct{})
	for i := range routes {
		s := &routes[i]
		object := s.kind + " " + s.name()
		broken, worse := strings.Join(s.broken, "; "), strings.Join(s.worse, "; ")
		now[object] = broken + worse
		if broken != "" {
			c.broken[object] = struct{}{}
		}
		switch {
		case c.reported[object] == now[object]:
		case broken != "":
			c.log.Error(nil, "route is not served", "object", object, "reason", broken)
		case worse != "":
			c.log.Info("route is only partly served", "object", object, "reason", worse)
		default:
			c.log.Info("route is served again", "object", object)
		}
	}
	c.reported = now
}
