//go:build charts

package charts_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the golden files and the manifests in config")

const chart = root + "/charts/keda-add-ons-http"

// tool returns the path of helm or kustomize.
func tool(t *testing.T, name string) string {
	t.Helper()
	out, err := output(exec.CommandContext(t.Context(), root+"/hack/tools/install.sh", "charts", name))
	if err != nil {
		t.Fatalf("installing %s: %v", name, err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), name)
}

func output(command *exec.Cmd) ([]byte, error) {
	command.Stderr = os.Stderr
	return command.Output()
}

// render is helm template.
func render(t *testing.T, helm, chart string, r release) []byte {
	t.Helper()
	args := []string{"template", r.name, chart, "--namespace", r.namespace}
	if r.values != "" {
		args = append(args, "--values", r.values)
	}
	text, err := output(exec.CommandContext(t.Context(), helm, args...))
	if err != nil {
		t.Fatalf("rendering %s: %v", r.golden, err)
	}
	return text
}

// withoutDefinitions drops the CustomResourceDefinitions: they are compared with
// what they are copies of.
func withoutDefinitions(text []byte) []byte {
	var kept []string
	for document := range strings.SplitSeq(string(text), "---\n") {
		if document != "" && !strings.Contains(document, "\nkind: CustomResourceDefinition\n") {
			kept = append(kept, document)
		}
	}
	return []byte(strings.Join(kept, "---\n"))
}

func TestGolden(t *testing.T) {
	helm := tool(t, "helm")
	for _, r := range releases() {
		t.Run(r.golden, func(t *testing.T) {
			if r.values != "" {
				r.values = filepath.Join("testdata", "values", r.values)
			}
			compare(t, golden(r.golden), withoutDefinitions(render(t, helm, chart, r)))
		})
	}
}

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(read(t, name)), string(got)); diff != "" {
		t.Errorf("%s (-want +got), rewrite it with -update:\n%s", name, diff)
	}
}

func TestLint(t *testing.T) {
	helm := tool(t, "helm")
	for _, values := range []string{"full.yaml", "snake-case-tls.yaml"} {
		lint := exec.CommandContext(t.Context(), helm, "lint", "--strict", chart, "--values", filepath.Join("testdata", "values", values))
		if out, err := lint.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", values, err, out)
		}
	}
}

// Without a cluster helm shows no notes: a template that includes them does.
func TestNotes(t *testing.T) {
	helm := tool(t, "helm")
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(chart)); err != nil {
		t.Fatal(err)
	}
	include := `notes: {{ include (print $.Template.BasePath "/NOTES.txt") . | toJson }}`
	if err := os.WriteFile(filepath.Join(copied, "templates", "shown.yaml"), []byte(include), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		reason, values string
		want, never    []string
	}{
		{
			reason: "the address to send traffic to and no warning",
			want:   []string{"keda-add-ons-http-interceptor-proxy.keda, port 8080", "interceptorRoute: app", "raises that to the 3 of"},
			never:  []string{"WARNING", "deprecated", "(HTTPS", "<no value>"},
		},
		{
			reason: "a drain that outlives the pod",
			values: "interceptor: {drainTimeout: 41s}",
			want:   []string{"WARNING: interceptor.terminationGracePeriodSeconds (45)"},
		},
		{
			reason: "a drain that just fits with 5 s + 39.5 s",
			values: "interceptor: {drainTimeout: 0m39s500ms}",
			never:  []string{"WARNING"},
		},
		{
			reason: "old names",
			values: "interceptor: {replicas: {waitTimeout: 20s}, tls: {skip_verify: false}}",
			want:   []string{"waitTimeout is deprecated", "snake_case are deprecated"},
		},
		{
			reason: "values that 0.16 had removed",
			values: "interceptor: {keepAlive: 1s, idleConnTimeout: 1s, tlsHandshakeTimeout: 1s, expectContinueTimeout: 1s}",
			want: []string{
				"WARNING: interceptor.keepAlive has", "WARNING: interceptor.idleConnTimeout has",
				"WARNING: interceptor.tlsHandshakeTimeout has", "WARNING: interceptor.expectContinueTimeout has",
			},
		},
		{
			reason: "tokens in clear text",
			values: "operator: {metrics: {secure: false}}",
			want:   []string{"WARNING: operator.metrics.auth"},
		},
	} {
		t.Run(test.reason, func(t *testing.T) {
			r := release{name: "r", namespace: "keda", values: filepath.Join(t.TempDir(), "values.yaml")}
			if err := os.WriteFile(r.values, []byte(test.values), 0o644); err != nil {
				t.Fatal(err)
			}
			var notes string
			for _, object := range decode(t, render(t, helm, copied, r)) {
				if text, ok := object.Object["notes"].(string); ok {
					notes = text
				}
			}
			for _, text := range test.want {
				if !strings.Contains(notes, text) {
					t.Errorf("no %q in:\n%s", text, notes)
				}
			}
			for _, text := range append(test.never, "%!") {
				if strings.Contains(notes, text) {
					t.Errorf("%q in:\n%s", text, notes)
				}
			}
		})
	}
}

// The interceptor may read exactly those ConfigMaps that its settings tell it to read.
func TestRightsToConfigMaps(t *testing.T) {
	helm := tool(t, "helm")
	for _, test := range []struct {
		values string
		want   []string
	}{
		{"{}", []string{"*"}},
		{"routes: {configMaps: {enabled: false}}", nil},
		{"routes: {configMaps: {enabled: false, namespaces: [a]}}", nil},
		{"routes: {configMaps: {namespaces: [b, a, b]}}", []string{"a", "b"}},
		{"operator: {watchNamespace: a}", []string{"a"}},
		{"{routes: {configMaps: {namespaces: [b, a]}}, operator: {watchNamespace: a}}", []string{"a"}},
		{"{routes: {configMaps: {namespaces: [b]}}, operator: {watchNamespace: a}}", nil},
		{"{routes: {configMaps: {enabled: false}}, operator: {watchNamespace: a}}", nil},
	} {
		r := release{name: "r", namespace: "keda", values: filepath.Join(t.TempDir(), "values.yaml")}
		if err := os.WriteFile(r.values, []byte(test.values), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := configMaps(t, render(t, helm, chart, r)); !slices.Equal(got, test.want) {
			t.Errorf("%s: the interceptor reads the ConfigMaps of %q, want %q", test.values, got, test.want)
		}
	}
}

// By default KEDA is beside the release, with the labels of its own manifests.
func TestNetworkPoliciesOfDefaults(t *testing.T) {
	r := release{name: "r", namespace: "keda", values: filepath.Join(t.TempDir(), "values.yaml")}
	if err := os.WriteFile(r.values, []byte("networkPolicy: {enabled: true}"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, everybody := admitted(t, render(t, tool(t, "helm"), chart, r), "keda", "keda-operator")
	want := map[string][]string{
		"external-scaler grpc":    {"KEDA"},
		"external-scaler metrics": everybody,
		"interceptor admin":       {"the scaler"},
		"interceptor metrics":     everybody,
		"interceptor proxy":       everybody,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("who reaches what (-want +got):\n%s", diff)
	}
}

func TestSchemaRefuses(t *testing.T) {
	helm := tool(t, "helm")
	for _, test := range []struct{ reason, values, says string }{
		{"an unknown word", "operator: {pullPolicy: Sometimes}", "pullPolicy"},
		{"a duration without unit", "interceptor: {drainTimeout: 30}", "drainTimeout"},
		{"a port above all", "interceptor: {admin: {port: 70000}}", "port"},
		{"a list that is a text", "scaler: {tolerations: none}", "tolerations"},
		{"interceptors that nobody would wake", "interceptor: {replicas: {min: 0}}", "min"},
		{"interceptors that nobody would wake as text", "interceptor: {replicas: {min: '0'}}", "min"},
		{"more than one namespace", "operator: {watchNamespace: 't1,t4'}", "watchNamespace"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			values := filepath.Join(t.TempDir(), "values.yaml")
			if err := os.WriteFile(values, []byte(test.values), 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), helm, "template", chart, "--values", values).CombinedOutput()
			if err == nil || !bytes.Contains(out, []byte(test.says)) {
				t.Errorf("error %v, want one about %s:\n%.500s", err, test.says, out)
			}
		})
	}
}

// What values mean beyond the golden files, as 0.16 has it.
func TestMeanings(t *testing.T) {
	helm := tool(t, "helm")
	for _, test := range []struct {
		reason, values string
		want, never    []string
	}{
		{
			reason: "no operator", values: "operator: {replicas: 0}",
			never: []string{"controller-manager", "name: keda-add-ons-http\n", "-auth-delegator"},
		},
		{
			reason: "an appProtocol for both ports", values: "interceptor: {proxy: {appProtocol: http}, tls: {enabled: true}}",
			want: []string{"targetPort: proxy-tls\n      appProtocol: http\n"},
		},
		{
			reason: "the old key overrides also with false", values: "interceptor: {tls: {skip_verify: false, skipVerify: true}}",
			never: []string{"KEDA_HTTP_TLS_SKIP_VERIFY"},
		},
		{
			reason: "the new name of a timeout wins", values: "interceptor: {readinessTimeout: 7s, replicas: {waitTimeout: 9s}}",
			want: []string{"value: 7s"}, never: []string{"9s"},
		},
		{
			reason: "node labels besides that of the system", values: "scaler: {nodeSelector: {pool: a, kubernetes.io/os: other}}",
			want: []string{"nodeSelector:\n        kubernetes.io/os: other\n        pool: a\n", "nodeSelector:\n        kubernetes.io/os: linux\n"},
		},
	} {
		t.Run(test.reason, func(t *testing.T) {
			r := release{name: "r", namespace: "keda", values: filepath.Join(t.TempDir(), "values.yaml")}
			if err := os.WriteFile(r.values, []byte(test.values), 0o644); err != nil {
				t.Fatal(err)
			}
			text := string(withoutDefinitions(render(t, helm, chart, r)))
			for _, part := range test.want {
				if !strings.Contains(text, part) {
					t.Errorf("no %q in:\n%s", part, text)
				}
			}
			for _, part := range test.never {
				if strings.Contains(text, part) {
					t.Errorf("%q in:\n%s", part, text)
				}
			}
		})
	}
}

// A limit is any quantity that Kubernetes takes, and a number as YAML reads it.
func TestMemoryLimits(t *testing.T) {
	helm := tool(t, "helm")
	for limit, want := range map[string]string{
		"64Mi": "60397977", "1e9": "900000000", `"1e9"`: "900000000", "1E9": "900000000", "1T": "900000000000", "2Ti": "1979120929996",
		"100000000000m": "90000000", "128974848": "116077363", "1.5Gi": "1449551462", `"12.5e7"`: "112500000", "1G": "900000000",
	} {
		r := release{golden: limit, name: "r", namespace: "keda", values: filepath.Join(t.TempDir(), "values.yaml")}
		if err := os.WriteFile(r.values, []byte("scaler: {resources: {limits: {memory: "+limit+"}}}"), 0o644); err != nil {
			t.Fatal(err)
		}
		d := of[appsv1.Deployment](t, decode(t, render(t, helm, chart, r)), "Deployment")["keda-add-ons-http-external-scaler"]
		got := ""
		for _, env := range d.Spec.Template.Spec.Containers[0].Env {
			if env.Name == "GOMEMLIMIT" {
				got = env.Value
			}
		}
		if got != want {
			t.Errorf("%s: GOMEMLIMIT is %q, want %s", limit, got, want)
		}
	}
}

// Every value has an effect: with all of them set, going back to the default of any one changes
// the rendered objects.
func TestEveryValueMatters(t *testing.T) {
	loses := map[string]string{
		"interceptor.replicas.waitTimeout":       "interceptor.readinessTimeout wins",
		"interceptor.pdb.maxUnavailable":         "interceptor.pdb.minAvailable wins",
		"interceptor.maxIdleConns":               "interceptor.extraEnvs wins",
		"interceptor.pdb.enabled":                "is on by default",
		"interceptor.metrics.prometheus.enabled": "is on by default",
		"routes.configMaps.enabled":              "is on by default",
		"operator.wakePhases.enabled":            "is on by default",
	}
	helm := tool(t, "helm")
	full := settings(t, "testdata/values/full.yaml")
	all := render(t, helm, chart, release{golden: "full", name: "edge", namespace: "traffic", values: "testdata/values/full.yaml"})
	for path := range leaves(settings(t, chart+"/values.yaml")) {
		if loses[path] != "" {
			continue
		}
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			values := filepath.Join(t.TempDir(), "values.yaml")
			text, err := sigsyaml.Marshal(without(full, strings.Split(path, ".")))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(values, text, 0o644); err != nil {
				t.Fatal(err)
			}
			if bytes.Equal(all, render(t, helm, chart, release{golden: path, name: "edge", namespace: "traffic", values: values})) {
				t.Error("the value changes nothing")
			}
		})
	}
}

// without copies values, except one path.
func without(values map[string]any, path []string) map[string]any {
	copied := map[string]any{}
	for key, v := range values {
		switch section, ok := v.(map[string]any); {
		case key != path[0]:
			copied[key] = v
		case ok && len(path) > 1:
			copied[key] = without(section, path[1:])
		}
	}
	return copied
}

func TestDefinitionsAreThoseOfConfig(t *testing.T) {
	rendered := map[string]*unstructured.Unstructured{}
	for _, object := range decode(t, render(t, tool(t, "helm"), chart, releases()[0])) {
		rendered[object.GetName()] = object
	}
	files, err := filepath.Glob(root + "/config/crd/bases/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no definitions", err)
	}
	for _, file := range files {
		want := decode(t, read(t, file))[0]
		got := rendered[want.GetName()]
		if got == nil {
			t.Fatalf("%s is not rendered", want.GetName())
		}
		if diff := cmp.Diff(want.Object["spec"], got.Object["spec"]); diff != "" {
			t.Errorf("%s (-config +chart):\n%s", want.GetName(), diff)
		}
		if got.GetAnnotations()["helm.sh/resource-policy"] != "keep" {
			t.Errorf("%s goes away with the release, and all routes with it", want.GetName())
		}
	}
}

// leaves returns the paths of the defaults in values.yaml. A map that holds a
// Kubernetes type, or is empty, is one value.
func leaves(values map[string]any) map[string]any {
	found := map[string]any{}
	whole := []string{"resources", "securityContext", "podSecurityContext"}
	for key, v := range values {
		section, ok := v.(map[string]any)
		if !ok || len(section) == 0 || slices.Contains(whole, key) {
			found[key] = v
			continue
		}
		for path, leaf := range leaves(section) {
			found[key+"."+path] = leaf
		}
	}
	return found
}
