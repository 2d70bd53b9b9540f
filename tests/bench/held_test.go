package bench

import (
	"testing"

	"github.com/kedacore/http-add-on/tests/bench/role"
	"github.com/kedacore/http-add-on/tests/bench/scenario"
)

// heldRequests is how many requests the comparison holds.
const heldRequests = 5000

// TestHeldRequestsCostLittleMoreThanANetHTTPHandler holds the same requests in a bare handler and
// in the interceptor. Memory per request stays within 1.25 times, and every request is answered
// after one endpoint becomes ready.
func TestHeldRequestsCostLittleMoreThanANetHTTPHandler(t *testing.T) {
	backend := start(t, role.Backend, nil)
	hold := func(name string, options any) scenario.Held {
		h, err := scenario.HoldAndRelease(name, options, backend, heldRequests)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d B each, released %d of %d in %s, %s of CPU, %d connections to the backend",
			name, h.Memory, int64(heldRequests)-h.Lost, heldRequests, h.Took, h.CPU, h.Dialled)
		if h.Lost > 0 {
			t.Errorf("%s: %d of %d requests were not answered: %v", name, h.Lost, heldRequests, h.Err)
		}
		return h
	}
	bare, ours := hold(role.Handler, nil), hold(role.Interceptor, app)
	if ours.Dialled > heldRequests/4 {
		t.Errorf("%d connections for %d requests: connections are not reused", ours.Dialled, heldRequests)
	}
	ratio := float64(ours.Memory) / float64(bare.Memory)
	t.Logf("memory of a held request: ratio %.2f", ratio)
	if ratio > 1.25 {
		t.Errorf("a held request costs %.2f times a bare handler's", ratio)
	}
}
