package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/kedacore/http-add-on/tests/bench/contender"
	"github.com/kedacore/http-add-on/tests/bench/harness"
	"github.com/kedacore/http-add-on/tests/bench/role"
	"github.com/kedacore/http-add-on/tests/bench/scenario"
)

// runner measures, part by part.
type runner struct {
	out     io.Writer
	begun   time.Time
	plan    harness.Plan
	rounds  int
	ids     []string // of scenarios; empty means all
	time    time.Duration
	most    time.Duration // that the whole run may take
	traefik string
	results *Results
}

// part is a piece of a run. For those that pin, the load has separate cores.
type part struct {
	name string
	pins bool
	run  func(*runner) error
}

func parts() []part {
	return []part{
		{"warm", true, (*runner).warm},
		{"cores", false, (*runner).cores},
		{"churn", true, (*runner).churn},
		{"held", false, (*runner).held},
		{"streams", false, (*runner).streams},
		{"fleet", false, (*runner).fleet},
	}
}

func partNames() []string {
	var names []string
	for _, p := range parts() {
		names = append(names, p.name)
	}
	return names
}

// measure runs the named parts and scenarios, or all.
func (r *runner) measure(only []string) error {
	r.results.Machine = machine(max(len(r.plan.All), 1), len(r.plan.Proxy) > 0)
	r.results.Rounds, r.results.Time = r.rounds, r.time
	for _, work := range scenario.Catalogue(r.time) {
		if slices.Contains(only, work.ID) {
			r.ids = append(r.ids, work.ID)
		}
	}
	for _, p := range parts() {
		if len(only) > 0 && !slices.Contains(only, p.name) && (p.name != "warm" || len(r.ids) == 0) {
			continue
		}
		cores := r.plan.All
		if p.pins {
			cores = r.plan.Load
		}
		if err := harness.PinSelf(cores); err != nil {
			return err
		}
		if r.late() {
			r.skip(p.name, errLate)
			continue
		}
		if err := p.run(r); err != nil {
			r.skip(p.name, err)
		}
	}
	r.results.Took = time.Since(r.begun).Round(time.Second)
	return nil
}

// progress writes a line.
func (r *runner) progress(format string, args ...any) {
	fmt.Fprintf(r.out, "%5.0f s  %s\n", time.Since(r.begun).Seconds(), fmt.Sprintf(format, args...))
}

// errLate is why the rest of a run that took too long is left out.
var errLate = errors.New("the time for the whole run is over")

// late reports whether the time for the whole run is over.
func (r *runner) late() bool { return time.Since(r.begun) > r.most }

// skip reports a part or a scenario that failed; the others go on.
func (r *runner) skip(id string, err error) {
	r.results.Missing = append(r.results.Missing, fmt.Sprintf("%s: %v", id, err))
	r.progress("%s failed: %v", id, err)
}

// warm measures every scenario of the catalogue, and the most common one at 70 %
// of what each contender can do.
func (r *runner) warm() error {
	dir, err := os.MkdirTemp("", "bench-compare-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	field, err := contender.Start(dir, r.plan, r.traefik, os.Stderr,
		contender.Us, contender.Bare, contender.Nginx, contender.HAProxy, contender.Traefik)
	if err != nil {
		return err
	}
	defer field.Stop()
	for _, c := range field.All {
		r.results.Contenders = append(r.results.Contenders, Version{c.Name, c.Version})
	}
	r.results.Missing = field.Missing
	for _, reason := range field.Missing {
		r.progress("left out: %s", reason)
	}
	for _, work := range scenario.Catalogue(r.time) {
		if len(r.ids) > 0 && !slices.Contains(r.ids, work.ID) {
			continue
		}
		if r.late() {
			r.skip(work.ID, errLate)
			continue
		}
		if err := r.series(field, work, 0); err != nil {
			r.skip(work.ID, err)
			continue
		}
		if work.ID != scenario.Warm {
			continue
		}
		work.Warmup, work.Duration = r.time, 2*r.time // the rarest hundredth needs more
		if err := r.series(field, work, 0.7); err != nil {
			r.skip(work.ID+"-at-70", err)
		}
	}
	if len(r.ids) > 0 {
		return nil
	}
	r.progress("POST to a backend that closes idle connections")
	r.results.Closing, err = scenario.PostWhileBackendCloses(field.All, 100, 4*r.rounds)
	return err
}

// series measures one scenario, in a closed loop or at a share of each contender's
// rate in the closed loop.
func (r *runner) series(field *contender.Field, work scenario.Named, share float64) error {
	s := Series{ID: work.ID, Title: work.Title, Connections: work.Connections, Share: share}
	var rate func(string) float64
	if share > 0 {
		full := r.results.series(work.ID)
		s.ID += "-at-70"
		rate = func(name string) float64 { return share * scenario.Median(full.Rounds[name], rateOf) }
	}
	var err error
	if s.Rounds, err = scenario.Rounds(field.All, work.Work, r.rounds, rate); err != nil {
		return err
	}
	r.results.Warm = append(r.results.Warm, s)
	line := ""
	for _, c := range field.All {
		if rounds := s.Rounds[c.Name]; len(rounds) > 0 {
			line += fmt.Sprintf("  %s %.1f µs", c.Name, scenario.Median(rounds, cpuOf))
		}
	}
	r.progress("%-14s CPU a request:%s", s.ID, line)
	return nil
}

// The values of a measurement, in the units of the page.
func cpuOf(m scenario.Measurement) float64    { return float64(m.CPU) / 1e3 }
func rateOf(m scenario.Measurement) float64   { return m.Rate }
func p50Of(m scenario.Measurement) float64    { return float64(m.P50) / 1e6 }
func p99Of(m scenario.Measurement) float64    { return float64(m.P99) / 1e6 }
func rssOf(m scenario.Measurement) float64    { return float64(m.PeakRSS) / (1 << 20) }
func busyOf(m scenario.Measurement) float64   { return m.Busy }
func allocsOf(m scenario.Measurement) float64 { return m.Allocations }

// cores measures the interceptor and the bare proxy on one core and on two. With
// two cores in all, the load and the backend share the second.
func (r *runner) cores() error {
	if len(r.plan.All) < 2 {
		return nil
	}
	work := scenario.Select(scenario.Catalogue(r.time), scenario.Warm)[0]
	for cores := 1; cores <= 2; cores++ {
		dir, err := os.MkdirTemp("", "bench-compare-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		plan := harness.Plan{Proxy: r.plan.All[:cores], Load: r.plan.Load}
		if len(r.plan.All) > 2 {
			plan.Load = r.plan.All[2:]
		}
		if err := harness.PinSelf(plan.Load); err != nil {
			return err
		}
		field, err := contender.Start(dir, plan, "", os.Stderr, contender.Us, contender.Bare)
		if err != nil {
			return err
		}
		rounds, err := scenario.Rounds(field.All, work.Work, r.rounds, nil)
		field.Stop()
		if err != nil {
			return err
		}
		for _, c := range field.All {
			r.results.Cores = append(r.results.Cores, Cores{Name: c.Name, Cores: cores, Rounds: rounds[c.Name]})
			r.progress("%s on %d cores: %.1f µs of CPU a request, %.0f requests a second", c.Name, cores,
				scenario.Median(rounds[c.Name], cpuOf), scenario.Median(rounds[c.Name], rateOf))
		}
	}
	return nil
}

// churn measures many routes, at rest and while they change.
func (r *runner) churn() error {
	backend, err := role.Start(role.Backend, nil, r.plan.Load...)
	if err != nil {
		return err
	}
	defer backend.Stop()
	for _, routes := range []int{100, 10_000, 100_000} {
		c, err := scenario.ChangeRoutes(routes, 100, 4*r.time, backend, r.plan.Proxy...)
		if err != nil {
			return err
		}
		r.results.Churn = append(r.results.Churn, c)
		r.progress("%d routes: %d MiB, a change in effect after %v and for %v of CPU", c.Routes, c.RSS>>20, c.Effect, c.CPU)
	}
	return nil
}

// held measures holding requests and letting them go.
func (r *runner) held() error {
	backend, err := role.Start(role.Backend, nil)
	if err != nil {
		return err
	}
	defer backend.Stop()
	app := role.InterceptorOptions{Services: []string{"app"}, Metrics: true}
	for _, requests := range []int{1000, 5000, 20_000} {
		for range r.rounds {
			release, err := scenario.ReleaseBesideBackend(app, backend, requests)
			if err != nil {
				return err
			}
			r.results.Release = append(r.results.Release, release)
			r.progress("%d held: %d B each, %d lost, released in %v (%.2f times the backend's own time) for %v of CPU", requests,
				release.Memory, release.Lost, release.Took.Round(time.Millisecond), release.Ratio(), release.CPU.Round(time.Millisecond))
		}
	}
	bare, err := scenario.HoldAndRelease(role.Handler, nil, backend, 5000)
	r.results.Held = append(r.results.Held, bare)
	return err
}

// streams measures open cold streams.
func (r *runner) streams() error {
	s, err := scenario.OpenColdStreams(1000, r.rounds, 4*r.time)
	if err != nil {
		return err
	}
	r.results.Streams = &s
	r.progress("%d cold streams: %.1f %% of a core, %d B each", s.Streams, 100*s.Ours.Core, s.Ours.Memory)
	return nil
}

// fleet measures the scaler at the sizes that its model is made from, and at two
// more that check it.
func (r *runner) fleet() error {
	for _, size := range fleetSizes {
		f, err := scenario.ScaleFleet(size.Interceptors, size.Routes, 500, 2*r.time)
		if err != nil {
			return err
		}
		r.results.Fleet = append(r.results.Fleet, f)
		r.progress("scaler, %d interceptors of %d routes: %d MiB, %v to start, %v a report", f.Interceptors, f.Routes,
			f.RSS>>20, f.StartCPU.Round(time.Millisecond), f.Change())
	}
	return nil
}
