package config

import (
	"io/fs"
	"math"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// smallestMemory is assumed when nothing tells how much there is: the memory
// limit of the chart's containers.
const smallestMemory = 64 << 20

// BufferedBytes resolves MaxBufferedBytes: a quarter of the memory that the
// process may use, if it is not set. root is the root of the file system
// (os.DirFS("/")).
func (c ColdStart) BufferedBytes(root fs.FS) int64 {
	if c.MaxBufferedBytes > 0 {
		return c.MaxBufferedBytes
	}
	return memory(debug.SetMemoryLimit(-1), root) / 4
}

// memory returns how many bytes the process may use: GOMEMLIMIT (goLimit) or
// the limit of its control group, whichever is less; without either, what the
// machine has.
func memory(goLimit int64, root fs.FS) int64 {
	limit := min(goLimit, cgroupLimit(root))
	if limit == math.MaxInt64 {
		return machineMemory(root)
	}
	return limit
}

// cgroupLimit is the least of the limits from the process's own control group
// up to the root's. Inside a container the own group looks like the root.
func cgroupLimit(root fs.FS) int64 {
	const mount = "sys/fs/cgroup"
	limit := int64(math.MaxInt64)
	membership, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		membership = []byte("0::/\n1:memory:/\n")
	}
	for line := range strings.Lines(string(membership)) {
		// hierarchy:controllers:path (cgroups(7)); version 2 has no controllers.
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		base, file := mount, "memory.max"
		if parts[1] != "" {
			if !containsWord(parts[1], "memory") {
				continue
			}
			base, file = path.Join(mount, "memory"), "memory.limit_in_bytes"
		}
		for group := path.Join("/", parts[2]); ; group = path.Dir(group) {
			limit = min(limit, readLimit(root, path.Join(base, group, file)))
			if group == "/" {
				break
			}
		}
	}
	return limit
}

// readLimit reads a limit; none is math.MaxInt64.
func readLimit(root fs.FS, name string) int64 {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return math.MaxInt64
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	// "max" is version 2's no limit; version 1 says the largest page-aligned number.
	if err != nil || n <= 0 || n >= 1<<62 {
		return math.MaxInt64
	}
	return n
}

// machineMemory is the physical memory.
func machineMemory(root fs.FS) int64 {
	text, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return smallestMemory
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == "MemTotal:" {
			if kib, err := strconv.ParseInt(fields[1], 10, 64); err == nil && kib > 0 {
				return kib << 10
			}
		}
	}
	return smallestMemory
}

func containsWord(list, word string) bool {
	for item := range strings.SplitSeq(list, ",") {
		if item == word {
			return true
		}
	}
	return false
}
