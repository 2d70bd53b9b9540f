// Package eta estimates how far the wake of a target is. It puts the estimate into words: in
// texts of a route, on pages, and in Retry-After. It must not know routes, nor who measures, and
// does no I/O.
package eta

import (
	"strconv"
	"time"
)

// maxRetryAfter bounds Retry-After: a wake may be quicker than the last ones, and
// demand must not expire between two tries.
const maxRetryAfter = time.Minute

// Progress is how far a wake is.
type Progress struct {
	// Elapsed is the time since somebody first asked for the target.
	Elapsed time.Duration
	// Estimate is how long a wake usually takes; 0 is unknown.
	Estimate time.Duration
	// Left is when the cluster expects the target, counted from now; 0 means unknown. It is
	// better than the rest of the estimate.
	Left time.Duration
	// Stage is what the cluster reports.
	Stage Stage
}

// Overdue says that the wake takes longer than one usually does.
func (p Progress) Overdue() bool { return p.Estimate > 0 && p.Elapsed > p.Estimate }

// RetryAfter is when a client should try again: when the target is ready, as
// far as that is known, else after the given time. It is between a second and a
// minute where it is known.
func (p Progress) RetryAfter(otherwise time.Duration) time.Duration {
	left := p.Left
	if left <= 0 && p.Estimate > 0 {
		left = p.Estimate - p.Elapsed
	}
	if left <= 0 {
		return otherwise
	}
	return min(max(left, time.Second), maxRetryAfter)
}

// EstimateText is the estimate as people say it, "40 s" or "2 min", rounded up; empty
// if it is unknown.
func (p Progress) EstimateText() string {
	if p.Estimate <= 0 {
		return ""
	}
	return Words(roundUp(p.Estimate, step(p.Estimate)))
}

// ElapsedText is the elapsed time as people say it, "35 s" or "1 min 5 s".
func (p Progress) ElapsedText() string { return Words(p.Elapsed) }

// Words is a duration in words that many languages share.
func Words(d time.Duration) string {
	seconds := int64(d / time.Second)
	switch {
	case seconds < 60:
		return strconv.FormatInt(seconds, 10) + " s"
	case seconds >= 600 || seconds%60 == 0:
		return strconv.FormatInt(seconds/60, 10) + " min"
	}
	return strconv.FormatInt(seconds/60, 10) + " min " + strconv.FormatInt(seconds%60, 10) + " s"
}

// step is how exact an estimate may sound.
func step(d time.Duration) time.Duration {
	switch {
	case d <= 10*time.Second:
		return time.Second
	case d <= time.Minute:
		return 5 * time.Second
	case d <= 5*time.Minute:
		return 30 * time.Second
	}
	return time.Minute
}

func roundUp(d, to time.Duration) time.Duration { return (d + to - 1) / to * to }
