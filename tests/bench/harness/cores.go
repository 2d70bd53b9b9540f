package harness

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Plan assigns cores to the measured process, and to the load and the backend together. All has
// the cores of both.
type Plan struct{ Proxy, Load, All []int }

// NewPlan splits the cores that this process may use: the first is for the
// measured process, the others are for the rest. With one core, all share it.
func NewPlan() Plan {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return Plan{}
	}
	var cores []int
	for core := 0; len(cores) < set.Count(); core++ {
		if set.IsSet(core) {
			cores = append(cores, core)
		}
	}
	if len(cores) < 2 {
		return Plan{}
	}
	return Plan{Proxy: cores[:1], Load: cores[1:], All: cores}
}

// PinSelf confines every thread of this process, and those that they start, to
// cores.
func PinSelf(cores []int) error {
	if len(cores) == 0 {
		return nil
	}
	set := setOf(cores)
	// Once more for threads that started meanwhile.
	for range 2 {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, task := range tasks {
			id, err := strconv.Atoi(task.Name())
			if err != nil {
				return err
			}
			if err := unix.SchedSetaffinity(id, &set); err != nil && err != unix.ESRCH {
				return fmt.Errorf("pinning thread %d: %w", id, err)
			}
		}
	}
	runtime.GOMAXPROCS(len(cores))
	return nil
}

// onCores calls f with the calling thread confined to cores: a process that f
// starts inherits that.
func onCores(cores []int, f func() error) error {
	if len(cores) == 0 {
		return f()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	set := setOf(cores)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return err
	}
	defer func() { _ = unix.SchedSetaffinity(0, &before) }() // it was allowed before
	return f()
}

func setOf(cores []int) unix.CPUSet {
	var set unix.CPUSet
	for _, core := range cores {
		set.Set(core)
	}
	return set
}
