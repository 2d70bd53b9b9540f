package endpoints

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// pod is one endpoint of a slice.
type pod struct {
	address string
	ready   *bool
}

func slice(name string, kind discoveryv1.AddressType, port string, pods ...pod) *discoveryv1.EndpointSlice {
	number := int32(8080)
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "ns", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: "app"}},
		AddressType: kind,
		Ports:       []discoveryv1.EndpointPort{{Name: &port, Port: &number}},
	}
	for _, p := range pods {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{p.address}, Conditions: discoveryv1.EndpointConditions{Ready: p.ready},
		})
	}
	return s
}

func TestSlices(t *testing.T) {
	yes, no := true, false
	v4 := discoveryv1.AddressTypeIPv4
	for _, c := range []struct {
		reason string
		happen func(s *Slices)
		want   []string
	}{
		{"ready and unknown are ready", func(s *Slices) {
			s.Set(slice("a", v4, "http", pod{"10.0.0.1", &yes}, pod{"10.0.0.2", nil}, pod{"10.0.0.3", &no}))
		}, []string{"10.0.0.1:8080", "10.0.0.2:8080"}},
		{"slices of one Service add up, and one endpoint may be in two", func(s *Slices) {
			s.Set(slice("a", v4, "http", pod{"10.0.0.1", &yes}))
			s.Set(slice("b", v4, "http", pod{"10.0.0.1", &yes}, pod{"10.0.0.2", &yes}))
		}, []string{"10.0.0.1:8080", "10.0.0.2:8080"}},
		{"a change replaces what the slice said", func(s *Slices) {
			s.Set(slice("a", v4, "http", pod{"10.0.0.1", &yes}))
			s.Set(slice("a", v4, "http", pod{"10.0.0.2", &yes}))
		}, []string{"10.0.0.2:8080"}},
		{"a slice that is gone counts for nothing", func(s *Slices) {
			s.Set(slice("a", v4, "http", pod{"10.0.0.1", &yes}))
			s.Set(slice("b", v4, "http", pod{"10.0.0.2", &yes}))
			s.Delete(slice("a", v4, "http"))
		}, []string{"10.0.0.2:8080"}},
		{"the last slice gone is a sleeping Service", func(s *Slices) {
			s.Set(slice("a", v4, "http", pod{"10.0.0.1", &yes}))
			s.Delete(slice("a", v4, "http"))
		}, nil},
		{"IPv6 addresses are bracketed", func(s *Slices) {
			s.Set(slice("a", discoveryv1.AddressTypeIPv6, "http", pod{"fd00::1", &yes}))
		}, []string{"[fd00::1]:8080"}},
		{"host names cannot be dialled by address", func(s *Slices) {
			s.Set(slice("a", discoveryv1.AddressTypeFQDN, "http", pod{"pod.test", &yes}))
		}, nil},
		{"another port is another port", func(s *Slices) {
			s.Set(slice("a", v4, "admin", pod{"10.0.0.1", &yes}))
		}, nil},
		{"a slice of no Service is nobody's", func(s *Slices) {
			orphan := slice("a", v4, "http", pod{"10.0.0.1", &yes})
			orphan.Labels = nil
			s.Set(orphan)
		}, nil},
		{"a slice whose label goes away leaves nothing behind", func(s *Slices) {
			s.Set(slice("a", v4, "http", pod{"10.0.0.1", &yes}))
			orphan := slice("a", v4, "http", pod{"10.0.0.1", &yes})
			orphan.Labels = nil
			s.Set(orphan)
		}, nil},
		{"a slice whose label changes is another Service's", func(s *Slices) {
			s.Set(slice("a", v4, "http", pod{"10.0.0.1", &yes}))
			s.Set(slice("b", v4, "http", pod{"10.0.0.2", &yes}))
			moved := slice("a", v4, "http", pod{"10.0.0.1", &yes})
			moved.Labels[discoveryv1.LabelServiceName] = "other"
			s.Set(moved)
		}, []string{"10.0.0.2:8080"}},
		{"a slice that moves here and is deleted under its new label", func(s *Slices) {
			here := slice("a", v4, "http", pod{"10.0.0.1", &yes})
			there := here.DeepCopy()
			there.Labels[discoveryv1.LabelServiceName] = "other"
			s.Set(there)
			s.Set(here)
			s.Delete(there) // the last known state may be an old one
		}, nil},
		{"slices of one name in two namespaces", func(s *Slices) {
			s.Set(slice("a", v4, "http", pod{"10.0.0.1", &yes}))
			other := slice("a", v4, "http", pod{"10.0.0.2", &yes})
			other.Namespace = "other"
			s.Set(other)
			s.Delete(other)
		}, []string{"10.0.0.1:8080"}},
		{"TCP alone is dialled", func(s *Slices) {
			udp, tcp := corev1.ProtocolUDP, corev1.ProtocolTCP
			both := slice("a", v4, "quic", pod{"10.0.0.1", &yes})
			both.Ports[0].Protocol = &udp
			both.Ports = append(both.Ports, discoveryv1.EndpointPort{Name: new("http"), Port: new(int32(8081)), Protocol: &tcp})
			s.Set(both)
			other := slice("b", v4, "http", pod{"10.0.0.2", &yes})
			other.Ports[0].Protocol = &udp
			s.Set(other)
		}, []string{"10.0.0.1:8081"}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			store := NewStore()
			port := store.Port(Key{Namespace: "ns", Service: "app", Port: "http"})
			s := NewSlices(store)
			c.happen(s)
			got := ready(port)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("ready endpoints (-want +got):\n%s", diff)
			}
		})
	}
}

// ready are the addresses of each ready endpoint, the one to dial first.
func ready(p *Port) (all []string) {
	for _, e := range p.endpoints() {
		all = append(all, strings.Join(*e.addresses.Load(), " "))
	}
	return all
}

// of makes the endpoints of a slice those of pods with these UIDs, in order.
func of(s *discoveryv1.EndpointSlice, uids ...types.UID) *discoveryv1.EndpointSlice {
	for i, uid := range uids {
		s.Endpoints[i].TargetRef = &corev1.ObjectReference{UID: uid}
	}
	return s
}

func TestPodsCountOnce(t *testing.T) {
	v4, v6 := discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6
	families := func(all ...corev1.IPFamily) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "app"}, Spec: corev1.ServiceSpec{IPFamilies: all}}
	}
	four := of(slice("four", v4, "http", pod{"10.0.0.1", nil}, pod{"10.0.0.2", nil}), "p1", "p2")
	six := of(slice("six", v6, "http", pod{"fd00::1", nil}, pod{"fd00::2", nil}), "p1", "p2")
	both := []string{"10.0.0.1:8080 [fd00::1]:8080", "10.0.0.2:8080 [fd00::2]:8080"}
	turned := []string{"[fd00::1]:8080 10.0.0.1:8080", "[fd00::2]:8080 10.0.0.2:8080"}
	for _, c := range []struct {
		reason string
		happen func(s *Slices)
		want   []string
	}{
		{"IPv4 is first if nothing is known of the Service", func(s *Slices) { s.Set(six); s.Set(four) }, both},
		{"the Service's first family is first", func(s *Slices) {
			s.SetService(families(corev1.IPv6Protocol, corev1.IPv4Protocol))
			s.Set(four)
			s.Set(six)
		}, turned},
		{"the Service comes late", func(s *Slices) {
			s.Set(four)
			s.Set(six)
			s.SetService(families(corev1.IPv6Protocol, corev1.IPv4Protocol))
		}, turned},
		{"the Service is another one", func(s *Slices) {
			s.SetService(families(corev1.IPv6Protocol))
			s.Set(four)
			s.Set(six)
			s.SetService(families(corev1.IPv4Protocol, corev1.IPv6Protocol))
		}, both},
		{"the Service is gone", func(s *Slices) {
			s.SetService(families(corev1.IPv6Protocol))
			s.Set(four)
			s.Set(six)
			s.DeleteService(families(corev1.IPv6Protocol))
		}, both},
		{"one family alone", func(s *Slices) { s.Set(six) }, []string{"[fd00::1]:8080", "[fd00::2]:8080"}},
		{"ready in one family", func(s *Slices) {
			s.Set(of(slice("four", v4, "http", pod{"10.0.0.1", nil}, pod{"10.0.0.2", new(false)}), "p1", "p2"))
			s.Set(six)
		}, []string{"10.0.0.1:8080 [fd00::1]:8080", "[fd00::2]:8080"}},
		{"without pods each address is an endpoint", func(s *Slices) {
			s.Set(slice("four", v4, "http", pod{"10.0.0.1", nil}))
			s.Set(slice("six", v6, "http", pod{"fd00::1", nil}))
		}, []string{"10.0.0.1:8080", "[fd00::1]:8080"}},
		{"a pod in two slices of one family", func(s *Slices) {
			s.Set(four)
			s.Set(of(slice("more", v4, "http", pod{"10.0.0.1", nil}), "p1"))
		}, []string{"10.0.0.1:8080", "10.0.0.2:8080"}},
		{"only the first address of an endpoint counts", func(s *Slices) {
			several := of(slice("four", v4, "http", pod{"10.0.0.1", nil}), "p1")
			several.Endpoints[0].Addresses = []string{"10.0.0.1", "10.0.0.9"}
			s.Set(several)
			none := slice("none", v4, "http", pod{"", nil})
			none.Endpoints[0].Addresses = nil
			s.Set(none)
		}, []string{"10.0.0.1:8080"}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			store := NewStore()
			port := store.Port(Key{Namespace: "ns", Service: "app", Port: "http"})
			c.happen(NewSlices(store))
			if diff := cmp.Diff(c.want, ready(port)); diff != "" {
				t.Errorf("ready endpoints (-want +got):\n%s", diff)
			}
		})
	}
}

// With releaseConcurrency 1 a pod of two addresses took two requests.
func TestLimitsAreOfPods(t *testing.T) {
	store := NewStore()
	port := store.Port(Key{Namespace: "ns", Service: "app", Port: "http"})
	waiters := []*Waiter{port.Enqueue(1), port.Enqueue(1), port.Enqueue(1)}
	s := NewSlices(store)
	s.Set(of(slice("six", discoveryv1.AddressTypeIPv6, "http", pod{"fd00::1", nil}), "p1"))
	first := served(t, waiters)
	s.Set(of(slice("four", discoveryv1.AddressTypeIPv4, "http", pod{"10.0.0.1", nil}), "p1"))
	if n := len(served(t, waiters[len(first):])); len(first) != 1 || n != 0 {
		t.Fatalf("%d requests were released to one pod, and %d as its second address came", len(first), n)
	}
	first[0].Release()
	second := served(t, waiters[1:])
	if len(second) != 1 || second[0].Addr() != "10.0.0.1:8080" {
		t.Errorf("after the first %v was released", second)
	}
}
