// Package wakes measures an operator that follows the wakes of a thousand targets. The binary
// and the API server are real. No kubelet runs the pods, and one watch of routes is as an
// interceptor's.
package wakes

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	operatorconfig "github.com/kedacore/http-add-on/operator/config"
	"github.com/kedacore/http-add-on/tests/bench/harness"
	"github.com/kedacore/http-add-on/tests/support/controlplane"
	"github.com/kedacore/http-add-on/tests/support/kedacrd"
	"github.com/kedacore/http-add-on/tests/support/objects"
)

const (
	namespaces, targetsOfEach = 20, 50
	targets                   = namespaces * targetsOfEach
	// writesASecond and memory are the limits, the latter that of the chart, which leaves the
	// heap nine tenths of it.
	writesASecond, memory = 50, 64 << 20
	// patience bounds a step, which takes 20 s at 50 writes a second.
	patience = 10 * time.Minute
)

// step is what happens to all targets, and what all routes must then show.
type step struct {
	phase   string
	happens func(ctx context.Context, namespace, name string) error
}

// steps are those of a wake.
func (w *world) steps() []step {
	const container = `{"status":{"containerStatuses":[{"name":"app","image":"","imageID":"","ready":false,"restartCount":0,`
	return []step{
		{"Scheduling", w.wanted},
		{"Pulling", w.bind},
		{"Pulling ImagePullFailed", w.pod(container + `"state":{"waiting":{"reason":"ImagePullBackOff","message":"not found"}}}]}}`)},
		{"Loading", w.pod(container + `"started":true,"state":{"running":{}}}]}}`)},
		{"", w.pod(`{"status":{"conditions":[{"type":"Ready","status":"True"}]}}`)},
	}
}

func BenchmarkAThousandWakes(b *testing.B) {
	ctx := b.Context()
	ctrl.SetLogger(logr.Discard()) // envtest's
	cluster, err := controlplane.Start(ctx, b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cluster.Stop() })
	definition, err := kedacrd.ScaledObject(ctx)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := envtest.InstallCRDs(cluster.Config, envtest.CRDInstallOptions{Paths: []string{definition}}); err != nil {
		b.Fatal(err)
	}
	api, err := client.New(cluster.Config, client.Options{Scheme: clientgoscheme.Scheme})
	if err != nil {
		b.Fatal(err)
	}
	w := &world{api: api}
	w.each(b, w.create)
	operator := startOperator(b, cluster.Kubeconfig)
	w.each(b, w.looked)

	seen := watch(b, cluster.Config)
	peak := peakOf(b, operator)
	before, err := operator.CPU()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		before := ""
		for _, step := range w.steps() {
			seen.may(before, step.phase)
			w.each(b, step.happens)
			before = step.phase
			if missing := seen.until(step.phase); missing > 0 {
				b.Fatalf("%d routes do not show %q", missing, step.phase)
			}
		}
	}
	after, err := operator.CPU()
	if err != nil {
		b.Fatal(err)
	}
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if len(seen.wrong) > 0 {
		b.Errorf("%d writes show what is not so, as %q", len(seen.wrong), seen.wrong[0])
	}
	most := seen.mostInASecond()
	// The watch delivers in bursts, so that a second of it holds some of the second before.
	if most > 2*writesASecond {
		b.Errorf("%d writes in a second", most)
	}
	if peak := peak(); peak > memory {
		b.Errorf("%d MiB of memory", peak>>20)
	}
	wakes := float64(targets * b.N)
	b.ReportMetric(float64(most), "writes/s-at-most")
	b.ReportMetric(float64(len(seen.writes))/seen.writes[len(seen.writes)-1].Sub(seen.writes[0]).Seconds(), "writes/s")
	b.ReportMetric(float64(len(seen.writes))/wakes, "writes/wake")
	b.ReportMetric(float64(after-before)/float64(time.Millisecond)/wakes, "cpu-ms/wake")
	b.ReportMetric(float64(peak())/(1<<20), "MiB")
	b.ReportMetric(float64(seen.bytes)/wakes, "watch-B/wake")
}

// world is the targets.
type world struct{ api client.Client }

// each calls f for each target, a few at a time.
func (w *world) each(b *testing.B, f func(ctx context.Context, namespace, name string) error) {
	b.Helper()
	group, ctx := errgroup.WithContext(b.Context())
	group.SetLimit(8)
	for n := range targets {
		group.Go(func() error { return f(ctx, fmt.Sprintf("apps-%d", n%namespaces), fmt.Sprintf("app-%d", n)) })
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
}

func (w *world) create(ctx context.Context, namespace, name string) error {
	err := w.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	if client.IgnoreAlreadyExists(err) != nil {
		return err
	}
	service := objects.Service(namespace, name, corev1.ServicePort{Name: "http", Port: 80})
	service.Spec.Selector = map[string]string{"app": name}
	service.Spec.ClusterIP = corev1.ClusterIPNone // the range of addresses is smaller
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: service.Spec.Selector},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "registry.example/app"}}},
	}
	scaled := scaledObject(namespace, name)
	scaled.Object["spec"] = map[string]any{
		"scaleTargetRef": map[string]any{"name": name},
		"triggers": []any{map[string]any{
			"type": "external-push", "metadata": map[string]any{"scalerAddress": "scaler.keda:9090", "interceptorRoute": name},
		}},
	}
	route := &unstructured.Unstructured{}
	encoded, err := json.Marshal(objects.InterceptorRoute(namespace, name, name+".test"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(encoded, &route.Object); err != nil {
		return err
	}
	for _, o := range []client.Object{service, pod, scaled, route} {
		if err := w.api.Create(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func scaledObject(namespace, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject"}}
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}

// looked waits until the operator has looked at a route.
func (w *world) looked(ctx context.Context, namespace, name string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	route := &unstructured.Unstructured{}
	route.SetGroupVersionKind(v1beta1.GroupVersion.WithKind("InterceptorRoute"))
	return harness.Poll(ctx, func() (bool, error) {
		err := w.api.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, route)
		conditions, _, _ := unstructured.NestedSlice(route.Object, "status", "conditions")
		return len(conditions) > 0, err
	})
}

// wanted has KEDA see demand for a target.
func (w *world) wanted(ctx context.Context, namespace, name string) error {
	return w.api.Status().Patch(ctx, scaledObject(namespace, name), client.RawPatch(types.MergePatchType,
		[]byte(`{"status":{"conditions":[{"type":"Ready","status":"True"},{"type":"Active","status":"True"}]}}`)))
}

// bind gives a pod a node.
func (w *world) bind(ctx context.Context, namespace, name string) error {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	return w.api.SubResource("binding").Create(ctx, pod, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "node"}})
}

// pod returns what patches the status of a pod.
func (w *world) pod(status string) func(ctx context.Context, namespace, name string) error {
	return func(ctx context.Context, namespace, name string) error {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		return w.api.Status().Patch(ctx, pod, client.RawPatch(types.MergePatchType, []byte(status)))
	}
}

// startOperator builds the operator and runs it within the memory of the chart.
func startOperator(b *testing.B, kubeconfig string) *harness.Process {
	b.Helper()
	root, err := controlplane.Root()
	if err != nil {
		b.Fatal(err)
	}
	binary := filepath.Join(b.TempDir(), "operator")
	build := exec.CommandContext(b.Context(), "go", "build", "-o", binary, "./operator")
	build.Dir, build.Stderr = root, os.Stderr
	if err := build.Run(); err != nil {
		b.Fatal(err)
	}
	p, err := harness.Start(harness.Command{
		Path: binary, Args: []string{"--zap-log-level=error", "--metrics-bind-address=0", "--health-probe-bind-address=0"}, Output: os.Stderr,
		Env: []string{
			"KUBECONFIG=" + kubeconfig, fmt.Sprint("GOMEMLIMIT=", memory/10*9), operatorconfig.EnvNamespace + "=keda",
			operatorconfig.EnvScalerService + "=scaler", operatorconfig.EnvScalerPort + "=9090",
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.Stop)
	return p
}

// peakOf returns a function that returns the most memory of a process so far.
func peakOf(b *testing.B, p *harness.Process) func() int64 {
	b.Helper()
	var peak atomic.Int64
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			if now, err := p.AnonymousRSS(); err == nil {
				peak.Store(max(peak.Load(), now))
			}
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	b.Cleanup(func() { close(stop); <-done })
	return peak.Load
}

// watched is what a watch of routes shows of wakes.
type watched struct {
	mu      sync.Mutex
	shown   map[string]string // "phase reason" of each route; empty while it has no wake
	writes  []time.Time
	bytes   int
	allowed []string // what may be written now
	wrong   []string
	changed chan struct{}
}

// watch begins a watch of routes.
func watch(b *testing.B, config *rest.Config) *watched {
	b.Helper()
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		b.Fatal(err)
	}
	url := strings.TrimSuffix(config.Host, "/") + "/apis/" + v1beta1.GroupVersion.String() + "/interceptorroutes?watch=true"
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
	if err != nil {
		b.Fatal(err)
	}
	transport.Timeout = 0
	response, err := transport.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		b.Fatal(response.Status)
	}
	w := &watched{shown: map[string]string{}, changed: make(chan struct{}, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewScanner(response.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			w.event(lines.Bytes())
		}
	}()
	b.Cleanup(func() {
		_ = response.Body.Close()
		<-done
	})
	return w
}

// event takes an event of the watch.
func (w *watched) event(line []byte) {
	var e struct {
		Type   string
		Object struct {
			Metadata struct{ Namespace, Name string }
			Status   struct{ Wake v1beta1.WakeStatus }
		}
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return // the end of the watch
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	name := e.Object.Metadata.Namespace + "/" + e.Object.Metadata.Name
	now := strings.TrimSpace(fmt.Sprint(e.Object.Status.Wake.Phase, " ", e.Object.Status.Wake.Reason))
	before, known := w.shown[name]
	w.shown[name] = now
	if !known || before == now {
		return
	}
	w.bytes += len(line)
	w.writes = append(w.writes, time.Now())
	if !slices.Contains(w.allowed, now) {
		w.wrong = append(w.wrong, name+": "+before+" → "+now)
	}
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// may says what is so from now on: before, until the operator has seen the change.
func (w *watched) may(before, now string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.allowed = []string{before, now}
}

// until waits until all routes show a phase, and returns how many do not.
func (w *watched) until(phase string) (missing int) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		w.mu.Lock()
		missing = targets
		for _, shown := range w.shown {
			if shown == phase {
				missing--
			}
		}
		w.mu.Unlock()
		if missing == 0 {
			return 0
		}
		select {
		case <-w.changed:
		case <-timeout.C:
			return missing
		}
	}
}

// mostInASecond returns the most writes that arrived within any second. The caller holds
// the lock.
func (w *watched) mostInASecond() (most int) {
	first := 0
	for i, at := range w.writes {
		for at.Sub(w.writes[first]) >= time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}
