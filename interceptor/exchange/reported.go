package exchange

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedacore/http-add-on/interceptor/coldstart/eta"
)

// Reported is what the cluster has last reported of the wakes of a route. It outlives the
// compiled routes, which are replaced with each edit, and changes without them. It is safe
// for concurrent use; a nil Reported has nothing.
type Reported struct {
	current atomic.Pointer[Report]

	mu      sync.Mutex
	changed chan struct{} // closed with the next report; nil if no one asked
}

// Report is one report, immutable.
type Report struct {
	// Kind of the object that it is from.
	Kind string
	// Stage of the wake.
	Stage eta.Stage
	// Reason is that of the stage as the API names it, for traces; empty means no reason.
	Reason string
	// Expected is when the target is expected; zero is unknown.
	Expected time.Time
	// Failed is when the operator found that the wake cannot succeed as it is, by its clock; zero
	// is not at all.
	Failed time.Time
	// FailedUntil is how long that counts, by the clock of this process.
	FailedUntil time.Time
	// At is when the report came here.
	At time.Time
}

// Set replaces the report. Nil removes the report of a kind, if there is one of that kind.
func (r *Reported) Set(kind string, report *Report) {
	if before := r.current.Load(); report == nil && before != nil && before.Kind != kind {
		return
	}
	r.current.Store(report)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// Changed returns a channel that is closed with the next report.
func (r *Reported) Changed() <-chan struct{} {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed
}

// Load returns the report. It returns the zero Report without one, or if the report came
// before a time: it belongs to a past wake.
func (r *Reported) Load(after time.Time) Report {
	if r == nil {
		return Report{}
	}
	report := r.current.Load()
	if report == nil || report.At.Before(after) {
		return Report{}
	}
	return *report
}
