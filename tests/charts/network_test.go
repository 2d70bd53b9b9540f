package charts_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/kedacore/http-add-on/tests/support/policies"
)

// reaches reports whether a policy lets a pod in on a port.
func reaches(from policies.Pod, policy *networkingv1.NetworkPolicy, port string) bool {
	return slices.ContainsFunc(policy.Spec.Ingress, func(rule networkingv1.NetworkPolicyIngressRule) bool {
		return policies.Admits(rule, policy.Namespace, from, port)
	})
}

// admitted returns who reaches which port of a render, "component port", and who connects,
// KEDA being in a namespace with a label.
func admitted(t *testing.T, text []byte, namespace, app string) (got map[string][]string, everybody []string) {
	t.Helper()
	objects := decode(t, text)
	deployments := of[appsv1.Deployment](t, objects, "Deployment")
	pod := func(name string) policies.Pod {
		d := deployments["keda-add-ons-http-"+name]
		return policies.Pod{Namespace: d.Namespace, Labels: d.Spec.Template.Labels}
	}
	peers := map[string]policies.Pod{
		"KEDA":                          {Namespace: namespace, Labels: map[string]string{"app": app, "x": "y"}},
		"KEDA's labels elsewhere":       {Namespace: "apps", Labels: map[string]string{"app": app}},
		"another pod of its namespace":  {Namespace: namespace, Labels: map[string]string{"app": "other"}},
		"the scaler":                    pod("external-scaler"),
		"an interceptor":                pod("interceptor"),
		"the scaler's labels elsewhere": {Namespace: "apps", Labels: pod("external-scaler").Labels},
		"anybody":                       {Namespace: "apps", Labels: nil},
	}
	everybody, got = slices.Sorted(maps.Keys(peers)), map[string][]string{}
	for _, component := range []string{"external-scaler", "interceptor", "controller-manager"} {
		to := pod(component)
		for _, policy := range of[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy") {
			if policy.Namespace == "" { // that of kubectl apply -n
				policy.Namespace = to.Namespace
			}
			if !policies.Selects(&policy, to) {
				continue
			}
			if !slices.Equal(policy.Spec.PolicyTypes, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}) {
				t.Errorf("%s: types %v", policy.Name, policy.Spec.PolicyTypes)
			}
			for _, port := range deployments["keda-add-ons-http-"+component].Spec.Template.Spec.Containers[0].Ports {
				key := component + " " + port.Name
				for _, name := range everybody {
					if reaches(peers[name], &policy, port.Name) {
						got[key] = append(got[key], name)
					}
				}
			}
		}
	}
	return got, everybody
}

// Only KEDA reaches the scaler, only the scaler the admin port, and everybody the rest.
func TestNetworkPolicies(t *testing.T) {
	got, everybody := admitted(t, read(t, golden("full.yaml")), "scaling", "scaling")
	want := map[string][]string{
		"external-scaler grpc":  {"KEDA"}, // its metrics are off
		"interceptor admin":     {"the scaler"},
		"interceptor metrics":   everybody,
		"interceptor proxy":     everybody,
		"interceptor proxy-tls": everybody,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("who reaches what (-want +got):\n%s", diff)
	}
}

// The examples are for the names of the manifests and of the chart alike.
func TestExamplesOfNetworkPolicies(t *testing.T) {
	text := read(t, golden("default.yaml"))
	for _, name := range []string{"interceptor", "scaler", "operator"} {
		text = append(append(text, "\n---\n"...), read(t, root+"/examples/networkpolicy/"+name+".yaml")...)
	}
	got, everybody := admitted(t, text, "keda", "keda-operator")
	want := map[string][]string{
		"controller-manager metrics": everybody,
		"external-scaler grpc":       {"KEDA"},
		"external-scaler metrics":    everybody,
		"interceptor admin":          {"the scaler"},
		"interceptor metrics":        everybody,
		"interceptor proxy":          everybody,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("who reaches what (-want +got):\n%s", diff)
	}

	app := of[networkingv1.NetworkPolicy](t, decode(t, read(t, root+"/examples/networkpolicy/app.yaml")), "NetworkPolicy")["app"]
	app.Namespace = "apps"
	app.Spec.Ingress[0].Ports[0].Port.StrVal = "http" // a number in the file, as the application's port has no name that we know
	interceptor := of[appsv1.Deployment](t, decode(t, text), "Deployment")["keda-add-ons-http-interceptor"].Spec.Template.Labels
	for _, test := range []struct {
		from policies.Pod
		want bool
	}{
		{policies.Pod{Namespace: "keda", Labels: interceptor}, true},
		{policies.Pod{Namespace: "apps", Labels: interceptor}, false},
		{policies.Pod{Namespace: "keda", Labels: map[string]string{"app": "keda-operator"}}, false},
		{policies.Pod{Namespace: "apps", Labels: map[string]string{"app": "client"}}, false},
	} {
		if reaches(test.from, &app, "http") != test.want {
			t.Errorf("%v reaches the application: %t, want %t", test.from, !test.want, test.want)
		}
	}
}

func TestNoNetworkPolicyByDefault(t *testing.T) {
	for _, render := range []string{"default.yaml", "kustomize.yaml"} {
		for _, object := range decode(t, read(t, golden(render))) {
			if object.GetKind() == "NetworkPolicy" {
				t.Errorf("%s has the NetworkPolicy %s", render, object.GetName())
			}
		}
	}
}
