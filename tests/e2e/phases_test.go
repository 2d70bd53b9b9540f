//go:build e2e

package e2e

import (
	"flag"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

var coldStarts = flag.Int("cold-starts", 5, "how many cold starts are measured by phase")

// Scenario n: how long each part of a cold start takes.
func TestPhasesOfAColdStart(t *testing.T) {
	const (
		host  = "n.example.com"
		scale = 500 * time.Millisecond // ten times the goal
	)
	s := begin(t, "n-phases")
	s.apply(webApp("app", 0), scaledObject("app"), interceptorRoute("app", host, concurrencyTen))
	s.awaitReady("InterceptorRoute/app", "ScaledObject/app")
	names := []string{"replicas=1", "pod created", "scheduled", "container running", "Ready", "EndpointSlice", "answer"}
	took := map[string][]time.Duration{}
	for range *coldStarts {
		s.awaitReplicas("app", 0)
		s.steadily("nobody wants it", 2*time.Second, func() bool { return s.replicas("app") == 0 })
		phases := s.watchPhases("app")
		asked := time.Now()
		got := s.send(call{url: "http://" + host + "/"})
		phases.note("answer")
		if got.err != nil || got.status != http.StatusOK {
			t.Fatalf("the answer: %+v", got)
		}
		for _, name := range names {
			s.eventually(name, func() (bool, error) { return !phases.at(name).IsZero(), nil })
			took[name] = append(took[name], phases.at(name).Sub(asked))
		}
	}
	for _, name := range names {
		s.Progress("%-18s median %5d ms, %d to %d", name, median(took[name]).Milliseconds(), slices.Min(took[name]).Milliseconds(), slices.Max(took[name]).Milliseconds())
	}
	if got := median(took["replicas=1"]); got > scale {
		t.Errorf("the Deployment was at 1 replica %s after the request, want at most %s", got, scale)
	}
}

// phases are when something was first seen.
type phases struct {
	mu   sync.Mutex
	seen map[string]time.Time
}

func (p *phases) note(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.seen[name]; !ok {
		p.seen[name] = time.Now()
	}
}

func (p *phases) at(name string) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[name]
}

// watchPhases notes what happens to a sleeping Deployment, its pods and its Service from now on.
func (s *scenario) watchPhases(name string) *phases {
	s.Helper()
	clientset, err := kubernetes.NewForConfig(s.Config)
	s.must(err)
	deployments, err := clientset.AppsV1().Deployments(s.Namespace).Watch(s.ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	s.must(err)
	pods, err := clientset.CoreV1().Pods(s.Namespace).Watch(s.ctx, metav1.ListOptions{LabelSelector: "app=" + name})
	s.must(err)
	slices, err := clientset.DiscoveryV1().EndpointSlices(s.Namespace).Watch(s.ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + name})
	s.must(err)
	p := &phases{seen: map[string]time.Time{}}
	for _, w := range []watch.Interface{deployments, pods, slices} {
		s.Cleanup(w.Stop)
		go func() {
			for event := range w.ResultChan() {
				p.see(event)
			}
		}()
	}
	return p
}

func (p *phases) see(event watch.Event) {
	switch object := event.Object.(type) {
	case *appsv1.Deployment:
		if *object.Spec.Replicas == 1 {
			p.note("replicas=1")
		}
	case *corev1.Pod:
		if object.DeletionTimestamp != nil || event.Type == watch.Deleted {
			return // the last run's
		}
		p.note("pod created")
		if object.Spec.NodeName != "" {
			p.note("scheduled")
		}
		if status := object.Status.ContainerStatuses; len(status) > 0 && status[0].State.Running != nil {
			p.note("container running")
		}
		if isReady(object) {
			p.note("Ready")
		}
	case *discoveryv1.EndpointSlice:
		for _, endpoint := range object.Endpoints {
			if endpoint.Conditions.Ready != nil && *endpoint.Conditions.Ready {
				p.note("EndpointSlice")
			}
		}
	}
}
