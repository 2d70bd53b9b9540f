package endpoints

import (
	"net"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Slices keeps a Store in step with EndpointSlices. It is the only part of this
// package that knows Kubernetes. It is not safe for concurrent use: an informer
// calls its handlers from one goroutine.
type Slices struct {
	store *Store
	// byService holds, for each Service, what each of its slices says: port name
	// to addresses.
	byService map[service]map[string]map[string][]string
	// owners of the slices, by namespace and name: a label may move a slice.
	owners map[types.NamespacedName]service
}

// NewSlices returns a Slices that has seen nothing yet.
func NewSlices(store *Store) *Slices {
	return &Slices{
		store: store, byService: map[service]map[string]map[string][]string{}, owners: map[types.NamespacedName]service{},
	}
}

// Set takes in a slice that is new or has changed.
func (s *Slices) Set(slice *discoveryv1.EndpointSlice) {
	name := types.NamespacedName{Namespace: slice.Namespace, Name: slice.Name}
	owner := service{slice.Namespace, slice.Labels[discoveryv1.LabelServiceName]}
	if s.owners[name] != owner {
		s.remove(name)
	}
	if owner.name == "" {
		return
	}
	if s.byService[owner] == nil {
		s.byService[owner] = map[string]map[string][]string{}
	}
	s.byService[owner][slice.Name] = readyAddresses(slice)
	s.owners[name] = owner
	s.update(owner)
}

// Delete takes out a slice that is gone.
func (s *Slices) Delete(slice *discoveryv1.EndpointSlice) {
	s.remove(types.NamespacedName{Namespace: slice.Namespace, Name: slice.Name})
}

func (s *Slices) remove(name types.NamespacedName) {
	owner, known := s.owners[name]
	if !known {
		return
	}
	delete(s.owners, name)
	delete(s.byService[owner], name.Name)
	s.update(owner)
	if len(s.byService[owner]) == 0 {
		delete(s.byService, owner)
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

// readyAddresses are the addresses of ready endpoints by port name. A ready
// condition that is not set means ready (discovery/v1 API reference). A slice
// of host names cannot be dialled by address and counts for nothing, as does a port
// that does not speak TCP.
func readyAddresses(slice *discoveryv1.EndpointSlice) map[string][]string {
	if slice.AddressType == discoveryv1.AddressTypeFQDN {
		return nil
	}
	ready := make(map[string][]string, len(slice.Ports))
	for _, port := range slice.Ports {
		if port.Port == nil || port.Protocol != nil && *port.Protocol != corev1.ProtocolTCP {
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
