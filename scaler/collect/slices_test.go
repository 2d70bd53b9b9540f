package collect

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func slice(name string, family discoveryv1.AddressType, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "keda", Name: name}, AddressType: family, Endpoints: endpoints,
	}
}

func endpoint(pod, address string) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{Addresses: []string{address}}
	if pod != "" {
		e.TargetRef = &corev1.ObjectReference{Kind: "Pod", UID: types.UID(pod)}
	}
	return e
}

func TestSlices(t *testing.T) {
	notReady := endpoint("p3", "10.0.0.3")
	notReady.Conditions.Ready, notReady.Conditions.Terminating = new(false), new(true)
	for name, test := range map[string]struct {
		slices []*discoveryv1.EndpointSlice
		want   map[string]string
	}{
		"none": {nil, map[string]string{}},
		"ready or not": {
			[]*discoveryv1.EndpointSlice{slice("a", discoveryv1.AddressTypeIPv4, endpoint("p1", "10.0.0.1"), notReady)},
			map[string]string{"p1": "10.0.0.1:9090", "p3": "10.0.0.3:9090"},
		},
		"by hand": {
			[]*discoveryv1.EndpointSlice{slice("a", discoveryv1.AddressTypeIPv4, endpoint("", "10.0.0.1"), endpoint("", "10.0.0.2"))},
			map[string]string{"10.0.0.1:9090": "10.0.0.1:9090", "10.0.0.2:9090": "10.0.0.2:9090"},
		},
		"two families are one interceptor": {
			[]*discoveryv1.EndpointSlice{
				slice("a", discoveryv1.AddressTypeIPv6, endpoint("p1", "fd00::1")), slice("b", discoveryv1.AddressTypeIPv4, endpoint("p1", "10.0.0.1")),
			}, map[string]string{"p1": "10.0.0.1:9090"},
		},
		"IPv6 alone": {
			[]*discoveryv1.EndpointSlice{slice("a", discoveryv1.AddressTypeIPv6, endpoint("p1", "fd00::1"))},
			map[string]string{"p1": "[fd00::1]:9090"},
		},
		"a pod that moves to another slice": {
			[]*discoveryv1.EndpointSlice{
				slice("a", discoveryv1.AddressTypeIPv4, endpoint("p1", "10.0.0.1")), slice("b", discoveryv1.AddressTypeIPv4, endpoint("p1", "10.0.0.1")),
			}, map[string]string{"p1": "10.0.0.1:9090"},
		},
		"what is no address": {
			[]*discoveryv1.EndpointSlice{slice("a", discoveryv1.AddressTypeFQDN, endpoint("p1", "a.example")), slice("b", discoveryv1.AddressTypeIPv4, discoveryv1.Endpoint{})},
			map[string]string{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewSlices(&Collector{changed: make(chan struct{}, 1)}, 9090)
			for _, slice := range test.slices {
				s.Set(slice)
			}
			if diff := cmp.Diff(test.want, s.addresses()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			for _, slice := range test.slices {
				s.Delete(slice)
			}
			if got := s.addresses(); len(got) > 0 {
				t.Errorf("%v is left", got)
			}
		})
	}
}

func TestSlicesTellTheCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, nil)
		n.start("10.0.0.1:9090", counting(2))
		s := NewSlices(n.collector, 9090)
		a := slice("a", discoveryv1.AddressTypeIPv4, endpoint("p1", "10.0.0.1"))
		s.Set(a)
		pass(1e6)
		n.inFlight("listed", 2)
		s.Delete(a)
		pass(1e6)
		n.inFlight("listed no more", 0)
	})
}
