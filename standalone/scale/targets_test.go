package scale

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kedacore/http-add-on/standalone/manifest"
	"github.com/kedacore/http-add-on/standalone/schema"
)

func load(t *testing.T, text string) *manifest.Set {
	t.Helper()
	validator, err := schema.New()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "all.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set, problems := manifest.Load([]string{path}, manifest.Checker{Schema: validator}, nil)
	for _, p := range problems {
		t.Error(p)
	}
	return set
}

func deployment(name, replicas string) string {
	return `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ` + name + `}
spec:
  ` + replicas + `
  selector: {matchLabels: {app: ` + name + `}}
  template:
    metadata: {labels: {app: ` + name + `}}
    spec:
      containers: [{name: c, command: ["true"], ports: [{containerPort: 80}]}]
`
}

func interceptorRoute(name string) string {
	return `
---
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: ` + name + `}
spec:
  target: {service: s, port: 80}
  scalingMetric: {concurrency: {targetValue: 7}, requestRate: {targetValue: 3}}
`
}

func scaledObject(name, workload, route string) string {
	return `
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: ` + name + `}
spec:
  scaleTargetRef: {name: ` + workload + `}
  maxReplicaCount: 3
  cooldownPeriod: 20
  pollingInterval: 5
  triggers: [{type: external-push, metadata: {interceptorRoute: ` + route + `}}]
`
}

func httpScaledObject(name, workload, annotations string) string {
	return `
---
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {name: ` + name + `, annotations: {` + annotations + `}}
spec:
  scaleTargetRef: {name: ` + workload + `, service: s, port: 80}
  replicas: {min: 1, max: 4}
`
}

func TestCompile(t *testing.T) {
	const skip = `httpscaledobject.keda.sh/skip-scaledobject-creation: "true"`
	key := func(name string) types.NamespacedName {
		return types.NamespacedName{Namespace: "default", Name: name}
	}
	metrics := []Metric{{Route: "default/r", Concurrency: 7, Rate: 3, Window: time.Minute, Granularity: time.Second}}
	tests := map[string]struct {
		manifests string
		targets   []Target
		problems  []string
	}{
		"by a ScaledObject": {
			manifests: deployment("d", "replicas: 2") + interceptorRoute("r") + scaledObject("s", "d", "r"),
			targets:   []Target{{Workload: key("d"), Metrics: metrics, Max: 3, Cooldown: 20 * time.Second, Initial: 2}},
		},
		"by an HTTPScaledObject, by default": {
			manifests: deployment("d", "") + httpScaledObject("h", "d", ""),
			targets: []Target{{
				Workload: key("d"), Metrics: []Metric{{Route: "default/h", Concurrency: 100}},
				Min: 1, Max: 4, Cooldown: 300 * time.Second, Initial: 1,
			}},
		},
		"by nobody": {
			manifests: deployment("d", "replicas: 2") + deployment("e", "") + interceptorRoute("r"),
			targets:   []Target{{Workload: key("d"), Min: 2, Max: 2}, {Workload: key("e"), Min: 1, Max: 1}},
			problems:  []string{"InterceptorRoute default/r no ScaledObject has a trigger that names it"},
		},
		"twice": {
			manifests: deployment("d", "") + interceptorRoute("r") + scaledObject("s", "d", "r") + httpScaledObject("h", "d", ""),
			targets:   []Target{{Workload: key("d"), Metrics: metrics, Max: 3, Cooldown: 20 * time.Second, Initial: 1}},
			problems:  []string{"HTTPScaledObject default/h Deployment default/d is already scaled by ScaledObject default/s"},
		},
		"missing objects": {
			manifests: deployment("d", "") + scaledObject("s", "d", "r") + scaledObject("z", "x", "r"),
			targets:   []Target{{Workload: key("d"), Max: 3, Cooldown: 20 * time.Second, Initial: 1}},
			problems: []string{
				"ScaledObject default/s its trigger names InterceptorRoute default/r, which does not exist",
				"ScaledObject default/z its trigger names InterceptorRoute default/r, which does not exist",
				"ScaledObject default/z there is no Deployment default/x to scale",
			},
		},
		"no ScaledObject wanted": {
			manifests: httpScaledObject("h", "d", skip),
			problems:  []string{"HTTPScaledObject default/h it asks for no ScaledObject"},
		},
		"no workload named": {
			manifests: httpScaledObject("h", `""`, ""),
			problems:  []string{"HTTPScaledObject default/h scaleTargetRef.name must name the workload to scale: its requests wake nothing"},
		},
		"no Deployment named": {
			manifests: strings.Replace(httpScaledObject("h", "d", ""), "{name: d", "{name: d, kind: StatefulSet", 1),
			problems:  []string{"HTTPScaledObject default/h its scaleTargetRef names no Deployment"},
		},
		"bounds that KEDA refuses": {
			manifests: deployment("d", "replicas: 2") + strings.Replace(httpScaledObject("h", "d", ""), "min: 1", "min: 5", 1),
			targets:   []Target{{Workload: key("d"), Min: 2, Max: 2}},
			problems:  []string{"HTTPScaledObject default/h replicas.min is 5, and replicas.max only 4: its requests wake nothing"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			targets, problems := Compile(load(t, test.manifests))
			if diff := cmp.Diff(test.targets, targets); diff != "" {
				t.Errorf("targets (-want +got):\n%s", diff)
			}
			if len(problems) != len(test.problems) {
				t.Fatalf("problems %v", problems)
			}
			for i, p := range problems {
				if got := p.Object.String() + " " + p.Reason; !strings.HasPrefix(got, test.problems[i]) {
					t.Errorf("problem %q, want %q", got, test.problems[i])
				}
			}
		})
	}
}
