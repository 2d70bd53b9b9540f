//go:build e2e

package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/pkg/queue"
	"github.com/kedacore/http-add-on/tests/chaos/defect"
)

// atOnce is how many requests wake a target. They come within spread.
const (
	atOnce = 24
	spread = time.Second
)

// target is a model server that sleeps.
type target struct {
	number int
	name   string
	load   []string // arguments of modelsim
	route  string   // fields of the specification
	// pushed has KEDA look at it once an hour only: a push must wake it. It is put to sleep by
	// this test.
	pushed bool
	scaled time.Time // when it was put to sleep; owned by its load
}

func targets() []*target {
	const stream = `coldStart: {streamingCallback: {message: "Loading.", interval: 300ms}}`
	const narrow = `coldStart: {releaseConcurrency: 1, streamingCallback: {message: "Loading.", interval: 300ms}}`
	all := []*target{
		{name: "fast", load: []string{"-load=0s"}, route: stream},
		{name: "late", load: []string{"-load=1s", "-listen-late"}, route: stream},
		{name: "large", load: []string{"-load=2s"}, route: stream},
		{name: "slow", load: []string{"-load=500ms", "-tokens-per-second=20"}, route: stream},
		{name: "narrow", load: []string{"-load=500ms"}, route: narrow},
		{name: "narrow-late", load: []string{"-load=1s", "-listen-late"}, route: narrow},
		{name: "pushed", load: []string{"-load=500ms"}, route: stream, pushed: true},
		{name: "pushed-late", load: []string{"-load=1s", "-listen-late"}, route: stream, pushed: true},
	}
	for i, t := range all {
		t.number = i
	}
	return all
}

func (t *target) host() string { return t.name + ".chaos.example.com" }

func (t *target) manifests() string {
	interval := 1
	if t.pushed {
		interval = 3600
	}
	args := append([]string{"-model=" + t.name, "-tokens-per-second=200", "-shutdown=20s"}, t.load...)
	return fmt.Sprintf(`
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec:
  selector: {app: %[1]s}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  replicas: 0
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      containers:
        - name: %[1]s
          image: modelsim
          args: [%[2]s]
          ports: [{name: http, containerPort: 8000}]
          readinessProbe:
            httpGet: {path: /healthz, port: http}
            periodSeconds: 1
            failureThreshold: 1
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: %[1]s}
spec:
  scaleTargetRef: {name: %[1]s}
  minReplicaCount: 0
  maxReplicaCount: 2
  pollingInterval: %[3]d
  cooldownPeriod: 1
  triggers:
    - type: external-push
      metadata:
        scalerAddress: keda-add-ons-http-external-scaler.keda:9090
        interceptorRoute: %[1]s
---
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: %[1]s}
spec:
  target: {service: %[1]s, port: 80}
  rules: [{hosts: [%[4]s]}]
  scalingMetric: {concurrency: {targetValue: 50}}
  timeouts: {readiness: 10m}
  %[5]s
`, t.name, `"`+strings.Join(args, `","`)+`"`, interval, t.host(), t.route)
}

// interceptor is one of the interceptors: its process may be another one later, its
// address stays.
type interceptor struct {
	corev1.Pod
	http *http.Client
	cut  sync.Mutex // for as long as a partition concerns it

	mu      sync.Mutex
	outages []outage
}

// outage is the time from the death of a process to the readiness of the next one, which
// is zero while it lasts.
type outage struct{ from, to time.Time }

func (c *chaos) newInterceptor(pod corev1.Pod) *interceptor {
	return &interceptor{Pod: pod, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return c.Dial(ctx, network, net.JoinHostPort(pod.Status.PodIP, "8080"))
		},
		DisableCompression: true,
	}}}
}

// admin is a URL of the admin port.
func (i *interceptor) admin(path string) string {
	return "http://" + net.JoinHostPort(i.Status.PodIP, "9090") + path
}

// down notes the death of the process; the caller calls up when the next one is ready.
func (i *interceptor) down() (up func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := len(i.outages)
	i.outages = append(i.outages, outage{from: time.Now()})
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.outages[n].to = time.Now()
	}
}

// isDown reports whether the process was dead at any time since then.
func (i *interceptor) isDown(since time.Time) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, o := range i.outages {
		if o.to.IsZero() || o.to.After(since) {
			return true
		}
	}
	return false
}

// choose returns an interceptor whose process lives, as a Service does, or nil.
func (c *chaos) choose(random *rand.Rand) *interceptor {
	first := random.IntN(len(c.interceptors))
	for n := range c.interceptors {
		if i := c.interceptors[(first+n)%len(c.interceptors)]; !i.isDown(time.Now()) {
			return i
		}
	}
	return nil
}

// pause waits, and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// wake asks a sleeping target, and notes what happened. It returns when all are answered.
func (c *chaos) wake(t *target, number int) {
	random := c.random(1+t.number, number)
	started := time.Now()
	var all sync.WaitGroup
	var mu sync.Mutex
	var first time.Duration
	cold := 0
	for n := range atOnce {
		own := c.random(1+t.number, number<<8|n<<24|1)
		at := time.Duration(random.Int64N(int64(spread)))
		all.Go(func() {
			if !pause(c.ctx, at) {
				return
			}
			wasCold, ok := c.ask(t, own)
			mu.Lock()
			defer mu.Unlock()
			if wasCold {
				cold++
			}
			if ok && (first == 0 || time.Since(started) < first) {
				first = time.Since(started)
			}
		})
	}
	all.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cold += cold; cold > 0 {
		c.woken++
		c.longest = max(c.longest, first)
	}
}

// ask sends a request to any interceptor until one answers.
func (c *chaos) ask(t *target, random *rand.Rand) (cold, ok bool) {
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	began := time.Now()
	for {
		i := c.choose(random)
		if i == nil {
			if !pause(ctx, 50*time.Millisecond) {
				c.violate(defect.Answered, "%s: no interceptor is up within %s", t.name, patience)
				return false, false
			}
			continue
		}
		sent := time.Now()
		question := newQuestion(t, random)
		cold, err := question.exchange(ctx, i)
		switch {
		case err == nil:
			c.mu.Lock()
			c.asked++
			c.mu.Unlock()
			return cold, true
		case c.ctx.Err() != nil:
			return false, false
		case ctx.Err() != nil && t.pushed:
			c.violate(defect.Wakes, "%s: %s by %s, sent at %s, has no answer after %s", t.name, question.what, i.Name, began.Format(time.TimeOnly), patience)
			return false, false
		case ctx.Err() != nil:
			c.violate(defect.Answered, "%s: %s by %s, sent at %s, has no answer after %s", t.name, question.what, i.Name, began.Format(time.TimeOnly), patience)
			return false, false
		case i.isDown(sent):
			c.mu.Lock()
			c.explained++
			c.mu.Unlock()
		case errors.Is(err, errEnded):
			c.mu.Lock()
			c.ended++
			c.mu.Unlock()
		default:
			c.violate(defect.Answered, "%s: %s by %s, sent at %s, after %s: %v",
				t.name, question.what, i.Name, sent.Format("15:04:05.000"), time.Since(sent).Round(time.Millisecond), err)
			return false, false
		}
	}
}

// errEnded is the end of a POST that had reached a pod when that began to end. While the API server
// starts, Kubernetes may list such a pod as ready for many seconds. Only the client can send the
// request again: its body is gone.
var errEnded = errors.New("the pod ended")

// question is a request, with a text that its answer must have.
type question struct {
	what, method, url, body string
	key                     string // idempotency
	has                     []string
}

func newQuestion(t *target, random *rand.Rand) question {
	nonce := fmt.Sprintf("%s-%016x", t.name, random.Uint64())
	if random.IntN(3) == 0 {
		return question{what: "GET", method: http.MethodGet, url: "http://" + t.host() + "/v1/models", has: []string{`"` + t.name + `"`}}
	}
	// A scaler that a partition keeps from the counts may put a target to sleep in the moment in
	// which it receives a request. HTTP has no cure but this key, which the vendors' clients
	// send.
	q := question{method: http.MethodPost, url: "http://" + t.host() + "/v1/chat/completions", key: nonce, has: []string{nonce}}
	stream, model := random.IntN(2) == 0, "simulated"
	q.what = "POST"
	if stream {
		q.what = "stream"
		q.has = append(q.has, "data: [DONE]")
	}
	if !strings.HasPrefix(t.name, "narrow") && random.IntN(12) == 0 {
		model = "simulated-slow"
	}
	q.body = fmt.Sprintf(`{"model":%q,"stream":%t,"messages":[{"role":"user","content":%q}]}`, model, stream, nonce)
	return q
}

// exchange reads the answer to its end.
func (q question) exchange(ctx context.Context, i *interceptor) (cold bool, err error) {
	request, err := http.NewRequestWithContext(ctx, q.method, q.url, strings.NewReader(q.body))
	if err != nil {
		return false, err
	}
	if q.body != "" {
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Idempotency-Key", q.key)
	}
	response, err := i.http.Do(request)
	if err != nil {
		return false, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return false, fmt.Errorf("%s, then: %w", response.Status, err)
	}
	if warm := response.Header.Get("X-KEDA-HTTP-Cold-Start") != "true"; warm && q.method == http.MethodPost &&
		response.StatusCode == http.StatusBadGateway && strings.Contains(string(body), "the backend gave no valid answer") {
		return false, errEnded
	}
	for _, text := range q.has {
		if response.StatusCode != http.StatusOK || !strings.Contains(string(body), text) {
			return false, fmt.Errorf("%s without %s: %s", response.Status, text, body)
		}
	}
	return response.Header.Get("X-KEDA-HTTP-Cold-Start") == "true", nil
}

// awaitAsleep waits until a target has no pod. It returns false if ctx ends before that.
func (c *chaos) awaitAsleep(ctx context.Context, t *target) bool {
	deadline := time.Now().Add(patience)
	for {
		d, err := c.Deployment(ctx, namespace, t.name)
		if err == nil {
			if *d.Spec.Replicas == 0 && d.Status.Replicas == 0 && d.Status.ObservedGeneration == d.Generation {
				return true
			}
			// KEDA may answer a push that it still has by waking it once more.
			if t.pushed && *d.Spec.Replicas > 0 && time.Since(t.scaled) > 3*time.Second {
				t.scaled = time.Now()
				patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"replicas":0}}`))
				_ = c.Client.Patch(ctx, d, patch) // the API server may be gone: it is tried again
			}
			err = fmt.Errorf("%d replicas wanted, %d there", *d.Spec.Replicas, d.Status.Replicas)
		}
		if time.Now().After(deadline) {
			c.violate(defect.Sleeps, "%s is awake %s after its last answer: %v; counts: %s", t.name, patience, err, c.describe(t))
			return false
		}
		if !pause(ctx, 200*time.Millisecond) {
			return false
		}
	}
}

// describe is what the interceptors say of a target.
func (c *chaos) describe(t *target) string {
	var text strings.Builder
	for _, i := range c.interceptors {
		counts, err := c.queue(i)
		if err != nil {
			fmt.Fprintf(&text, " %s: %v;", i.Name, err)
			continue
		}
		fmt.Fprintf(&text, " %s: %+v;", i.Name, counts[namespace+"/"+t.name])
	}
	return text.String()
}

// queue asks an interceptor for its counts.
func (c *chaos) queue(i *interceptor) (queue.Counts, error) {
	var counts queue.Counts
	return counts, c.getJSON(i.admin(queue.Path), &counts)
}
