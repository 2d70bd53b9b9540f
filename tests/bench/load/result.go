// Package load generates load. Requests come in a closed loop (as many as the connections allow)
// or in an open one. An open loop has a fixed rate, and its latencies count from when a request
// was due. The package must not know the program that it loads.
package load

import (
	"slices"
	"time"
)

// Generator has open connections and sends over them. Its methods are for one
// goroutine.
type Generator interface {
	// Run sends for d, at rate requests a second or, if rate is 0, in a closed
	// loop. It returns when everything that it sent is answered.
	Run(d time.Duration, rate float64) Result
	// Close closes the connections.
	Close()
}

// Result of a Run.
type Result struct {
	// Done is how many requests, messages or events were answered.
	Done int64
	// Failed is how many were not, and Err one of the reasons.
	Failed int64
	Err    error
	// Elapsed is how long the run took.
	Elapsed time.Duration
	// Latencies of the answered ones, sorted.
	Latencies []time.Duration
}

// Rate is requests a second.
func (r Result) Rate() float64 { return float64(r.Done) / r.Elapsed.Seconds() }

// Percentile returns the latency that a share of the requests, 0 to 1, stayed within; 0 if there
// are none.
func (r Result) Percentile(share float64) time.Duration {
	if len(r.Latencies) == 0 {
		return 0
	}
	return r.Latencies[min(int(share*float64(len(r.Latencies))), len(r.Latencies)-1)]
}

// fail records a failure.
func (r *Result) fail(err error) {
	r.Failed++
	r.Err = err
}

// done records an answer.
func (r *Result) done(latency time.Duration) {
	r.Done++
	r.Latencies = append(r.Latencies, latency)
}

func (r *Result) finish(begun time.Time) {
	r.Elapsed = time.Since(begun)
	slices.Sort(r.Latencies)
}
