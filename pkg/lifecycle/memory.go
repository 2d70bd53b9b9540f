// Package lifecycle is what every binary does around its work. It starts, keeps within the memory
// of its container, listens, serves auxiliary ports, and stops in order. It must not know what a
// binary does.
package lifecycle

import (
	"fmt"
	"io/fs"
	"math"
	"path"
	"runtime/debug"
	"slices"
	"strings"
)

// LimitMemory sets the Go memory limit to nine tenths of what the control groups of the process
// allow. If the machine's memory is less, that counts instead. A lower GOMEMLIMIT stays. Without
// a limit, the garbage collector lets the heap grow until the kernel kills the container.
//
// Any group from the process's own up to the root may have a limit. systemd sets limits on
// slices, and inside a container the own group is the root. The parameter is the root of the file
// system, os.DirFS("/"). LimitMemory returns the limit in force.
func LimitMemory(root fs.FS) int64 {
	allowed := int64(math.MaxInt64)
	lower := func(name, label string, unit int64) {
		text, _ := fs.ReadFile(root, name) // a file that is not there sets no limit
		_, number, _ := strings.Cut(string(text), label)
		// Without a limit version 2 has "max", version 1 the largest number of pages.
		var n int64
		if _, err := fmt.Sscan(number, &n); err == nil && n > 0 && n < allowed/unit {
			allowed = n * unit
		}
	}
	lower("proc/meminfo", "MemTotal:", 1<<10)
	groups, _ := fs.ReadFile(root, "proc/self/cgroup")
	for line := range strings.Lines(string(groups) + "\n0::/\n1:memory:/\n") {
		// hierarchy:controllers:path (cgroups(7)); version 2 has no controllers.
		_, line, _ = strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(line, ":")
		base, file := "sys/fs/cgroup", "memory.max"
		if controllers != "" {
			base, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
			if !slices.Contains(strings.Split(controllers, ","), "memory") {
				continue
			}
		}
		for group = path.Join("/", group); ; group = path.Dir(group) {
			lower(path.Join(base, group, file), "", 1)
			if group == "/" {
				break
			}
		}
	}
	if debug.SetMemoryLimit(-1) > allowed {
		debug.SetMemoryLimit(allowed / 10 * 9)
	}
	return debug.SetMemoryLimit(-1)
}
