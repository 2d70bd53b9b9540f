package harness

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of /proc/PID/stat. It is 100 Hz on every Linux platform
// that Go supports.
const clockTick = 10 * time.Millisecond

// CPU returns the processor time that the process and its children have used,
// user and system, to 10 ms.
func (p *Process) CPU() (time.Duration, error) {
	var sum time.Duration
	for _, pid := range family(p.PID()) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		// The name, in parentheses, may contain anything.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) < 13 {
			return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
		}
		for _, field := range fields[11:13] { // utime, stime
			ticks, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return 0, err
			}
			sum += time.Duration(ticks) * clockTick
		}
	}
	return sum, nil
}

// RSS returns the resident memory of the process and its children in bytes.
func (p *Process) RSS() (int64, error) { return RSS(p.PID()) }

// RSS returns the resident memory of a process and its children in bytes.
func RSS(pid int) (int64, error) { return memory(pid, "VmRSS:") }

// AnonymousRSS returns the resident memory of the process and its children that no file backs.
// The kernel can drop the rest when a container is at its limit.
func (p *Process) AnonymousRSS() (int64, error) { return memory(p.PID(), "RssAnon:") }

// PeakRSS returns the highest resident memory since ResetPeak.
func (p *Process) PeakRSS() (int64, error) { return memory(p.PID(), "VmHWM:") }

// ResetPeak restarts PeakRSS from the memory that is resident now.
func (p *Process) ResetPeak() error {
	for _, pid := range family(p.PID()) {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
			return err
		}
	}
	return nil
}

func memory(pid int, field string) (int64, error) {
	var sum int64
	for _, pid := range family(pid) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(text)) {
			rest, ok := strings.CutPrefix(line, field)
			if !ok {
				continue
			}
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0, err
			}
			sum += kib << 10
		}
	}
	return sum, nil
}

// family returns a process and its children, such as the workers of nginx.
func family(pid int) []int {
	all := []int{pid}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return all // a kernel without the file, or a process that ended
	}
	for _, field := range strings.Fields(string(text)) {
		if child, err := strconv.Atoi(field); err == nil {
			all = append(all, family(child)...)
		}
	}
	return all
}

// Mallocs returns how many objects a Go process has ever allocated, from its
// profiling port.
func Mallocs(address string) (int64, error) {
	response, err := http.Get("http://" + address + "/debug/pprof/heap?debug=1")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "# Mallocs = "); ok {
			return strconv.ParseInt(rest, 10, 64)
		}
	}
	_, _ = io.Copy(io.Discard, response.Body)
	return 0, fmt.Errorf("no number of allocations at %s: %w", address, lines.Err())
}
