// Package endpoints knows which pods of a Service are ready. It picks one for a warm request, and
// releases held requests in order when pods become ready.
//
// Readiness is per Service port: a change of one port does not wake requests that wait for
// another. The package must not know of HTTP, routes or dialing. Kubernetes objects appear only
// where EndpointSlices are turned into addresses.
package endpoints

import (
	"cmp"
	"sync"
	"time"
)

// Key names one port of a Service.
type Key struct {
	// Namespace and Service are the Service's namespace and name.
	Namespace, Service string
	// Port is the name of the Service port, "" for an unnamed one, as in the
	// ports of an EndpointSlice.
	Port string
}

// Store holds the ports of all Services. It is safe for concurrent use; nothing
// on the request path goes through it: routes hold their *Port.
type Store struct {
	mu       sync.Mutex
	services map[service]map[string]*Port
	epoch    time.Time // what the endpoints' times are relative to: monotonic, one word
}

// service names a Service.
type service struct{ namespace, name string }

// NewStore returns a Store that knows of no ready endpoint.
func NewStore() *Store {
	return &Store{services: make(map[service]map[string]*Port), epoch: time.Now()}
}

// Port returns the handle of a port, always the same one for a key. A port that
// no Update has named is not ready.
func (s *Store) Port(k Key) *Port {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.port(service{k.Namespace, k.Service}, k.Port)
	p.interned = true
	return p
}

// Pod is a ready pod, which is one endpoint however many addresses it has.
type Pod struct {
	// UID identifies the pod; empty if there is no pod behind an address.
	UID string
	// Addresses are "ip:port", the preferred one first. Another one is used after that
	// was refused. There is at least one.
	Addresses []string
}

// Pods are those of one port of a Service.
type Pods struct {
	// Ready are the ready ones.
	Ready []Pod
	// Starting are those which are not ready, and may become so.
	Starting []ID
}

// id returns what the pod is known by from one update to the next.
func (p *Pod) id() string { return cmp.Or(p.UID, p.Addresses[0]) }

// Update is UpdatePods for endpoints that have one address and no UID.
func (s *Store) Update(namespace, name string, ready map[string][]string) {
	pods := make(map[string]Pods, len(ready))
	for port, addresses := range ready {
		var of Pods
		for i := range addresses {
			of.Ready = append(of.Ready, Pod{Addresses: addresses[i : i+1 : i+1]})
		}
		pods[port] = of
	}
	s.UpdatePods(namespace, name, pods)
}

// UpdatePods replaces everything known of a Service: ports maps the name of each Service port to
// its pods. A port that ports does not name has no pods. A pod that stays keeps its state. One
// that goes and comes back starts again, except that its requests in flight that have a limit
// still count.
func (s *Store) UpdatePods(namespace, name string, ports map[string]Pods) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := service{namespace, name}
	for port, pods := range ports {
		if len(pods.Ready)+len(pods.Starting) > 0 {
			s.port(of, port).update(pods)
		}
	}
	for port, p := range s.services[of] {
		if len(ports[port].Ready)+len(ports[port].Starting) > 0 {
			continue
		}
		p.update(Pods{})
		if !p.interned {
			// No one has its handle: forgotten Services must cost nothing.
			delete(s.services[of], port)
		}
	}
	if len(s.services[of]) == 0 {
		delete(s.services, of)
	}
}

// port returns a port, making it if need be. The caller holds s.mu.
func (s *Store) port(of service, name string) *Port {
	ports := s.services[of]
	if ports == nil {
		ports = make(map[string]*Port, 1)
		s.services[of] = ports
	}
	p := ports[name]
	if p == nil {
		p = &Port{epoch: s.epoch}
		ports[name] = p
	}
	return p
}
