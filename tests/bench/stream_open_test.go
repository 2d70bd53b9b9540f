package bench

import (
	"slices"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/tests/bench/scenario"
)

// TestOpenStreamsCostLittleMoreThanANetHTTPHandler compares the cost of cold streams with an
// interval of a second to as many of a bare handler. Both write the same bytes at the same time.
func TestOpenStreamsCostLittleMoreThanANetHTTPHandler(t *testing.T) {
	const looks = 5
	s, err := scenario.OpenColdStreams(1000, looks, 4*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(s.Ratios)
	middle, memory := s.Ratios[looks/2], float64(s.Ours.Memory)/float64(s.Bare.Memory)
	t.Logf("%d streams: bare %.1f %% of a core, %d B each; interceptor %.1f %%, %d B; ratios %.2f of CPU (%.2f) and %.2f of memory",
		s.Streams, 100*s.Bare.Core, s.Bare.Memory, 100*s.Ours.Core, s.Ours.Memory, middle, s.Ratios, memory)
	if r := float64(s.Ours.Bytes) / float64(s.Bare.Bytes); r < 0.9 || r > 1.1 {
		t.Errorf("the two write different streams: %d and %d bytes", s.Bare.Bytes, s.Ours.Bytes)
	}
	if middle > 2 { // the goal is 1.25, but a look is short and the machine may be busy
		t.Errorf("an open stream costs %.2f times the CPU of a bare handler's", middle)
	}
	if memory > 1.25 {
		t.Errorf("an open stream costs %.2f times the memory of a bare handler's", memory)
	}
}
