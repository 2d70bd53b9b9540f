package endpoints

import (
	"net"
	"slices"
	"strconv"

	discoveryv1 "k8s.io/api/discovery/v1"
)

// Slices keeps a Store in step with EndpointSlices. It is the only part of this
// package that knows Kubernetes. It is not safe for concurrent use: an informer
// calls its handlers from one goroutine.
type Slices struct {
	store *Store
	// byService holds, for each Service, what each of its slices says: port name
	// to addresses.
	byService map[service]map[string]map[string][]string
}

// NewSlices returns a Slices that has seen nothing yet.
func NewSlices(store *Store) *Slices {
	return &Slices{store: store, byService: map[service]map[string]map[string][]string{}}
}

// Set takes in a slice that is new or has changed.
func (s *Slices) Set(slice *discoveryv1.EndpointSlice) {
	key, ok := serviceOf(slice)
	if !ok {
		return
	}
	if s.byService[key] == nil {
		s.byService[key] = map[string]map[string][]string{}
	}
	s.byService[key][slice.Name] = readyAddresses(slice)
	s.update(key)
}

// Delete takes out a slice that is gone.
func (s *Slices) Delete(slice *discoveryv1.EndpointSlice) {
	key, ok := serviceOf(slice)
	if !ok {
		return
	}
	delete(s.byService[key], slice.Name)
	s.update(key)
	if len(s.byService[key]) == 0 {
		delete(s.byService, key)
	}
}

// update tells the store the union of a Service's slices.
func (s *Slices) update(key service) {
	ready := map[string][]string{}
	for _, ports := range s.byService[key] {
		for port, addresses := range ports {
			ready[port] = append(ready[port], addresses...)
		}
	}
	for port, addresses := range ready {
		// While the controller moves endpoints, two slices may hold the same one.
		slices.Sort(addresses)
		ready[port] = slices.Compact(addresses)
	}
	s.store.Update(key.namespace, key.name, ready)
}

func serviceOf(slice *discoveryv1.EndpointSlice) (service, bool) {
	name := slice.Labels[discoveryv1.LabelServiceName]
	return service{slice.Namespace, name}, name != ""
}

// readyAddresses are the addresses of ready endpoints by port name. A ready
// condition that is not set means ready (discovery/v1 API reference). A slice
// of host names cannot be dialled by address and counts for nothing.
func readyAddresses(slice *discoveryv1.EndpointSlice) map[string][]string {
	if slice.AddressType == discoveryv1.AddressTypeFQDN {
		return nil
	}
	ready := make(map[string][]string, len(slice.Ports))
	for _, port := range slice.Ports {
		if port.Port == nil {
			continue
		}
		name := ""
		if port.Name != nil {
			name = *port.Name
		}
		for _, endpoint := range slice.Endpoints {
			if endpoint.Conditions.Ready != nil && !*endpoint.Conditions.Ready {
				continue
			}
			for _, address := range endpoint.Addresses {
				ready[name] = append(ready[name], net.JoinHostPort(address, strconv.Itoa(int(*port.Port))))
			}
		}
	}
	return ready
}
