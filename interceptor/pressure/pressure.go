// Package pressure is the second line against running out of memory: it sheds what waits
// when admission has let in too much. It looks at what a collection would not free, so that
// garbage alone sheds no one. It does not know what is shed.
package pressure

import (
	"context"
	"runtime/metrics"
	"time"

	"github.com/go-logr/logr"
)

const (
	// interval is the time between two looks.
	interval = 100 * time.Millisecond
	// high and low are the parts of the limit, in percent, between which it is shed.
	high, low = 85, 75
	// batch is the part of what waits, one in so many, that is shed at a time.
	batch = 8
	// stale is how long to wait for the collection that shows what shedding has freed.
	stale = time.Second
)

// Usage is what a process takes that a collection would not free.
type Usage struct {
	Bytes int64
	// Cycles is how many collections there were: Bytes is of the last one.
	Cycles uint64
}

// Read reads the usage of this process: the live heap, stacks, and what else the runtime
// takes beside the heap.
func Read() Usage {
	samples := []metrics.Sample{
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/memory/classes/os-stacks:bytes"},
		{Name: "/memory/classes/metadata/mcache/inuse:bytes"},
		{Name: "/memory/classes/metadata/mspan/inuse:bytes"},
		{Name: "/memory/classes/metadata/other:bytes"},
		{Name: "/memory/classes/profiling/buckets:bytes"},
		{Name: "/memory/classes/other:bytes"},
	}
	metrics.Read(samples)
	u := Usage{Cycles: samples[0].Value.Uint64()}
	for _, sample := range samples[1:] {
		u.Bytes += int64(sample.Value.Uint64())
	}
	return u
}

// Watch sheds while memory is short.
type Watch struct {
	// Limit of the process, in bytes.
	Limit int64
	// Read reads the usage.
	Read func() Usage
	// Shed ends that many of those that wait, the newest first, and returns how many it
	// ended.
	Shed func(n int) int
	// Waiting is how many wait.
	Waiting func() int
	Log     logr.Logger
}

// Run watches until ctx ends.
func (w Watch) Run(ctx context.Context) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var (
		short bool
		shed  int
		last  Usage     // when it was shed
		at    time.Time // of last
	)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := w.Read()
		switch {
		case !short && now.Bytes <= w.Limit/100*high:
			continue
		case short && now.Bytes <= w.Limit/100*low:
			w.Log.Info("memory is no longer short", "shed", shed, "memory", now.Bytes)
			short, shed = false, 0
			continue
		case !short:
			short = true
			w.Log.Info("memory is short, shedding held requests; raise the memory limit or add replicas", "memory", now.Bytes, "limit", w.Limit, "waiting", w.Waiting())
		case now.Cycles == last.Cycles && time.Since(at) < stale:
			continue // the figure is from before
		}
		shed += w.Shed(max(w.Waiting()/batch, 1))
		last, at = now, time.Now()
	}
}
