package process

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

type nowhere struct{}

func (nowhere) Update(string, string, map[string][]string) {}

// many returns a node with n workloads, each behind a separate Service.
func many(t *testing.T, n int) (*Node, []*appsv1.Deployment, []*corev1.Service) {
	t.Helper()
	node := NewNode(Options{Endpoints: nowhere{}, Log: logr.Discard(), Output: t.Output()})
	t.Cleanup(node.Close)
	var deployments []*appsv1.Deployment
	var services []*corev1.Service
	for i := range n {
		d, s := deploymentOf("serve", nil), serviceOf(fmt.Sprint("app", i))
		d.Name, s.Name = fmt.Sprint("app", i), fmt.Sprint("app", i)
		d.Spec.Template.Labels = map[string]string{"app": d.Name}
		deployments, services = append(deployments, d), append(services, s)
	}
	node.Apply(deployments, services)
	return node, deployments, services
}

// A reload scales every workload. Each asked all Services for all workloads: with 200 of both
// a request that came meanwhile waited for 7 s.
func TestScalingOneWorkloadLeavesOthersAlone(t *testing.T) {
	cost := func(n int) float64 {
		node, deployments, services := many(t, n)
		node.Apply(deployments, services)
		first := types.NamespacedName{Namespace: deployments[0].Namespace, Name: deployments[0].Name}
		return testing.AllocsPerRun(10, func() { node.Scale(first, 0) })
	}
	if few, lots := cost(2), cost(200); lots > 2*few {
		t.Errorf("%v allocations among 2 workloads, %v among 200", few, lots)
	}
}

// told records what the endpoints have received.
type told map[string]map[string][]string

func (e told) Update(_, service string, ready map[string][]string) { e[service] = ready }

func TestWorkloadsMoveBetweenServices(t *testing.T) {
	endpoints := told{}
	node := NewNode(Options{Endpoints: endpoints, Log: logr.Discard(), Output: t.Output()})
	t.Cleanup(node.Close)
	d, s := deploymentOf("serve", nil), serviceOf("serve")
	node.Apply([]*appsv1.Deployment{d}, []*corev1.Service{s})
	w := node.workloads[types.NamespacedName{Namespace: d.Namespace, Name: d.Name}]
	// Its replica is ready, without a process.
	r := &replica{node: node, workload: w, deployment: d, cancel: func() {}}
	w.slots = []*slot{{replica: r, gone: make(chan struct{})}}
	at := &lease{host: "127.0.0.9", ports: map[int32]int32{8000: 8000}}
	node.setReady(r, at)
	ready := map[string][]string{"web": {"127.0.0.9:8000"}}
	expect := func(reason string, want told) {
		t.Helper()
		if !reflect.DeepEqual(endpoints, want) {
			t.Errorf("%s: the endpoints are %v, want %v", reason, endpoints, want)
		}
	}
	expect("one Service", told{"serve": ready})
	other := serviceOf("serve")
	other.Name = "other"
	node.Apply([]*appsv1.Deployment{d}, []*corev1.Service{s, other})
	expect("two Services", told{"serve": ready, "other": ready})
	elsewhere := serviceOf("elsewhere")
	elsewhere.Name = "serve"
	node.Apply([]*appsv1.Deployment{d}, []*corev1.Service{elsewhere, other})
	expect("a Service with another selector", told{"serve": {}, "other": ready})
	node.Apply([]*appsv1.Deployment{d}, []*corev1.Service{other})
	expect("a Service that is gone", told{"serve": nil, "other": ready})
	node.Apply(nil, []*corev1.Service{other})
	expect("a workload that is gone", told{"serve": nil, "other": {}})
	node.setReady(r, at)
	expect("what is left of it", told{"serve": nil, "other": {}})
}
