//go:build e2e && node

package e2e

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

// Scenario o: everyone who waits sees what a wake does, and why it cannot succeed. The names of the
// cluster stay in the cluster.
func TestAWakeShowsWhatDelaysIt(t *testing.T) {
	waiting := func(reasons ...string) func(*corev1.Pod) bool {
		return func(pod *corev1.Pod) bool {
			return slices.ContainsFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
				return c.State.Waiting != nil && slices.Contains(reasons, c.State.Waiting.Reason)
			})
		}
	}
	placed := func(pod *corev1.Pod) bool { return pod.Spec.NodeName != "" }
	const image = "image: webapp\n          imagePullPolicy: IfNotPresent"
	for _, test := range []struct {
		name, old, new string // a change of the workload
		pod            func(*corev1.Pod) bool
		phase, reason  string // of the status
		text           string // of the stream
		fails          bool   // within a minute, where the route fails early
	}{
		{"no-image", "image: webapp", "image: registry.secret.example/secret-app", waiting("ErrImagePull", "ImagePullBackOff"),
			"Pulling", "ImagePullFailed", "Its image cannot be downloaded.", true},
		{"no-room", "      containers:", "      nodeSelector: {secret/gpu: a100}\n      containers:", func(pod *corev1.Pod) bool {
			return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Reason == corev1.PodReasonUnschedulable })
		}, "Scheduling", "Unschedulable", "There is no machine with room for it.", false},
		{"no-volume", "          readinessProbe:", "          volumeMounts: [{name: settings, mountPath: /settings}]\n          readinessProbe:", placed,
			"Pulling", "ConfigError", "Its configuration is not complete.", true},
		{"no-name", "image: webapp", "image: Secret/App", waiting("InvalidImageName"), "Pulling", "ConfigError", "Its configuration is not complete.", true},
		{"crash-loop", "-start-delay=0s", "-secret-flag", waiting("CrashLoopBackOff"), "", "CrashLoop", "It starts, and ends again.", true},
		{"wrong-probe", "path: /healthz", "path: /secret-path", func(pod *corev1.Pod) bool {
			return slices.ContainsFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.State.Running != nil })
		}, "Loading", "ProbeFailing", "It runs, and does not answer its health check yet.", false},
		{"slow-pull", image, "image: slow/webapp\n          imagePullPolicy: Always", placed, "Pulling", "", "pulling", false},
		{"slow-load", "-start-delay=0s", "-start-delay=10m", func(pod *corev1.Pod) bool {
			return slices.ContainsFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.State.Running != nil })
		}, "Loading", "", "loading", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := begin(t, "o-"+test.name)
			host := test.name + ".example.com"
			workload := strings.Replace(webApp("app", 0), test.old, test.new, 1)
			if test.name == "no-volume" {
				workload = strings.Replace(workload, "      containers:", "      volumes: [{name: settings, configMap: {name: secret-settings}}]\n      containers:", 1)
			}
			s.apply(workload, scaledObject("app"),
				interceptorRoute("app", host, concurrencyTen,
					`coldStart: {waitingPage: {}, streamingCallback: {message: "{phase}[ {reason}]", keepaliveMessage: "; {phase}[ {reason}]", interval: 1s}}`))
			s.awaitReady("InterceptorRoute/app", "ScaledObject/app")
			s.awaitReplicas("app", 0)
			cause := s.awaitPod("app", test.pod)
			stream := s.listen(host, test.text)
			at := cause()
			shown := stream.await(s)
			s.Progress("%s: the stream shows it %d ms after the pod", test.name, shown.Sub(at).Milliseconds())
			if shown.Sub(at) > patience {
				t.Errorf("the stream shows it %s after the pod", shown.Sub(at))
			}
			page, body := s.get("http://"+host+"/", browser())
			if page.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, strings.ToLower(test.phase)) {
				t.Errorf("the page does not show %s: %s\n%s", test.phase, page.Status, body)
			}
			described := s.kubectl("describe", "interceptorroute", "app")
			if !strings.Contains(described, test.phase) || !strings.Contains(described, test.reason) {
				t.Errorf("kubectl describe shows neither %s nor %s:\n%s", test.phase, test.reason, described)
			}
			told := stream.stop() + body
			if test.fails {
				s.apply(interceptorRoute("app", host, concurrencyTen, "coldStart: {onFailure: Fail, failAfter: 2s}"))
				got := s.send(call{url: "http://" + host + "/"})
				if got.err != nil || got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
					t.Errorf("a request of a route that fails early: %+v", got)
				}
				told += got.body
			}
			for _, secret := range []string{"secret", s.Namespace, "registry", "node", "Insufficient"} {
				if strings.Contains(told, secret) {
					t.Errorf("a client sees %q:\n%s", secret, told)
				}
			}
		})
	}
}

// awaitPod watches the pods of a Deployment from now on, and returns a function that waits until
// one is so. It returns when it first was.
func (s *scenario) awaitPod(name string, so func(*corev1.Pod) bool) func() time.Time {
	s.Helper()
	clientset, err := kubernetes.NewForConfig(s.Config)
	s.must(err)
	pods, err := clientset.CoreV1().Pods(s.Namespace).Watch(s.ctx, metav1.ListOptions{LabelSelector: "app=" + name})
	s.must(err)
	s.Cleanup(pods.Stop)
	seen := make(chan time.Time, 1)
	go func() {
		for event := range pods.ResultChan() {
			if pod, ok := event.Object.(*corev1.Pod); ok && so(pod) {
				seen <- time.Now()
				return
			}
		}
	}()
	return func() time.Time {
		s.Helper()
		select {
		case at := <-seen:
			return at
		case <-time.After(patience):
			s.Fatal("no pod is so")
			return time.Time{}
		}
	}
}

// listener is a client of a stream that waits for a text.
type listener struct {
	shown  chan time.Time
	cancel context.CancelFunc
	over   sync.WaitGroup
	all    strings.Builder // once it is over
}

// listen begins a stream, which must show a text.
func (s *scenario) listen(host, text string) *listener {
	s.Helper()
	ctx, cancel := context.WithCancel(s.ctx)
	s.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+host+"/v1/chat/completions", strings.NewReader(`{"stream":true,"messages":[]}`))
	s.must(err)
	request.Header.Set("Content-Type", "application/json")
	response, err := s.HTTP.Do(request)
	s.must(err)
	l := &listener{shown: make(chan time.Time, 1), cancel: cancel}
	l.over.Go(func() {
		defer func() { _ = response.Body.Close() }()
		shown := false
		for event, err := range cluster.Events(response.Body) {
			if err != nil {
				return
			}
			l.all.WriteString(event.Data)
			if !shown && strings.Contains(event.Data, text) {
				l.shown <- event.At
				shown = true
			}
		}
	})
	return l
}

// await returns when the text came.
func (l *listener) await(s *scenario) time.Time {
	s.Helper()
	select {
	case at := <-l.shown:
		return at
	case <-time.After(patience):
		s.Fatalf("the stream does not show it: %s", l.stop())
		return time.Time{}
	}
}

// stop leaves, and returns what came.
func (l *listener) stop() string {
	l.cancel()
	l.over.Wait()
	return l.all.String()
}
