//go:build e2e

package e2e

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// tenfold is ten times the goal for the time until everyone sees what a pod shows.
const tenfold = 20 * time.Second

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
					`coldStart: {waitingPage: {message: "The application is starting.[ {reason}]"}, streamingCallback: {message: "{phase}[ {reason}]", keepaliveMessage: "; {phase}[ {reason}]", interval: 1s}}`))
			s.awaitReady("InterceptorRoute/app", "ScaledObject/app")
			s.awaitReplicas("app", 0)
			_, err := talk() // before the time counts
			s.must(err)
			via := s.door()
			_, port, err := net.SplitHostPort(via)
			s.must(err)
			cause := s.awaitPod("app", test.pod)
			window := s.look("http://" + host + ":" + port + "/")
			stream, leave := s.converse(via, host)
			at := cause()

			phase := strings.ToLower(test.phase)
			page := []string{phase}
			if test.reason != "" {
				page = append(page, "Taking longer than usual.")
			}
			told := s.tells(at, test.name, map[string]showing{
				"the page":   {text: window.text, words: page},
				"the stream": {text: func(context.Context) (string, error) { return stream.String(), nil }, words: []string{test.text}},
				"curl": {text: func(ctx context.Context) (string, error) {
					return s.curl(ctx, via, "http://"+host+"/", "--header", "Accept: text/html")
				}, words: append([]string{"HTTP/1.1 503"}, page...)},
				"kubectl describe": {text: func(ctx context.Context) (string, error) {
					return s.Kubectl(ctx, "", "--namespace="+s.Namespace, "describe", "interceptorroute", "app")
				}, words: []string{test.phase, test.reason}, inside: true},
			})
			if test.reason != "" { // the message of a page that is loaded now has it
				window.reload()
				ctx, cancel := context.WithTimeout(s.ctx, patience)
				defer cancel()
				_, text, err := s.shown(ctx, window.text, phase, test.text)
				s.must(err)
				told += text
			}
			window.picture("wake-" + test.name)
			leave()
			told += stream.String()
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

// showing is where people look, and the words that must be there.
type showing struct {
	text  func(context.Context) (string, error)
	words []string
	// inside the cluster, where names may be read.
	inside bool
}

// tells waits until all show their words, and returns the texts that are outside of the cluster.
// The time counts from that of the pod.
func (s *scenario) tells(at time.Time, name string, all map[string]showing) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	var mu sync.Mutex
	var texts strings.Builder
	var looks sync.WaitGroup
	for where, showing := range all {
		looks.Go(func() {
			shown, text, err := s.shown(ctx, showing.text, showing.words...)
			if err != nil {
				s.Errorf("%s: %s: %v", name, where, err)
				return
			}
			after := shown.Sub(at)
			s.Progress("%s: %s shows it %d ms after the pod, at a load of %s", name, where, after.Milliseconds(), load(s.T))
			if after > tenfold {
				s.Errorf("%s: %s shows it %s after the pod", name, where, after)
			}
			if showing.inside {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			texts.WriteString(text)
		})
	}
	looks.Wait()
	return texts.String()
}
