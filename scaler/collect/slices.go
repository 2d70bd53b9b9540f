package collect

import (
	"net"
	"strconv"
	"sync"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Slices lists interceptors by the EndpointSlices of their Service, ready or not. One that drains
// still holds requests, and one that has just started must report before it gets the first. It is
// safe for concurrent use.
type Slices struct {
	port      int
	collector *Collector

	mu    sync.Mutex
	known map[types.NamespacedName]*discoveryv1.EndpointSlice
}

// NewSlices returns Slices that list all their endpoints in a Collector, with the given admin
// port.
func NewSlices(collector *Collector, port int) *Slices {
	return &Slices{port: port, collector: collector, known: make(map[types.NamespacedName]*discoveryv1.EndpointSlice)}
}

// Set adds or replaces a slice. The caller must not change the slice afterwards.
func (s *Slices) Set(slice *discoveryv1.EndpointSlice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[types.NamespacedName{Namespace: slice.Namespace, Name: slice.Name}] = slice
	s.collector.List(s.addresses())
}

// Delete removes a slice.
func (s *Slices) Delete(slice *discoveryv1.EndpointSlice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, types.NamespacedName{Namespace: slice.Namespace, Name: slice.Name})
	s.collector.List(s.addresses())
}

// addresses returns one address per interceptor. A pod has a slice for each address family and
// must not count twice. A slice that is being replaced may name it again.
func (s *Slices) addresses() map[string]string {
	all, families := make(map[string]string), make(map[string]discoveryv1.AddressType)
	for _, slice := range s.known {
		if slice.AddressType == discoveryv1.AddressTypeFQDN {
			continue
		}
		for _, endpoint := range slice.Endpoints {
			if len(endpoint.Addresses) == 0 {
				continue
			}
			address := net.JoinHostPort(endpoint.Addresses[0], strconv.Itoa(s.port))
			identity := address
			if pod := endpoint.TargetRef; pod != nil && pod.UID != "" {
				identity = string(pod.UID)
			}
			if families[identity] == discoveryv1.AddressTypeIPv4 && slice.AddressType != discoveryv1.AddressTypeIPv4 {
				continue
			}
			all[identity], families[identity] = address, slice.AddressType
		}
	}
	return all
}
