package demand

import "time"

// maxBuckets bounds the memory of a window, whatever its granularity: 8 KiB.
const maxBuckets = 1024

// Window counts requests in a sliding window of time. Its memory is bounded by
// its number of buckets, and allocated by the first request. It is not safe for
// concurrent use.
type Window struct {
	length time.Duration
	width  time.Duration // of a bucket
	n      int64         // buckets in a length

	// ring holds the counts of the buckets (newest-n) to newest. That is one more than fit into
	// the window, because the oldest one is only partly out of it.
	ring   []int64
	total  int64
	newest int64 // number of the newest bucket since the zero of Unix time
}

// NewWindow returns an empty window. It corrects parameters out of bounds: a length is at least a
// millisecond, a granularity at most the length. The granularity is also coarse enough for at
// most 1024 buckets.
func NewWindow(length, granularity time.Duration) *Window {
	length = max(length, time.Millisecond)
	granularity = min(max(granularity, length/maxBuckets, 1), length)
	n := min(int64((length-1)/granularity)+1, maxBuckets)
	width := max(length/time.Duration(n), 1)
	return &Window{length: width * time.Duration(n), width: width, n: n}
}

// Length is the length of the window.
func (w *Window) Length() time.Duration { return w.length }

// Add counts n requests, spread evenly between from and to.
func (w *Window) Add(from, to time.Time, n int64) {
	if n <= 0 {
		return
	}
	last := w.bucket(to)
	w.advance(last)
	if w.ring == nil {
		w.ring = make([]int64, w.n+1)
		w.newest = last
	}
	first := min(from.UnixNano()/int64(w.width), last)
	span := float64(last - first + 1)
	// upTo is how many of the n fall into the first k buckets of the span.
	upTo := func(k int64) int64 { return int64(float64(n) * float64(k) / span) }
	for b := max(first, w.newest-w.n); b <= last; b++ {
		share := upTo(b-first+1) - upTo(b-first)
		if b == last {
			share = n - upTo(b-first)
		}
		w.ring[w.slot(b)] += share
		w.total += share
	}
}

// Count returns the number of requests in one length before now. The oldest bucket counts by the
// part of it that is still in the window, so that a steady rate is exact.
func (w *Window) Count(now time.Time) float64 {
	w.advance(w.bucket(now))
	if w.total == 0 {
		return 0
	}
	passed := min(float64(now.UnixNano()-w.newest*int64(w.width))/float64(w.width), 1)
	oldest := float64(w.ring[w.slot(w.newest-w.n)])
	return float64(w.total) - oldest*passed
}

// Resized returns a window of another length and granularity with the requests
// of this one.
func (w *Window) Resized(length, granularity time.Duration) *Window {
	resized := NewWindow(length, granularity)
	if w.total == 0 {
		return resized
	}
	for b := w.newest - w.n; b <= w.newest; b++ {
		at := time.Unix(0, b*int64(w.width))
		resized.Add(at, at, w.ring[w.slot(b)])
	}
	return resized
}

// advance makes b the newest bucket and drops buckets that are too old by then. A clock that goes
// back changes nothing.
func (w *Window) advance(b int64) {
	if w.total == 0 {
		w.newest = max(w.newest, b)
		return // every bucket is empty
	}
	if b-w.newest > w.n {
		clear(w.ring)
		w.total, w.newest = 0, b
		return
	}
	for ; w.newest < b; w.newest++ {
		slot := w.slot(w.newest + 1) // until now the oldest one
		w.total -= w.ring[slot]
		w.ring[slot] = 0
	}
}

func (w *Window) bucket(at time.Time) int64 {
	return max(at.UnixNano()/int64(w.width), w.newest-w.n)
}

func (w *Window) slot(b int64) int64 { return ((b % (w.n + 1)) + w.n + 1) % (w.n + 1) }
