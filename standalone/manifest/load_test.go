package manifest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/standalone/schema"
)

func newChecker(t *testing.T) Checker {
	t.Helper()
	validator, err := schema.New()
	if err != nil {
		t.Fatal(err)
	}
	return Checker{Schema: validator}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const service = `apiVersion: v1
kind: Service
metadata:
  name: %s
spec:
  ports:
    - port: 80
`

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: d
spec:
  selector:
    matchLabels: {app: d}
  template:
    metadata:
      labels: {app: d}
    spec:
      containers:
        - name: c
          command: [run]
          ports:
            - name: http
              containerPort: 8000
`

const interceptorRoute = `apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata:
  name: r
spec:
  target:
    service: s
    port: 80
  scalingMetric:
    concurrency:
      targetValue: 1
`

// TestProblems says for each mistake on which line it is reported.
func TestProblems(t *testing.T) {
	swap := func(text, old, replacement string) string {
		if !strings.Contains(text, old) {
			t.Fatalf("%q is not in the manifest", old)
		}
		return strings.Replace(text, old, replacement, 1)
	}
	tests := map[string]struct {
		text string
		want []string // "line: reason", the reason from its beginning
	}{
		"nothing wrong": {text: "# comment\n---\n" + interceptorRoute + "---\n" + deployment + "--- # and\n" + fmt.Sprintf(service, "s")},
		"syntax":        {text: "kind: Service\nmetadata: {name: x\nspec:\n", want: []string{"2: reading YAML: did not find expected"}},
		"not an object": {text: "- a\n- b\n", want: []string{"1: json: cannot unmarshal array"}},
		"tab":           {text: "kind: Service\nmetadata:\n\tname: x\n", want: []string{"3: reading YAML: found character that cannot start any token"}},
		"same key twice": {
			text: "kind: Service\napiVersion: v1\nkind: Service\n",
			want: []string{`3: reading YAML: `},
		},
		"unknown kind": {
			text: "# why\napiVersion: batch/v1\nkind: Job\nmetadata: {name: x}\n",
			want: []string{`3: apiVersion "batch/v1", kind "Job" is not understood here: only InterceptorRoute`},
		},
		"unknown version": {
			text: swap(interceptorRoute, "v1beta1", "v2"),
			want: []string{`2: apiVersion "http.keda.sh/v2", kind "InterceptorRoute" is not understood here`},
		},
		"no kind and no name": {
			text: "apiVersion: v1\nmetadata:\n  labels: {}\n",
			want: []string{"1: kind: Required value", "2: metadata.name: Required value"},
		},
		"bad name": {text: swap(interceptorRoute, "name: r", "name: R_1"), want: []string{`4: metadata.name: Invalid value: "R_1"`}},

		"route: unknown field":  {text: swap(interceptorRoute, "    port: 80", "    port: 80\n    host: x"), want: []string{`9: unknown field "spec.target.host"`}},
		"route: missing field":  {text: swap(interceptorRoute, "    concurrency:\n      targetValue: 1\n", "    {}\n"), want: []string{`9: spec.scalingMetric: Invalid value: at least one of 'concurrency' or 'requestRate' must be set`}},
		"route: CEL rule":       {text: swap(interceptorRoute, "    port: 80", "    port: 80\n    portName: http"), want: []string{"6: spec.target: Invalid value: exactly one of 'port' or 'portName' must be set"}},
		"route: wrong type":     {text: swap(interceptorRoute, "port: 80", "port: http"), want: []string{"8: spec.target.port: Invalid value"}},
		"route: two mistakes":   {text: swap(swap(interceptorRoute, "port: 80", "port: 0"), "targetValue: 1", "targetValue: 0"), want: []string{"8: spec.target.port: ", "11: spec.scalingMetric.concurrency.targetValue: "}},
		"route: wrong duration": {text: interceptorRoute + "  timeouts:\n    readiness: soon\n", want: []string{`13: time: invalid duration "soon"`}},

		"deployment: unknown field": {text: swap(deployment, "          command", "          comand: [x]\n          command"), want: []string{`14: unknown field "spec.template.spec.containers[0].comand"`}},
		"deployment: wrong type":    {text: swap(deployment, "spec:\n", "spec:\n  replicas: two\n"), want: []string{"6: json: cannot unmarshal string into Go struct field"}},
		"deployment: deep type":     {text: swap(deployment, "containerPort: 8000", "containerPort: web"), want: []string{"17: json: cannot unmarshal string into Go struct field"}},
		"deployment: no command":    {text: swap(deployment, "command: [run]", "image: x"), want: []string{"13: spec.template.spec.containers[0].command: Required value"}},
		"deployment: our own port": {
			text: swap(deployment, "containerPort: 8000", "containerPort: 8080"),
			want: []string{"17: spec.template.spec.containers[0].ports[0].containerPort: Invalid value: 8080: standalone itself listens on this port: have the program listen on another one, or set KEDA_HTTP_PROXY_PORT"},
		},
		"deployment: no port":      {text: swap(deployment, "          ports:\n            - name: http\n              containerPort: 8000\n", ""), want: []string{"13: spec.template.spec.containers[0].ports: Required value"}},
		"deployment: selector":     {text: swap(deployment, "matchLabels: {app: d}", "matchLabels: {app: e}"), want: []string{"6: spec.selector: Invalid value"}},
		"deployment: exec probe":   {text: deployment + "          readinessProbe:\n            exec: {command: [x]}\n", want: []string{"18: spec.template.spec.containers[0].readinessProbe: Forbidden"}},
		"deployment: probe's port": {text: deployment + "          readinessProbe:\n            httpGet:\n              port: web\n", want: []string{`20: spec.template.spec.containers[0].readinessProbe.httpGet.port: Not found: "web"`}},
		"deployment: valueFrom":    {text: deployment + "          env:\n            - name: A\n              valueFrom: {secretKeyRef: {name: x, key: k}}\n", want: []string{"20: spec.template.spec.containers[0].env[0].valueFrom: Forbidden"}},
		"deployment: two containers": {
			text: deployment + "        - name: second\n",
			want: []string{"18: spec.template.spec.containers[1]: Forbidden: ignored"},
		},

		"service: ports without names": {text: fmt.Sprintf(service, "s") + "    - port: 81\n", want: []string{"7: spec.ports[0].name: Required value", "8: spec.ports[1].name: Required value"}},
		"scaled object: workload": {
			text: "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata:\n  name: s\nspec:\n  anything: 1\n  scaleTargetRef:\n    kind: StatefulSet\n    name: x\n  maxReplicaCount: 0\n  triggers: [{type: cron}]\n",
			want: []string{`8: spec.scaleTargetRef.kind: Unsupported value: "StatefulSet"`, "10: spec.maxReplicaCount: Invalid value", "11: spec.triggers: Required value"},
		},
	}
	checker := newChecker(t)
	checker.Ports = map[int32]string{8080: "KEDA_HTTP_PROXY_PORT"}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			path := filepath.Join(folder, "a.yaml")
			// What stands before and after a mistake is in effect all the same.
			before, after := fmt.Sprintf(service, "before"), fmt.Sprintf(service, "after")
			write(t, path, before+"---\n"+test.text+"---\n"+after)
			set, problems := Load([]string{folder}, checker, nil)
			for _, name := range []string{"before", "after"} {
				if _, found := set.Lookup(Reference{KindService, "default", name}); !found {
					t.Errorf("Service %s is not in effect", name)
				}
			}
			if len(problems) != len(test.want) {
				t.Fatalf("problems %v, want %v", problems, test.want)
			}
			offset := strings.Count(before, "\n") + 1
			for i, p := range problems {
				got := fmt.Sprintf("%d: %s", p.Line-offset, p.Reason)
				if p.File != path || !strings.HasPrefix(got, test.want[i]) {
					t.Errorf("problem %s %q, want %q", p.File, got, test.want[i])
				}
			}
		})
	}
}

func TestLoad(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "a.yaml"), interceptorRoute+"---\n"+deployment)
	write(t, filepath.Join(folder, "b.json"), `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","namespace":"other"},"data":{"k":"v"}}`)
	write(t, filepath.Join(folder, "notes.txt"), "not YAML: [")
	write(t, filepath.Join(folder, ".hidden.yaml"), "not YAML: [")
	set, problems := Load([]string{folder}, newChecker(t), nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var got []string
	for _, r := range set.References() {
		got = append(got, r.String())
	}
	want := []string{"ConfigMap other/c", "Deployment default/d", "InterceptorRoute default/r"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if d := All[*appsv1.Deployment](set); len(d) != 1 || d[0].Namespace != "default" {
		t.Errorf("Deployments %v", d)
	}
	if r := All[*unstructured.Unstructured](set); len(r) != 1 || r[0].GetNamespace() != "default" {
		t.Errorf("routes %v", r)
	}
}

func TestDefinedTwice(t *testing.T) {
	folder := t.TempDir()
	a, b := filepath.Join(folder, "a.yaml"), filepath.Join(folder, "b.yaml")
	write(t, a, interceptorRoute)
	write(t, b, "# again\n"+interceptorRoute)
	set, problems := Load([]string{folder}, newChecker(t), nil)
	want := b + ":2: InterceptorRoute default/r is already defined at " + a + ":1"
	if len(problems) != 1 || problems[0].String() != want {
		t.Errorf("problems %v, want %s", problems, want)
	}
	if e, _ := set.Lookup(Reference{api.KindInterceptorRoute, "default", "r"}); e.File != a {
		t.Errorf("the one in effect is from %s", e.File)
	}
}

// TestFaultyFileKeepsItsObjects is what kubectl apply does: a version that is
// refused replaces nothing.
func TestFaultyFileKeepsItsObjects(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "a.yaml")
	checker := newChecker(t)
	r := Reference{api.KindInterceptorRoute, "default", "r"}
	write(t, path, interceptorRoute)
	good, _ := Load([]string{folder}, checker, nil)

	write(t, path, strings.Replace(interceptorRoute, "port: 80", "port: 0", 1))
	kept, problems := Load([]string{folder}, checker, good)
	if _, found := kept.Lookup(r); !found || len(problems) != 1 {
		t.Errorf("kept %t, problems %v", found, problems)
	}
	if set, deleted := good.changes(kept); len(set)+len(deleted) > 0 {
		t.Errorf("changes %v %v", set, deleted)
	}

	write(t, path, fmt.Sprintf(service, "s"))
	next, problems := Load([]string{folder}, checker, kept)
	set, deleted := kept.changes(next)
	if len(problems) > 0 || len(set) != 1 || len(deleted) != 1 || deleted[0].Object.GetName() != "r" {
		t.Errorf("problems %v, set %v, deleted %v", problems, set, deleted)
	}
}

func TestUnreadableFile(t *testing.T) {
	folder := t.TempDir()
	if err := os.Symlink(filepath.Join(folder, "nowhere"), filepath.Join(folder, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "b.yaml"), interceptorRoute)
	set, problems := Load([]string{folder}, newChecker(t), nil)
	if len(problems) != 1 || len(set.References()) != 1 {
		t.Errorf("problems %v, objects %v", problems, set.References())
	}
}
