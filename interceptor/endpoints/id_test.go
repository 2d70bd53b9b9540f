package endpoints

import (
	"fmt"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
)

func TestParseID(t *testing.T) {
	for _, id := range []ID{0, 1, 0xfedcba9876543210, 1<<64 - 1} {
		text := id.String()
		if want := fmt.Sprintf("%016x", uint64(id)); text != want {
			t.Errorf("the text of %d is %q, want %q", id, text, want)
		}
		if got, ok := ParseID(text); !ok || got != id {
			t.Errorf("%q is %d, %t", text, got, ok)
		}
	}
	for _, text := range []string{"", "0", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeF", "0123456789abcdeg", "+123456789abcdef", "0x23456789abcdef", "0123456789abcde/"} {
		if id, ok := ParseID(text); ok {
			t.Errorf("%q is %d", text, id)
		}
	}
}

func TestPickID(t *testing.T) {
	s := NewStore()
	p := s.Port(web())
	a, b := IDOf("a"), IDOf("b")
	pods(s, "a", "b")
	for range 3 { // whatever its load
		slot, ok := p.PickID(b)
		if !ok || slot.Addr() != "b1" || slot.ID() != b || slot.Gone() {
			t.Fatalf("got %q, %t", slot.Addr(), ok)
		}
		defer slot.Release()
	}
	slot, _ := p.PickID(a)
	if moved := slot.Prefer(b); moved.ID() != b {
		t.Errorf("moved to %s", moved.Addr())
	} else {
		pods(s, "a")
		if !moved.Gone() {
			t.Error("the endpoint is gone")
		}
		if stays := moved.Prefer(b); stays != moved {
			t.Error("a Slot of the pod must stay")
		}
		moved.Release()
	}
	if slot, ok := p.PickID(b); ok {
		t.Errorf("a pod that is gone is at %s", slot.Addr())
	}
	slot, _ = p.PickID(a)
	if stays := slot.Prefer(b); stays != slot {
		t.Error("a Slot must stay when the pod is gone")
	}
	slot.Release()
}

// A pod is known by its UID whatever its address, and tells neither.
func TestIDsAreOfPods(t *testing.T) {
	id := (&Pod{UID: "a", Addresses: []string{"10.0.0.1:80"}}).ID()
	if moved := (&Pod{UID: "a", Addresses: []string{"10.0.0.2:80"}}).ID(); moved != id {
		t.Error("a pod has two IDs")
	}
	if other := (&Pod{UID: "b", Addresses: []string{"10.0.0.1:80"}}).ID(); other == id {
		t.Error("two pods have one ID")
	}
	one, two := (&Pod{Addresses: []string{"10.0.0.1:80"}}).ID(), (&Pod{Addresses: []string{"10.0.0.2:80"}}).ID()
	if one == two {
		t.Error("two endpoints without a pod have one ID")
	}
}

// A pod that is listed before it is ready is waited for; one that terminates is not.
func TestAwait(t *testing.T) {
	yes, no := true, false
	store := NewStore()
	port := store.Port(Key{Namespace: "ns", Service: "app", Port: "http"})
	s := NewSlices(store)
	id := IDOf("10.0.0.1:8080")
	v4 := discoveryv1.AddressTypeIPv4
	terminating := slice("a", v4, "http", pod{"10.0.0.1", &no})
	terminating.Endpoints[0].Conditions.Terminating = &yes
	for _, step := range []struct {
		reason   string
		slice    *discoveryv1.EndpointSlice
		starting bool
	}{
		{"another pod", slice("a", v4, "http", pod{"10.0.0.2", &no}), false},
		{"it starts", slice("a", v4, "http", pod{"10.0.0.1", &no}), true},
		{"it is ready", slice("a", v4, "http", pod{"10.0.0.1", &yes}), false},
		{"it is not ready for a moment", slice("a", v4, "http", pod{"10.0.0.1", &no}), true},
		{"it terminates", terminating, false},
		{"it is gone", slice("a", v4, "http"), false},
	} {
		_, changed := port.Await(id)
		s.Set(step.slice)
		select {
		case <-changed:
		default:
			t.Errorf("%s: no news", step.reason)
		}
		starting, changed := port.Await(id)
		if starting != step.starting {
			t.Errorf("%s: starting is %t", step.reason, starting)
		}
		if has := port.Has(id); has != (starting || step.reason == "it is ready") {
			t.Errorf("%s: the port has it: %t", step.reason, has)
		}
		select {
		case <-changed:
			t.Errorf("%s: news before anything changed", step.reason)
		default:
		}
	}
}
