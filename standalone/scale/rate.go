package scale

import "time"

// rate is the number of requests per second over a sliding window, from a
// count of all requests that is read now and then.
type rate struct {
	window, granularity time.Duration
	last                int64
	buckets             []bucket // oldest first
}

type bucket struct {
	start    time.Time
	requests int64
}

// observe reads the count at a time not before that of the last call.
func (r *rate) observe(now time.Time, count int64) {
	requests := count - r.last
	if requests < 0 { // the route was deleted and made again
		requests = count
	}
	r.last = count
	if requests > 0 {
		start := now.Truncate(r.granularity)
		if n := len(r.buckets); n > 0 && r.buckets[n-1].start.Equal(start) {
			r.buckets[n-1].requests += requests
		} else {
			r.buckets = append(r.buckets, bucket{start: start, requests: requests})
		}
	}
	oldest := now.Add(-r.window)
	for len(r.buckets) > 0 && !r.buckets[0].start.After(oldest) {
		r.buckets = r.buckets[1:]
	}
}

// perSecond is the rate at the time of the last observation.
func (r *rate) perSecond() float64 {
	sum := int64(0)
	for _, b := range r.buckets {
		sum += b.requests
	}
	return float64(sum) / r.window.Seconds()
}
