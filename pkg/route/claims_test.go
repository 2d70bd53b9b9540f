package route

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/routing"
	"github.com/kedacore/http-add-on/tests/support/objects"
)

// made returns a route made that many seconds after the others began.
func made(name string, age int, rules ...v1beta1.RoutingRule) *v1beta1.InterceptorRoute {
	return objects.InterceptorRoute("apps", name, "", func(r *v1beta1.InterceptorRoute) {
		r.CreationTimestamp = metav1.Unix(int64(age), 0)
		r.Spec.Rules = rules
	})
}

func rule(host, path string, headers ...v1beta1.HeaderMatch) v1beta1.RoutingRule {
	return v1beta1.RoutingRule{Hosts: []string{host}, Paths: []v1beta1.PathMatch{{Value: path}}, Headers: headers}
}

func nameOf(r *v1beta1.InterceptorRoute) types.NamespacedName {
	return types.NamespacedName{Namespace: r.Namespace, Name: r.Name}
}

func (c *Claims) put(kind string, r *v1beta1.InterceptorRoute) []types.NamespacedName {
	return c.Set(kind, nameOf(r), r)
}

// winners returns the winners of the places that a route claims in vain.
func (c *Claims) winners(r *v1beta1.InterceptorRoute) (winners []string) {
	lost, _ := c.Conflicts(r)
	for _, l := range lost {
		winners = append(winners, l.Place.String()+" "+l.Winner.Name)
	}
	return winners
}

func TestLosses(t *testing.T) {
	value := "blue"
	old, munich := made("old", 1, rule("shop.test", "/cart")), made("munich", 1, rule("xn--mnchen-3ya.example", ""))
	tests := []struct {
		reason string
		route  *v1beta1.InterceptorRoute
		want   []string
	}{
		{"the same rule, younger", made("new", 2, rule("shop.test", "/cart")), []string{"shop.test/cart old"}},
		{"the same rule, older", made("new", 0, rule("shop.test", "/cart")), nil},
		{"the same age, a name before", made("new", 1, rule("shop.test", "/cart")), []string{"shop.test/cart old"}},
		{"the same age, a name after", made("older", 1, rule("shop.test", "/cart")), nil},
		{"written otherwise", made("new", 2, rule("SHOP.test:8080", "cart/")), []string{"shop.test/cart old"}},
		{"a fully qualified name", made("new", 2, rule("shop.test.", "/cart")), []string{"shop.test/cart old"}},
		{"in Unicode", made("new", 2, rule("münchen.example", "/")), []string{"xn--mnchen-3ya.example/ munich"}},
		{"percent-encoded", made("new", 2, rule("shop.test", "/c%61rt")), []string{"shop.test/cart old"}},
		{"what no request matches", made("new", 2, rule("http://shop.test", "/cart")), nil},
		{"another path", made("new", 2, rule("shop.test", "/car")), nil},
		{"a shorter path", made("new", 2, rule("shop.test", "/")), nil},
		{"a wildcard", made("new", 2, rule("*.test", "/cart")), nil},
		{"a header more", made("new", 2, rule("shop.test", "/cart", v1beta1.HeaderMatch{Name: "X", Value: &value})), nil},
		{"one of two", made("new", 2, rule("shop.test", "/cart"), rule("new.test", "/cart")), []string{"shop.test/cart old"}},
	}
	for _, test := range tests {
		c := NewClaims(defaults)
		c.put(api.KindInterceptorRoute, old)
		c.put(api.KindInterceptorRoute, munich)
		c.put(api.KindInterceptorRoute, test.route)
		if diff := cmp.Diff(test.want, c.winners(test.route)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", test.reason, diff)
		}
	}
}

func TestHeadersAreToldAndCompared(t *testing.T) {
	blue := "blue"
	c := NewClaims(defaults)
	a := made("a", 1, rule("", "", v1beta1.HeaderMatch{Name: "x-tenant", Value: &blue}, v1beta1.HeaderMatch{Name: "A"}))
	b := made("b", 2, rule("*", "/", v1beta1.HeaderMatch{Name: "a"}, v1beta1.HeaderMatch{Name: "X-Tenant", Value: &blue}))
	c.put(api.KindInterceptorRoute, a)
	c.put(api.KindInterceptorRoute, b)
	if diff := cmp.Diff([]string{"*/ with headers A, X-Tenant=blue a"}, c.winners(b)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestConflicts(t *testing.T) {
	c := NewClaims(defaults)
	c.put(api.KindInterceptorRoute, made("old", 1, rule("shop.test", "")))
	taken := []string{"requests for shop.test/ go to the route apps/old, which has the same rule and comes first"}
	for _, test := range []struct {
		reason string
		route  *v1beta1.InterceptorRoute
		want   []string
		all    bool
	}{
		{"all is lost", made("new", 2, rule("shop.test", "")), taken, true},
		{"some is lost", made("new", 2, rule("shop.test", ""), rule("blog.test", "")), taken, false},
		{"nothing is lost", made("new", 2, rule("blog.test", "")), nil, false},
		{"nothing is asked for", made("new", 2), nil, false},
		{"out of bounds", made("new", 2, v1beta1.RoutingRule{Hosts: make([]string, 300), Paths: make([]v1beta1.PathMatch, 300)}), nil, false},
	} {
		lost, all := c.Conflicts(test.route)
		var got []string
		for _, conflict := range lost {
			got = append(got, conflict.String())
		}
		if diff := cmp.Diff(test.want, got); diff != "" || all != test.all {
			t.Errorf("%s: all %t, -want +got:\n%s", test.reason, all, diff)
		}
	}
}

// Set returns every route whose condition may have to change.
func TestAffectedRoutes(t *testing.T) {
	c := NewClaims(defaults)
	steps := []struct {
		reason string
		kind   string
		route  *v1beta1.InterceptorRoute
		gone   bool
		want   []string
	}{
		{reason: "the first", kind: api.KindInterceptorRoute, route: made("a", 1, rule("a.test", ""))},
		{reason: "a second", kind: api.KindInterceptorRoute, route: made("b", 2, rule("a.test", "")), want: []string{"a"}},
		{reason: "again the same", kind: api.KindInterceptorRoute, route: made("b", 2, rule("a.test", ""))},
		{reason: "an HTTPScaledObject behind a route of its name", kind: api.KindHTTPScaledObject, route: made("b", 3, rule("b.test", ""))},
		{reason: "a third moves in", kind: api.KindInterceptorRoute, route: made("c", 4, rule("b.test", ""))},
		{reason: "the route goes: its HTTPScaledObject counts", kind: api.KindInterceptorRoute, route: made("b", 2), gone: true, want: []string{"a", "c"}},
		{reason: "a rule moves", kind: api.KindInterceptorRoute, route: made("a", 1, rule("b.test", "")), want: []string{"b", "c"}},
		{reason: "the HTTPScaledObject goes", kind: api.KindHTTPScaledObject, route: made("b", 3), gone: true, want: []string{"a", "c"}},
		{reason: "it was gone", kind: api.KindHTTPScaledObject, route: made("b", 3), gone: true},
		{reason: "the last but one", kind: api.KindInterceptorRoute, route: made("a", 1), gone: true, want: []string{"c"}},
		{reason: "the last", kind: api.KindInterceptorRoute, route: made("c", 4), gone: true},
	}
	for _, step := range steps {
		var affected []types.NamespacedName
		if step.gone {
			affected = c.Set(step.kind, nameOf(step.route), nil)
		} else {
			affected = c.put(step.kind, step.route)
		}
		var got []string
		for _, name := range affected {
			got = append(got, name.Name)
		}
		slices.Sort(got)
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", step.reason, diff)
		}
	}
	if len(c.objects) != 0 || len(c.claimants) != 0 {
		t.Errorf("left over: %v %v", c.objects, c.claimants)
	}
}

// What we report is what package routing does. A route that we report as winner gets a request
// made for the place, and a route without losses gets its own.
func TestTheTableAgrees(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	hosts := []string{"a.test", "A.test:80", "a.test.", "*.test", "*", "", "[::1]", "[::1]:80", "::1"}
	paths := []string{"", "/", "/x", "x/", "/x/y"}
	value := "v"
	headers := [][]v1beta1.HeaderMatch{
		nil, {{Name: "a"}}, {{Name: "A"}}, {{Name: "a"}, {Name: "B"}}, {{Name: "a"}, {Name: "A"}}, {{Name: "a", Value: &value}},
		{{Name: "A"}, {Name: "a", Value: &value}}, {{Name: "a", Value: &value}, {Name: "B"}, {Name: "A", Value: &value}},
	}
	for range 200 {
		c := NewClaims(defaults)
		var all []*v1beta1.InterceptorRoute
		var set []routing.Route[string]
		for i := range 8 {
			r := made(fmt.Sprint("r", i), random.IntN(3), rule(hosts[random.IntN(len(hosts))], paths[random.IntN(len(paths))], headers[random.IntN(len(headers))]...))
			all = append(all, r)
			c.put(api.KindInterceptorRoute, r)
			rules, _ := defaults.Rules(r.Spec.Rules, Matches{})
			set = append(set, routing.Route[string]{
				Key: routing.Key{Namespace: r.Namespace, Name: r.Name}, Created: r.CreationTimestamp.Time, Rules: rules, Value: r.Name,
			})
		}
		table := routing.Compile(set)
		for _, r := range all {
			want := r.Name
			if lost, _ := c.Conflicts(r); len(lost) > 0 {
				want = lost[0].Winner.Name
			}
			got, _ := table.Match(request(&r.Spec.Rules[0]))
			if got != want {
				t.Fatalf("a request for %+v goes to %s, and we say %s", r.Spec.Rules[0], got, want)
			}
		}
	}
}

// request is one that matches a rule and no more specific one.
func request(rule *v1beta1.RoutingRule) *routing.Request {
	host := rule.Hosts[0]
	if host == "" || host == "*" {
		host = "nowhere.invalid"
	}
	header := http.Header{}
	for _, match := range rule.Headers {
		if match.Value != nil {
			header.Set(match.Name, *match.Value)
		} else if header.Get(match.Name) == "" {
			header.Set(match.Name, "another")
		}
	}
	return &routing.Request{Host: strings.Replace(host, "*", "nowhere", 1), Path: "/" + strings.Trim(rule.Paths[0].Value, "/"), Header: header}
}

func TestClaimsAreBounded(t *testing.T) {
	var many v1beta1.RoutingRule
	for i := range 300 {
		many.Hosts = append(many.Hosts, fmt.Sprintf("h%d.test", i))
		many.Paths = append(many.Paths, v1beta1.PathMatch{Value: fmt.Sprintf("/p%d", i)})
	}
	if c := NewClaims(defaults).claimOf(made("many", 1, many)); len(c.places) != 4096 {
		t.Errorf("a claim of %d places", len(c.places))
	}
}

func TestClaimsAreEqualByWhatTheyAskFor(t *testing.T) {
	a := NewClaims(defaults).claimOf(made("a", 1, rule("a.test", "")))
	if !a.equal(NewClaims(defaults).claimOf(made("b", 1, rule("A.test", "/")))) || a.equal(nil) || a.equal(NewClaims(defaults).claimOf(made("a", 2, rule("a.test", "")))) {
		t.Error("equal claims differ, or others do not")
	}
	a.created = a.created.In(time.FixedZone("elsewhere", 3600))
	if !a.equal(NewClaims(defaults).claimOf(made("a", 1, rule("a.test", "")))) {
		t.Error("another time zone made a difference")
	}
}
