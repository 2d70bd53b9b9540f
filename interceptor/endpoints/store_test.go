package endpoints

import (
	"testing"
)

func TestPortsFollowTheirOwnService(t *testing.T) {
	other := []Key{
		{Namespace: "ns", Service: "web", Port: "admin"},
		{Namespace: "ns", Service: "web", Port: ""},
		{Namespace: "ns", Service: "api", Port: "http"},
		{Namespace: "other", Service: "web", Port: "http"},
	}
	s := NewStore()
	p := s.Port(web())
	if p != s.Port(web()) {
		t.Fatal("a key has two handles")
	}
	if p.Ready() {
		t.Fatal("a port is ready before any update")
	}
	set(s, "10.0.0.1:80")
	if !p.Ready() {
		t.Fatal("a port with an address is not ready")
	}
	for _, k := range other {
		if s.Port(k).Ready() {
			t.Errorf("%v is ready by another port's update", k)
		}
	}
}

func TestUpdateReplacesAllPortsOfTheService(t *testing.T) {
	tests := map[string]struct {
		ready  map[string][]string
		reason string
	}{
		"port vanished":      {map[string][]string{"admin": {"10.0.0.1:81"}}, "a port that the update does not name has no endpoint"},
		"no address":         {map[string][]string{"http": {}}, "a port with no address has no endpoint"},
		"nil":                {nil, "a Service without slices has no endpoint"},
		"unnamed port comes": {map[string][]string{"": {"10.0.0.1:80"}}, "names are compared exactly"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := NewStore()
			p := s.Port(web())
			set(s, "10.0.0.1:80")
			s.Update("ns", "web", test.ready)
			if p.Ready() {
				t.Error(test.reason)
			}
			if _, ok := p.Pick(); ok {
				t.Error("picked an endpoint of a port that has none")
			}
			set(s, "10.0.0.2:80")
			if slot, ok := p.Pick(); !ok || slot.Addr() != "10.0.0.2:80" {
				t.Errorf("picked %q after the port came back", slot.Addr())
			}
		})
	}
}

func TestEndpointsMayBeKnownBeforeTheRoute(t *testing.T) {
	s := NewStore()
	set(s, "10.0.0.1:80")
	if !s.Port(web()).Ready() {
		t.Error("the address that came before the handle is lost")
	}
}

func TestStartingPodsMayBeKnownBeforeTheRoute(t *testing.T) {
	s := NewStore()
	id := IDOf("a")
	s.UpdatePods("ns", "web", map[string]Pods{web().Port: {Starting: []ID{id}}})
	if starting, _ := s.Port(web()).Await(id); !starting {
		t.Error("the pod that came before the handle is lost")
	}
}

func TestForgottenServicesCostNothing(t *testing.T) {
	s := NewStore()
	s.UpdatePods("ns", "web", map[string]Pods{web().Port: {Starting: []ID{IDOf("a")}}})
	set(s, "10.0.0.1:80")
	s.Update("ns", "web", nil)
	if n := len(s.services); n != 0 {
		t.Errorf("%d services are kept that nobody routes to", n)
	}
	p := s.Port(web())
	set(s, "10.0.0.1:80")
	s.Update("ns", "web", nil)
	if s.Port(web()) != p {
		t.Error("a handle that a route holds was replaced")
	}
}

func TestAnAddressThatIsNamedTwiceIsOneEndpoint(t *testing.T) {
	s := NewStore()
	p := s.Port(web())
	for range 2 {
		set(s, "10.0.0.1:80", "10.0.0.1:80", "10.0.0.2:80")
		if n := len(p.endpoints()); n != 2 {
			t.Fatalf("%d endpoints of two addresses", n)
		}
	}
}
