package bench

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/tests/bench/contender"
	"github.com/kedacore/http-add-on/tests/bench/harness"
	"github.com/kedacore/http-add-on/tests/bench/scenario"
)

// warmLimits are the most that a warm request may cost, relative to a bare reverse proxy.
// docs/performance has the goals and the measurements. These limits leave room, so that they fail
// for a regression and not for a busy machine.
var warmLimits = []struct {
	scenario         string
	cpu, allocations float64
}{
	{scenario.Warm, 1.6, 1},
	{scenario.Upload8K, 1.6, 1.6},
	{scenario.Download1M, 1.6, 1.6},
	{scenario.TLSIn, 1.6, 1.6},
	{scenario.H2COut, 1.6, 1.6},
	{scenario.WebSocket, 1.6, 0},
}

// TestWarmRequestsBesideABareReverseProxy compares the interceptor and httputil.ReverseProxy.
// Each runs in a separate process in front of the same backend. In each of three rounds one runs
// after the other; the medians count.
func TestWarmRequestsBesideABareReverseProxy(t *testing.T) {
	plan := harness.NewPlan()
	if err := harness.PinSelf(plan.Load); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := harness.PinSelf(plan.All); err != nil {
			t.Error(err)
		}
	}()
	field, err := contender.Start(t.TempDir(), plan, "", os.Stderr, contender.Us, contender.Bare)
	if err != nil {
		t.Fatal(err)
	}
	defer field.Stop()
	all := scenario.Catalogue(500 * time.Millisecond)
	for _, limit := range warmLimits {
		t.Run(limit.scenario, func(t *testing.T) {
			work := scenario.Select(all, limit.scenario)[0]
			var cpu, allocations float64
			// A machine that is busy with something else gets a second look.
			for range 2 {
				results, err := scenario.Rounds(field.All, work.Work, 3, nil)
				if err != nil {
					t.Fatal(err)
				}
				ours, bare := results[contender.Us], results[contender.Bare]
				for _, m := range slices.Concat(ours, bare) {
					if m.Failed > 0 {
						t.Errorf("%d of %d requests failed", m.Failed, m.Failed+m.Requests)
					}
				}
				cpu = scenario.Ratio(ours, bare, func(m scenario.Measurement) float64 { return float64(m.CPU) })
				allocations = scenario.Ratio(ours, bare, func(m scenario.Measurement) float64 { return m.Allocations })
				t.Logf("%s: %.2f times the CPU of a bare proxy, which has %.0f requests a second, and %.2f times its allocations", work.Title, cpu,
					scenario.Median(bare, func(m scenario.Measurement) float64 { return m.Rate }), allocations)
				if cpu <= limit.cpu {
					break
				}
			}
			if cpu > limit.cpu {
				t.Errorf("a request costs %.2f times the CPU of a bare proxy's", cpu)
			}
			if limit.allocations > 0 && allocations > limit.allocations {
				t.Errorf("a request costs %.2f times the allocations of a bare proxy's", allocations)
			}
		})
	}
}
