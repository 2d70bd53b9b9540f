package charts_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/kedacore/http-add-on/standalone/schema"
)

func seconds(t *testing.T, text string) float64 {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d.Seconds()
}

// What each ServiceAccount may do in a release with default values: a line for
// each binding. More is a decision, and shows up here.
func TestWhatEachAccountMayDo(t *testing.T) {
	objects := decode(t, read(t, golden("default.yaml")))
	roles := of[rbacv1.ClusterRole](t, objects, "ClusterRole")
	local := of[rbacv1.Role](t, objects, "Role")
	got := map[string][]string{}
	grant := func(where string, ref rbacv1.RoleRef, subjects []rbacv1.Subject, rules []rbacv1.PolicyRule) {
		for _, subject := range subjects {
			if ref.Name == "system:auth-delegator" {
				got[subject.Name] = append(got[subject.Name], where+": "+ref.Name)
			}
			for _, rule := range rules {
				for _, group := range rule.APIGroups {
					got[subject.Name] = append(got[subject.Name], fmt.Sprintf("%s: %s %s/%s",
						where, strings.Join(rule.Verbs, ","), group, strings.Join(rule.Resources, ",")))
				}
			}
			slices.Sort(got[subject.Name])
		}
	}
	for _, b := range of[rbacv1.ClusterRoleBinding](t, objects, "ClusterRoleBinding") {
		grant("cluster", b.RoleRef, b.Subjects, roles[b.RoleRef.Name].Rules)
	}
	for _, b := range of[rbacv1.RoleBinding](t, objects, "RoleBinding") {
		grant("release", b.RoleRef, b.Subjects, local[b.RoleRef.Name].Rules)
	}
	want := map[string][]string{
		"keda-add-ons-http-interceptor": {
			"cluster: list,watch /configmaps,services",
			"cluster: list,watch discovery.k8s.io/endpointslices",
			"cluster: list,watch http.keda.sh/httpscaledobjects,interceptorroutes",
		},
		"keda-add-ons-http-external-scaler": {
			"cluster: list,watch http.keda.sh/httpscaledobjects,interceptorroutes",
			"release: list,watch discovery.k8s.io/endpointslices",
		},
		"keda-add-ons-http": {
			"cluster: create events.k8s.io/events",
			"cluster: create,delete,list,patch,watch keda.sh/scaledobjects",
			"cluster: get /configmaps",
			"cluster: list /events", // of a wake that is stuck
			"cluster: list,watch /configmaps,services",
			"cluster: list,watch /pods", // of targets that wake
			"cluster: list,watch http.keda.sh/httpscaledobjects,interceptorroutes",
			"cluster: patch http.keda.sh/httpscaledobjects",
			"cluster: patch http.keda.sh/httpscaledobjects/status,interceptorroutes/status",
			"cluster: system:auth-delegator",
			"cluster: update http.keda.sh/httpscaledobjects/finalizers",
			"release: create /events",
			"release: create,get,update coordination.k8s.io/leases",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The ConfigMaps that the interceptor may read in a render: "namespace" of each right,
// "*" is all.
func configMaps(t *testing.T, text []byte) (may []string) {
	t.Helper()
	objects := decode(t, text)
	reads := func(role rbacv1.RoleRef) bool {
		return slices.ContainsFunc(of[rbacv1.ClusterRole](t, objects, "ClusterRole")[role.Name].Rules, func(rule rbacv1.PolicyRule) bool {
			return slices.Contains(rule.Resources, "configmaps")
		})
	}
	interceptors := func(subjects []rbacv1.Subject) bool {
		return slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool { return s.Name == "keda-add-ons-http-interceptor" })
	}
	for _, object := range objects {
		switch object.GetKind() {
		case "ClusterRoleBinding":
			if b := convert[rbacv1.ClusterRoleBinding](t, object); interceptors(b.Subjects) && reads(b.RoleRef) {
				may = append(may, "*")
			}
		case "RoleBinding":
			if b := convert[rbacv1.RoleBinding](t, object); interceptors(b.Subjects) && reads(b.RoleRef) {
				may = append(may, b.Namespace)
			}
		}
	}
	slices.Sort(may)
	return may
}

// With operator.watchNamespace nothing that operator and interceptor may do
// reaches beyond it.
func TestWatchNamespaceBinds(t *testing.T) {
	for _, object := range decode(t, read(t, golden("full.yaml"))) {
		if object.GetKind() == "ClusterRoleBinding" && object.GetName() != "edge-external-scaler" {
			t.Errorf("ClusterRoleBinding %s though only one namespace is watched", object.GetName())
		}
		if object.GetKind() == "RoleBinding" && object.GetNamespace() != "traffic" && object.GetNamespace() != "apps" {
			t.Errorf("RoleBinding %s is in %q, not in the namespace that is watched", object.GetName(), object.GetNamespace())
		}
	}
}

// The samples are valid, and none of their fields is dropped.
func TestSamples(t *testing.T) {
	validator, err := schema.New()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(root + "/config/samples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, file := range files {
		for _, object := range decode(t, read(t, file)) {
			if !strings.HasPrefix(object.GetAPIVersion(), "http.keda.sh/") {
				continue
			}
			kinds[object.GetKind()] = true
			checked := object.DeepCopy()
			checked.SetNamespace("default")
			if err := validator.Check(checked); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			if lost := dropped(object.Object, checked.Object, ""); len(lost) > 0 {
				t.Errorf("%s: fields that are not in the schema: %v", file, lost)
			}
		}
	}
	if len(kinds) != 2 {
		t.Errorf("samples of %v, want both kinds", kinds)
	}
}

// dropped returns the fields of an object that a copy of it lacks.
func dropped(object, checked map[string]any, path string) []string {
	var lost []string
	for key, value := range object {
		have, ok := checked[key]
		if !ok {
			lost = append(lost, path+key)
			continue
		}
		section, isMap := value.(map[string]any)
		if copied, ok := have.(map[string]any); isMap && ok {
			lost = append(lost, dropped(section, copied, path+key+".")...)
		}
	}
	return lost
}

// The copies of the definitions in the chart are those of config/crd/bases.
func TestDefinitionsAreCopied(t *testing.T) {
	const copies = root + "/charts/keda-add-ons-http/files/crds"
	entries, err := os.ReadDir(copies)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d copies, %v; want 2", len(entries), err)
	}
	for _, entry := range entries {
		if diff := cmp.Diff(string(read(t, filepath.Join(root, "config/crd/bases", entry.Name()))), string(read(t, filepath.Join(copies, entry.Name())))); diff != "" {
			t.Errorf("%s is stale, run hack/generate.sh (-config +chart):\n%s", entry.Name(), diff)
		}
	}
}
