package app

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
)

// processor returns the CPU time that the process has used.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// heap is what the process needs.
func heap() float64 {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return float64(memory.HeapAlloc) / (1 << 20)
}

// The goal is 5 % of a core while no client asks for anything. KEDA has two streams per route; in
// the second half it also polls each route every 15 s. An iteration is one tenth of a second, so
// -benchtime 150x is one round of polls.
func BenchmarkIdle200InterceptorsOf1000Routes(b *testing.B) {
	b.Run("silent", func(b *testing.B) { idle(b, size{Interceptors: 200, Routes: 1000}) })
	b.Run("polled", func(b *testing.B) { idle(b, size{Interceptors: 200, Routes: 1000, Polled: true}) })
}

func idle(b *testing.B, s size) {
	start := processor(b)
	newScaled(b, s)
	starting := processor(b) - start
	tick := time.NewTicker(stepInterval)
	defer tick.Stop()
	for range 20 { // until its streams are open
		<-tick.C
	}
	memory := heap()
	begun, spent := time.Now(), processor(b)
	for b.Loop() {
		<-tick.C
	}
	b.ReportMetric(100*float64(processor(b)-spent)/float64(time.Since(begun)), "%-of-a-core")
	b.ReportMetric(starting.Seconds(), "cpu-s-to-start")
	b.ReportMetric(memory, "heap-MiB")
}

// Requests, routes and interceptors come and go. Memory must not grow: -benchtime 10m shows that,
// with a log line per minute.
func BenchmarkChurnOf200InterceptorsOf1000Routes(b *testing.B) {
	w := newScaled(b, size{Interceptors: 200, Routes: 1000, Polled: true})
	tick := time.NewTicker(stepInterval)
	defer tick.Stop()
	begun, spent := time.Now(), processor(b)
	var marks []float64
	step := 0
	for b.Loop() {
		<-tick.C
		step++
		w.churn(b, step)
		if time.Since(begun) > time.Duration(len(marks)+1)*time.Minute {
			marks = append(marks, heap())
			_, _ = fmt.Fprintf(os.Stderr, "after %d min: heap %.1f MiB, %d goroutines, %d steps\n",
				len(marks), marks[len(marks)-1], runtime.NumGoroutine(), step)
		}
	}
	b.ReportMetric(100*float64(processor(b)-spent)/float64(time.Since(begun)), "%-of-a-core")
	b.ReportMetric(heap(), "heap-MiB")
	// A mark may fall into the moment when all interceptors report a deletion.
	if n := len(marks); n >= 6 && slices.Min(marks[n-3:]) > 1.15*slices.Min(marks[:3]) {
		b.Errorf("memory grows: %.1f MiB each minute", marks)
	}
}
