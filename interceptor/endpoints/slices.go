package endpoints

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Slices updates a Store from EndpointSlices and the Services that they belong to. It is the only
// part of this package that knows Kubernetes. It is safe for concurrent use, because each kind
// has a separate informer.
type Slices struct {
	store *Store

	mu sync.Mutex
	// byService holds what each slice of a Service says, by its name.
	byService map[service]map[string]said
	// owners of the slices, by namespace and name: a label may move a slice.
	owners map[types.NamespacedName]service
	// ipv6 are the Services whose first IP family is IPv6.
	ipv6 map[service]struct{}
}

// said is what one slice says: the endpoints of each port, by its name, that are ready or
// may become so.
type said struct {
	family discoveryv1.AddressType
	ports  map[string][]member
}

// member is an endpoint of a slice. The UID is that of its pod, empty without one.
type member struct {
	uid     types.UID
	address string
	ready   bool
}

// NewSlices returns a Slices that has seen nothing yet.
func NewSlices(store *Store) *Slices {
	return &Slices{
		store: store, byService: map[service]map[string]said{}, owners: map[types.NamespacedName]service{}, ipv6: map[service]struct{}{},
	}
}

// Set takes in a slice that is new or has changed.
func (s *Slices) Set(slice *discoveryv1.EndpointSlice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := types.NamespacedName{Namespace: slice.Namespace, Name: slice.Name}
	owner := service{slice.Namespace, slice.Labels[discoveryv1.LabelServiceName]}
	if s.owners[name] != owner {
		s.remove(name)
	}
	if owner.name == "" {
		return
	}
	if s.byService[owner] == nil {
		s.byService[owner] = map[string]said{}
	}
	s.byService[owner][slice.Name] = said{slice.AddressType, members(slice)}
	s.owners[name] = owner
	s.update(owner)
}

// Delete takes out a slice that is gone.
func (s *Slices) Delete(slice *discoveryv1.EndpointSlice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(types.NamespacedName{Namespace: slice.Namespace, Name: slice.Name})
}

// SetService takes in a Service that is new or has changed: its first IP family is that
// of the addresses to dial.
func (s *Slices) SetService(of *corev1.Service) {
	s.prefer(of, len(of.Spec.IPFamilies) > 0 && of.Spec.IPFamilies[0] == corev1.IPv6Protocol)
}

// DeleteService takes out a Service that is gone.
func (s *Slices) DeleteService(of *corev1.Service) { s.prefer(of, false) }

func (s *Slices) prefer(of *corev1.Service, ipv6 bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := service{of.Namespace, of.Name}
	if _, before := s.ipv6[key]; before == ipv6 {
		return
	}
	if ipv6 {
		s.ipv6[key] = struct{}{}
	} else {
		delete(s.ipv6, key)
	}
	s.update(key)
}

// remove takes out a slice. The caller holds s.mu.
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

// update reports the pods of a Service to the store: those of all its slices.
// A pod has a slice for each family of addresses, and counts once. The caller holds s.mu.
func (s *Slices) update(key service) {
	family := discoveryv1.AddressTypeIPv4
	if _, ok := s.ipv6[key]; ok {
		family = discoveryv1.AddressTypeIPv6
	}
	first, others := map[string][]member{}, map[string][]member{}
	for _, slice := range s.byService[key] {
		into := others
		if slice.family == family {
			into = first
		}
		for port, members := range slice.ports {
			into[port] = append(into[port], members...)
		}
	}
	pods := make(map[string]Pods, len(first))
	for _, members := range []map[string][]member{first, others} {
		for port, list := range members {
			slices.SortFunc(list, func(a, b member) int {
				return cmp.Or(cmp.Compare(a.address, b.address), cmp.Compare(a.uid, b.uid))
			})
			pods[port] = join(pods[port], list)
		}
	}
	s.store.UpdatePods(key.namespace, key.name, pods)
}

// join adds members to pods: each to the pod that it belongs to. While the controller
// moves endpoints, two slices may hold the same one.
func join(pods Pods, members []member) Pods {
	at := make(map[string]int, len(pods.Ready)+len(members))
	for i := range pods.Ready {
		at[pods.Ready[i].id()] = i
	}
	for _, m := range members {
		pod := Pod{UID: string(m.uid), Addresses: []string{m.address}}
		i, known := at[pod.id()]
		switch {
		case !m.ready:
			pods.Starting = append(pods.Starting, pod.ID())
		case !known:
			at[pod.id()] = len(pods.Ready)
			pods.Ready = append(pods.Ready, pod)
		case !slices.Contains(pods.Ready[i].Addresses, m.address):
			pods.Ready[i].Addresses = append(pods.Ready[i].Addresses, m.address)
		}
	}
	return pods
}

// members returns the endpoints of each port that are ready, or not yet and not terminating. An
// unset ready condition means ready, and all addresses but the first are to be ignored
// (discovery/v1 API reference). A slice of host names cannot be dialed by address and does not
// count, nor does a port that does not speak TCP.
func members(slice *discoveryv1.EndpointSlice) map[string][]member {
	if slice.AddressType == discoveryv1.AddressTypeFQDN {
		return nil
	}
	all := make(map[string][]member, len(slice.Ports))
	for _, port := range slice.Ports {
		if port.Port == nil || port.Protocol != nil && *port.Protocol != corev1.ProtocolTCP {
			continue
		}
		name := ""
		if port.Name != nil {
			name = *port.Name
		}
		for _, endpoint := range slice.Endpoints {
			is := &endpoint.Conditions
			ready := is.Ready == nil || *is.Ready
			if len(endpoint.Addresses) == 0 || !ready && is.Terminating != nil && *is.Terminating {
				continue
			}
			m := member{address: net.JoinHostPort(endpoint.Addresses[0], strconv.Itoa(int(*port.Port))), ready: ready}
			if endpoint.TargetRef != nil {
				m.uid = endpoint.TargetRef.UID
			}
			all[name] = append(all[name], m)
		}
	}
	return all
}
