//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

// patience bounds every wait for something that takes seconds when all is well.
const patience = time.Minute

// scenario is a test in a separate namespace. Its methods fail the test.
type scenario struct {
	*testing.T
	*cluster.Cluster
	Namespace string

	ctx context.Context
}

// begin makes the namespace; at the end of a test that failed it writes what the
// namespace looks like into the run's folder.
func begin(t *testing.T, namespace string) *scenario {
	t.Helper()
	s := &scenario{T: t, Cluster: world, Namespace: namespace, ctx: t.Context()}
	s.must(s.CreateNamespace(s.ctx, namespace))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		killed, err := s.OutOfMemory(ctx)
		if err != nil || len(killed) > 0 {
			t.Errorf("killed at the memory limit: %v %v", killed, err)
		}
		if t.Failed() {
			s.dump(ctx)
		}
		if _, err := s.Kubectl(ctx, "", "delete", "namespace", namespace, "--wait=false"); err != nil {
			t.Error(err)
		}
	})
	return s
}

// setValues gives the add-on's release other values until the test ends.
func (s *scenario) setValues(values ...string) {
	s.Helper()
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
		defer cancel()
		s.try(s.Reset(ctx))
	})
	s.upgrade(values...)
	s.must(s.AwaitInstalled(s.ctx))
}

// upgrade is helm upgrade with these values only.
func (s *scenario) upgrade(values ...string) {
	s.Helper()
	_, err := s.Helm(s.ctx, append([]string{"upgrade", cluster.Release, s.Chart(), "--reset-values"}, values...)...)
	s.must(err)
}

func (s *scenario) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// dump writes the objects and events of the scenario, and the last log lines of the add-on.
func (s *scenario) dump(ctx context.Context) {
	file := filepath.Join(s.Folder, s.Namespace+".txt")
	var text strings.Builder
	for _, args := range []string{
		"get deployments,pods,services,endpointslices,horizontalpodautoscalers --output=wide",
		"get events --sort-by=.lastTimestamp",
		"get httpscaledobjects,interceptorroutes,scaledobjects --output=yaml",
		"get pods --namespace=keda --output=wide",
		"logs --namespace=keda --selector=app.kubernetes.io/part-of=keda-add-ons-http --prefix --tail=300",
	} {
		out, err := s.Kubectl(ctx, "", append([]string{"--namespace=" + s.Namespace}, strings.Fields(args)...)...)
		fmt.Fprintf(&text, "# kubectl %s (%v)\n%s\n", args, err, out)
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
		s.Log(err)
		return
	}
	s.Logf("the objects are in %s", file)
}

// apply is kubectl apply.
func (s *scenario) apply(manifests ...string) {
	s.Helper()
	s.must(s.Apply(s.ctx, s.Namespace, strings.Join(manifests, "\n---\n")))
}

// eventually waits for patience until it is so.
func (s *scenario) eventually(what string, so func() (bool, error)) {
	s.Helper()
	s.must(s.Eventually(s.ctx, what, patience, func(context.Context) (bool, error) { return so() }))
}

// awaitReady waits until objects ("ScaledObject/llm") have the condition Ready, and our
// own kinds Routed and Wakes too. After that of a ScaledObject, KEDA's stream to the scaler is open or about to be.
func (s *scenario) awaitReady(objects ...string) {
	s.Helper()
	for _, name := range objects {
		kinds := []string{"Ready"}
		if !strings.HasPrefix(name, "ScaledObject/") {
			kinds = append(kinds, "Routed", "Wakes")
		}
		for _, kind := range kinds {
			s.eventually(name+" to be "+kind, func() (bool, error) {
				conditions, err := s.conditions(name)
				if err != nil {
					return false, err
				}
				i := slices.IndexFunc(conditions, func(c any) bool {
					condition, _ := c.(map[string]any)
					return condition["type"] == kind
				})
				if i < 0 {
					return false, fmt.Errorf("%s has no condition %s", name, kind)
				}
				condition, _ := conditions[i].(map[string]any)
				return condition["status"] == "True", fmt.Errorf("%v: %v", condition["reason"], condition["message"])
			})
		}
	}
}

// conditions are those of "Kind/name", of the kinds that scenarios use.
func (s *scenario) conditions(object string) ([]any, error) {
	kind, name, _ := strings.Cut(object, "/")
	versions := map[string]string{
		"ScaledObject": "keda.sh/v1alpha1", "HTTPScaledObject": "http.keda.sh/v1alpha1", "InterceptorRoute": "http.keda.sh/v1beta1",
	}
	read := &unstructured.Unstructured{}
	read.SetAPIVersion(versions[kind])
	read.SetKind(kind)
	if err := s.Client.Get(s.ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, read); err != nil {
		if meta.IsNoMatchError(err) {
			s.Fatal(err)
		}
		return nil, err
	}
	conditions, _, err := unstructured.NestedSlice(read.Object, "status", "conditions")
	return conditions, err
}

// replicas is how many replicas a Deployment should have.
func (s *scenario) replicas(deployment string) int32 {
	s.Helper()
	d, err := s.Deployment(s.ctx, s.Namespace, deployment)
	s.must(err)
	return *d.Spec.Replicas
}

// awaitReplicas waits until a Deployment should have this many replicas, and, if that is 0, until
// no pod is left.
func (s *scenario) awaitReplicas(deployment string, want int32) {
	s.Helper()
	s.eventually(fmt.Sprintf("%s at %d replicas", deployment, want), func() (bool, error) {
		d, err := s.Deployment(s.ctx, s.Namespace, deployment)
		if err != nil {
			return false, err
		}
		left := want == 0 && d.Status.Replicas > 0
		return *d.Spec.Replicas == want && !left, fmt.Errorf("should have %d, has %d", *d.Spec.Replicas, d.Status.Replicas)
	})
}

// awaitAwake waits until every interceptor has a ready endpoint for the host.
func (s *scenario) awaitAwake(host string) {
	s.Helper()
	s.eventually(host+" to be awake", func() (bool, error) {
		for range 4 { // connections go round
			response, _ := s.get("http://"+host+"/healthz", nil)
			if cold := response.Header.Get("X-KEDA-HTTP-Cold-Start"); cold != "false" || response.StatusCode != http.StatusOK {
				return false, fmt.Errorf("%s, cold start %q", response.Status, cold)
			}
			s.HTTP.CloseIdleConnections()
		}
		return true, nil
	})
}

// get requests a URL through the interceptors and returns the answer with its body.
func (s *scenario) get(url string, header http.Header) (*http.Response, string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	s.must(err)
	request.Header = header
	response, err := s.HTTP.Do(request)
	s.must(err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	s.must(err)
	return response, string(body)
}

// browser is the header of a navigation that a monitor or curl can do too: its page
// ends at once.
func browser() http.Header {
	return http.Header{"Accept": {"text/html,application/xhtml+xml"}, "Sec-Fetch-Mode": {"navigate"}}
}

// median of durations, none of which is left out.
func median(durations []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(durations))
	return sorted[len(sorted)/2]
}
