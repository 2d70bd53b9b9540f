package interceptorroute

import (
	"strings"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/operator/availability"
	"github.com/kedacore/http-add-on/operator/controllers/conditions"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/tests/support/objects"
)

// Interceptors do not read every ConfigMap, whatever the operator may read. Each field that names
// an unread one has a problem, which names the setting.
func TestConfigMapsThatInterceptorsDoNotRead(t *testing.T) {
	ref := &v1beta1.ConfigMapKeyRef{Name: "site", Key: "a"}
	object := objects.InterceptorRoute("apps", "shop", "shop.test", func(r *v1beta1.InterceptorRoute) {
		r.Spec.StaticRoutes = []v1beta1.StaticRoute{{Response: v1beta1.StaticResponse{BodyFromConfigMap: ref}}}
		r.Spec.ColdStart = &v1beta1.ColdStartSpec{
			Placeholder: &v1beta1.PlaceholderSpec{Response: v1beta1.StaticResponse{BodyFromConfigMap: ref}},
			WaitingPage: &v1beta1.WaitingPageSpec{BodyFromConfigMap: ref},
		}
	})
	unavailable := availability.New(corev1.SchemeGroupVersion.WithKind("ConfigMap"), nil, "", "", logr.Discard())
	for _, test := range []struct {
		reason  string
		allowed route.ConfigMaps
		setting string
	}{
		{"none", route.ConfigMaps{Off: true}, route.EnvConfigMaps},
		{"those of another namespace", route.ConfigMaps{Namespaces: []string{"other"}}, route.EnvConfigMapNamespaces},
		{"those of the namespace", route.ConfigMaps{Namespaces: []string{"apps"}}, ""},
		{"all", route.ConfigMaps{}, ""},
	} {
		x := &examination{Reconciler: &Reconciler{ConfigMaps: unavailable, Settings: route.Settings{ConfigMaps: test.allowed}}, route: object}
		if err := x.responses(t.Context()); err != nil {
			t.Fatal(err)
		}
		if test.setting == "" {
			if len(x.problems) > 0 {
				t.Errorf("%s: %v", test.reason, x.problems)
			}
			continue
		}
		if len(x.problems) != 3 {
			t.Fatalf("%s: %d problems, want one for each field: %v", test.reason, len(x.problems), x.problems)
		}
		for i, field := range []string{"staticRoutes[0]: ", "coldStart.placeholder: ", waitingPageField + ": "} {
			p := x.problems[i]
			if p.Reason != route.ReasonConfigMapNotAllowed || !p.Warning || !strings.HasPrefix(p.Message, field) || !strings.Contains(p.Message, test.setting) {
				t.Errorf("%s: %+v", test.reason, p)
			}
		}
		if routed := conditions.Verdict(api.ConditionRouted, x.problems, ""); routed.Reason != route.ReasonConfigMapNotAllowed {
			t.Errorf("%s: the condition is %+v", test.reason, routed)
		}
	}
}
