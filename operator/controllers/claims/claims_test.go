package claims

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/operator/controllers/conditions"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/tests/support/objects"
)

// made returns a route made that many seconds after the others began.
func made(name string, age int, hosts ...string) *v1beta1.InterceptorRoute {
	return objects.InterceptorRoute("apps", name, "", func(r *v1beta1.InterceptorRoute) {
		r.CreationTimestamp = metav1.Unix(int64(age), 0)
		r.Spec.Rules = []v1beta1.RoutingRule{{Hosts: hosts}}
	})
}

func TestConflictsAreWarningsIfSomethingIsLeft(t *testing.T) {
	c := New(route.Limits{})
	old := made("old", 1, "shop.test")
	c.routes.Set(api.KindInterceptorRoute, client.ObjectKeyFromObject(old), old)
	for _, test := range []struct {
		reason  string
		route   *v1beta1.InterceptorRoute
		warning bool
	}{{"all is lost", made("new", 2, "shop.test"), false}, {"some is lost", made("new", 2, "shop.test", "blog.test"), true}} {
		want := []conditions.Problem{{
			Reason:  route.ReasonRouteConflict,
			Message: "requests for shop.test/ go to the route apps/old, which has the same rule and comes first",
			Warning: test.warning,
		}}
		if diff := cmp.Diff(want, c.Conflicts(test.route)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", test.reason, diff)
		}
	}
	if got := c.Conflicts(made("new", 2, "blog.test")); got != nil {
		t.Errorf("nothing is lost: %v", got)
	}
}
