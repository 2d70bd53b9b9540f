package charts_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// selector is what 0.16 selects by: no upgrade can change it.
func selector(component, release string) map[string]string {
	return map[string]string{
		"app.kubernetes.io/component":  component,
		"app.kubernetes.io/instance":   release,
		"app.kubernetes.io/managed-by": "Helm",
		"app.kubernetes.io/name":       "http-add-on",
		"app.kubernetes.io/part-of":    "keda-add-ons-http",
	}
}

// each runs a test on the objects of every golden render of the chart.
func each(t *testing.T, test func(*testing.T, release, []*unstructured.Unstructured)) {
	for _, r := range releases() {
		t.Run(r.golden, func(t *testing.T) { test(t, r, decode(t, read(t, golden(r.golden)))) })
	}
}

// of returns the objects of a kind by name.
func of[T any](t *testing.T, objects []*unstructured.Unstructured, kind string) map[string]T {
	t.Helper()
	found := map[string]T{}
	for _, object := range objects {
		if object.GetKind() == kind {
			found[object.GetName()] = convert[T](t, object)
		}
	}
	return found
}

// The names of a release of 0.16 with its default values: an upgrade must meet
// its objects, and people's Ingresses and dashboards refer to them.
func TestNamesOfTheDefaultRelease(t *testing.T) {
	got := map[string][]string{}
	for _, object := range decode(t, read(t, golden("default.yaml"))) {
		got[object.GetKind()] = append(got[object.GetKind()], object.GetName())
	}
	for _, names := range got {
		slices.Sort(names)
	}
	const p = "keda-add-ons-http" // the chart, and here the release too
	want := map[string][]string{
		"Deployment":          {p + "-controller-manager", p + "-external-scaler", p + "-interceptor"},
		"Service":             {p + "-controller-manager-metrics-service", p + "-external-scaler", p + "-interceptor-admin", p + "-interceptor-proxy"},
		"ServiceAccount":      {p, p + "-external-scaler", p + "-interceptor"},
		"ScaledObject":        {p + "-interceptor"},
		"PodDisruptionBudget": {p + "-interceptor"},
		"Role":                {p + "-external-scaler", p + "-role"},
		"RoleBinding":         {p + "-external-scaler", p + "-role-rolebinding"},
		"ClusterRole":         {p + "-edit", p + "-external-scaler", p + "-interceptor", p + "-metrics-reader", p + "-role", p + "-view"},
		"ClusterRoleBinding":  {p + "-auth-delegator", p + "-external-scaler", p + "-interceptor", p + "-role-rolebinding"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Names of what belongs to the cluster begin with the release's name.
func TestClusterNamesBelongToTheRelease(t *testing.T) {
	want := []string{"edge-edit", "edge-external-scaler", "edge-interceptor", "edge-interceptor-configmaps", "edge-metrics-reader", "edge-role", "edge-view"}
	roles := of[rbacv1.ClusterRole](t, decode(t, read(t, golden("full.yaml"))), "ClusterRole")
	if got := slices.Sorted(maps.Keys(roles)); !slices.Equal(got, want) {
		t.Errorf("cluster roles %v, want %v", got, want)
	}
}

func TestSelectors(t *testing.T) {
	components := map[string]string{
		"keda-add-ons-http-interceptor":        "interceptor",
		"keda-add-ons-http-external-scaler":    "scaler",
		"keda-add-ons-http-controller-manager": "operator",
	}
	each(t, func(t *testing.T, r release, objects []*unstructured.Unstructured) {
		pods := map[string]map[string]string{}
		for name, d := range of[appsv1.Deployment](t, objects, "Deployment") {
			want := selector(components[name], r.name)
			if diff := cmp.Diff(want, d.Spec.Selector.MatchLabels); diff != "" {
				t.Errorf("Deployment %s (-want +got):\n%s", name, diff)
			}
			if !contains(d.Spec.Template.Labels, want) {
				t.Errorf("pods of %s are not selected: %v", name, d.Spec.Template.Labels)
			}
			pods[components[name]] = d.Spec.Template.Labels
		}
		for name, s := range of[corev1.Service](t, objects, "Service") {
			component := s.Spec.Selector["app.kubernetes.io/component"]
			if diff := cmp.Diff(selector(component, r.name), s.Spec.Selector); diff != "" {
				t.Errorf("Service %s (-want +got):\n%s", name, diff)
			}
		}
		for name, b := range of[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget") {
			if !contains(pods["interceptor"], b.Spec.Selector.MatchLabels) {
				t.Errorf("PodDisruptionBudget %s selects no interceptor: %v", name, b.Spec.Selector)
			}
			if (b.Spec.MinAvailable == nil) == (b.Spec.MaxUnavailable == nil) {
				t.Errorf("PodDisruptionBudget %s needs one of minAvailable and maxUnavailable", name)
			}
		}
	})
}

func contains(all, some map[string]string) bool {
	for key, value := range some {
		if all[key] != value {
			return false
		}
	}
	return true
}

func TestLabelsAddedByTheUser(t *testing.T) {
	for _, object := range decode(t, read(t, golden("full.yaml"))) {
		if object.GetLabels()["team"] != "edge" {
			t.Errorf("%s %s lacks the additional label", object.GetKind(), object.GetName())
		}
	}
	for name, d := range of[appsv1.Deployment](t, decode(t, read(t, golden("full.yaml"))), "Deployment") {
		if d.Spec.Template.Labels["team"] != "edge" {
			t.Errorf("pods of %s lack the additional label", name)
		}
	}
}

// Port names are what PodMonitors and probes refer to.
func TestPorts(t *testing.T) {
	want := map[string]map[string][]string{
		"default.yaml": {
			"keda-add-ons-http-interceptor":     {"admin", "metrics", "proxy"},
			"keda-add-ons-http-external-scaler": {"grpc", "metrics"},
			"keda-add-ons-http-operator":        {"metrics", "probes"},
		},
		"full.yaml": {
			"keda-add-ons-http-interceptor":     {"admin", "metrics", "proxy", "proxy-tls"},
			"keda-add-ons-http-external-scaler": {"grpc"}, // Prometheus is off
			"keda-add-ons-http-operator":        {"metrics", "probes"},
		},
		"snake-case-tls.yaml": {
			"keda-add-ons-http-interceptor":     {"admin", "metrics", "proxy", "proxy-tls"},
			"keda-add-ons-http-external-scaler": {"grpc", "metrics"},
			"keda-add-ons-http-operator":        {"metrics", "probes"},
		},
	}
	each(t, func(t *testing.T, r release, objects []*unstructured.Unstructured) {
		got := map[string][]string{}
		byComponent := map[string][]string{}
		for _, d := range of[appsv1.Deployment](t, objects, "Deployment") {
			for _, container := range d.Spec.Template.Spec.Containers {
				var names []string
				for _, port := range container.Ports {
					names = append(names, port.Name)
				}
				slices.Sort(names)
				got[container.Name] = names
				byComponent[d.Spec.Template.Labels["app.kubernetes.io/component"]] = names
			}
		}
		if diff := cmp.Diff(want[r.golden], got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for name, s := range of[corev1.Service](t, objects, "Service") {
			for _, port := range s.Spec.Ports {
				if !slices.Contains(byComponent[s.Spec.Selector["app.kubernetes.io/component"]], port.TargetPort.StrVal) {
					t.Errorf("Service %s leads to port %q, which no pod has", name, port.TargetPort.StrVal)
				}
			}
		}
	})
}

// The Services that people send their traffic and their scripts to.
func TestServicePorts(t *testing.T) {
	got := map[string]int32{}
	for name, s := range of[corev1.Service](t, decode(t, read(t, golden("default.yaml"))), "Service") {
		got[name] = s.Spec.Ports[0].Port
	}
	want := map[string]int32{
		"keda-add-ons-http-interceptor-proxy":                  8080,
		"keda-add-ons-http-interceptor-admin":                  9090,
		"keda-add-ons-http-external-scaler":                    9090,
		"keda-add-ons-http-controller-manager-metrics-service": 8443,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The keys of 0.16's TLS values are read, and win over the defaults of the new ones.
func TestOldKeysOfTLS(t *testing.T) {
	d := of[appsv1.Deployment](t, decode(t, read(t, golden("snake-case-tls.yaml"))), "Deployment")["keda-add-ons-http-interceptor"]
	pod := d.Spec.Template.Spec
	got := map[string]string{"secret": pod.Volumes[0].Secret.SecretName}
	for _, env := range pod.Containers[0].Env {
		got[env.Name] = env.Value
	}
	want := map[string]string{
		"secret":                        "edge-certs",
		"KEDA_HTTP_PROXY_TLS_ENABLED":   "true",
		"KEDA_HTTP_PROXY_TLS_CERT_PATH": "/certs/server.pem",
		"KEDA_HTTP_PROXY_TLS_KEY_PATH":  "/certs/server-key.pem",
		"KEDA_HTTP_TLS_SKIP_VERIFY":     "true",
		"KEDA_HTTP_READINESS_TIMEOUT":   "20s",
		"KEDA_HTTP_DIRECT_POD_ROUTING":  "false", // the user's, in place of the chart's
		"KEDA_HTTP_LOG_REQUESTS":        "true",
		"KEDA_HTTP_TLS_CIPHER_SUITES":   "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
		"KEDA_HTTP_PROXY_PORT":          "8080",
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
}
