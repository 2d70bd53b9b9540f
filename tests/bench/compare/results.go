package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/kedacore/http-add-on/tests/bench/scenario"
)

// Results is a run: what results.json holds, and all that the page and its plots
// are made from.
type Results struct {
	Machine    Machine
	Contenders []Version
	Missing    []string
	Rounds     int
	Time, Took time.Duration
	Warm       []Series
	Cores      []Cores
	Closing    map[string]scenario.ClosedIdle
	Held       []scenario.Held
	Release    []scenario.Release
	Streams    *scenario.ColdStreams
	Churn      []scenario.Churn
	Fleet      []scenario.Fleet
}

// Machine is where a run took place.
type Machine struct {
	CPU            string
	Cores          int
	MemoryMiB      int64
	Kernel, Go     string
	Commit         string
	Begun          time.Time
	LoadBefore     string
	ProxyOwnsACore bool
}

// Busy reports whether other work wanted more than the machine has.
func (m Machine) Busy() bool {
	load, err := strconv.ParseFloat(m.LoadBefore, 64)
	return err == nil && load > float64(m.Cores)
}

// Version of a contender.
type Version struct{ Name, Version string }

// Series is one scenario.
type Series struct {
	ID, Title   string
	Connections int
	// Share is the rate as a share of each contender's own maximum; 0 is a closed
	// loop.
	Share float64
	// Rounds by contender.
	Rounds map[string][]scenario.Measurement
}

// Cores is the interceptor, or the bare proxy, on so many cores.
type Cores struct {
	Name   string
	Cores  int
	Rounds []scenario.Measurement
}

// series returns a scenario of the run, nil if it was not run.
func (r *Results) series(id string) *Series {
	for i := range r.Warm {
		if r.Warm[i].ID == id {
			return &r.Warm[i]
		}
	}
	return nil
}

func machine(cores int, owns bool) Machine {
	m := Machine{
		Cores: cores, Go: runtime.Version(), Kernel: output("uname", "-sr"),
		Commit: output("git", "describe", "--always", "--dirty"), Begun: time.Now().UTC().Truncate(time.Second), ProxyOwnsACore: owns,
	}
	m.CPU = field("/proc/cpuinfo", "model name")
	var kib int64
	if _, err := fmt.Sscan(field("/proc/meminfo", "MemTotal"), &kib); err == nil {
		m.MemoryMiB = kib >> 10
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.LoadBefore, _, _ = strings.Cut(string(text), " ")
	}
	return m
}

// field returns the value of "name: value" in a file.
func field(path, name string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if before, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(before) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func output(name string, args ...string) string {
	text, err := exec.Command(name, args...).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}
