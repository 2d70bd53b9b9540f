package endpoints

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
			var got []string
			for _, e := range port.endpoints() {
				got = append(got, e.address)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("ready endpoints (-want +got):\n%s", diff)
			}
		})
	}
}
