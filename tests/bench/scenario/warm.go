// Package scenario measures: one function for each thing that a comparison shows.
// The tests assert ratios of what it returns, and the compare command writes it
// down. It must not know how results are shown or judged.
package scenario

import (
	"fmt"
	"slices"
	"time"

	"github.com/kedacore/http-add-on/tests/bench/contender"
	"github.com/kedacore/http-add-on/tests/bench/harness"
	"github.com/kedacore/http-add-on/tests/bench/load"
)

// Work is what every contender is given.
type Work struct {
	// Port of the contender.
	Port string
	// Open connects a generator.
	Open func(address, host string) (load.Generator, error)
	// Warmup comes before Duration, and is not measured.
	Warmup, Duration time.Duration
}

// Measurement is what one contender did in one round.
type Measurement struct {
	// Requests is how many were answered, and Failed how many were not.
	Requests, Failed int64
	// Rate is requests a second.
	Rate float64
	// CPU is processor time a request, user and system, of the whole process.
	CPU time.Duration
	// Busy is the share of one core that the process used. Well below 1 at
	// saturation, the load or the backend was the limit.
	Busy float64
	// P50 and P99 are latencies.
	P50, P99 time.Duration
	// PeakRSS is the highest resident memory, in bytes.
	PeakRSS int64
	// Allocations a request; 0 if the process does not report them.
	Allocations float64
}

// Measure runs w against c once, at rate requests a second or, if it is 0, as fast
// as possible.
func Measure(c *contender.Contender, w Work, rate float64) (Measurement, error) {
	m, err := measure(c, w, rate)
	if err != nil {
		return m, fmt.Errorf("%s: %w", c.Name, err)
	}
	return m, nil
}

func measure(c *contender.Contender, w Work, rate float64) (Measurement, error) {
	address, host, ok := c.Port(w.Port)
	if !ok {
		return Measurement{}, fmt.Errorf("there is no port for %s", w.Port)
	}
	if err := c.ResetPeak(); err != nil {
		return Measurement{}, err
	}
	generator, err := w.Open(address, host)
	if err != nil {
		return Measurement{}, err
	}
	defer generator.Close()
	if r := generator.Run(w.Warmup, rate); r.Err != nil {
		return Measurement{}, fmt.Errorf("warming up, %d of %d requests failed: %w", r.Failed, r.Failed+r.Done, r.Err)
	}
	// Reading the number of allocations costs some of both: it is done before the
	// processor time is read first, and after it is read last.
	mallocs, err := allocated(c)
	if err != nil {
		return Measurement{}, err
	}
	cpu, err := c.CPU()
	if err != nil {
		return Measurement{}, err
	}
	r := generator.Run(w.Duration, rate)
	cpuAfter, err := c.CPU()
	if err != nil {
		return Measurement{}, err
	}
	cpu = cpuAfter - cpu
	if c.Profiles != "" {
		after, err := harness.Mallocs(c.Profiles)
		if err != nil {
			return Measurement{}, err
		}
		mallocs = max(after-mallocs, 0)
	}
	if r.Done == 0 {
		return Measurement{}, fmt.Errorf("no answer in %s: %w", r.Elapsed, r.Err)
	}
	peak, err := c.PeakRSS()
	if err != nil {
		return Measurement{}, err
	}
	return Measurement{
		Requests: r.Done, Failed: r.Failed, Rate: r.Rate(),
		CPU: cpu / time.Duration(r.Done), Busy: cpu.Seconds() / r.Elapsed.Seconds(),
		P50: r.Percentile(0.5), P99: r.Percentile(0.99), PeakRSS: peak,
		Allocations: float64(mallocs) / float64(r.Done),
	}, nil
}

// allocated returns how many objects a contender has allocated, with those that
// this look at it allocates; 0 if it does not report them.
func allocated(c *contender.Contender) (int64, error) {
	if c.Profiles == "" {
		return 0, nil
	}
	first, err := harness.Mallocs(c.Profiles)
	if err != nil {
		return 0, err
	}
	second, err := harness.Mallocs(c.Profiles)
	return second + (second - first), err
}

// Rounds measures every contender that has the port, one after the other, in this many rounds.
// Other work of the machine meets all of them that way. rate is as in Measure.
func Rounds(all []*contender.Contender, w Work, rounds int, rate func(name string) float64) (map[string][]Measurement, error) {
	results := make(map[string][]Measurement)
	for range rounds {
		for _, c := range all {
			if _, _, ok := c.Port(w.Port); !ok {
				continue
			}
			var at float64
			if rate != nil {
				at = rate(c.Name)
			}
			m, err := Measure(c, w, at)
			if err != nil {
				return nil, err
			}
			results[c.Name] = append(results[c.Name], m)
		}
	}
	return results, nil
}

// Median returns the median of a value over rounds; the upper one of an even
// number.
func Median[T any, V int64 | float64 | time.Duration](rounds []T, value func(T) V) V {
	if len(rounds) == 0 {
		return 0
	}
	sorted := make([]V, 0, len(rounds))
	for _, r := range rounds {
		sorted = append(sorted, value(r))
	}
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}

// Ratio returns the median over rounds of a's value divided by b's of the same
// round.
func Ratio(a, b []Measurement, value func(Measurement) float64) float64 {
	var ratios []float64
	for n := range min(len(a), len(b)) {
		ratios = append(ratios, value(a[n])/value(b[n]))
	}
	return Median(ratios, func(r float64) float64 { return r })
}
