package survival

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// group is a control group with a memory limit; empty where the machine
// does not allow one. Then the peak of the process is what a test looks at.
type group string

// newGroup makes a control group below that of this process (version 1), or below the
// root (version 2, whose groups with processes have no children).
func newGroup(t *testing.T, limit int64) group {
	t.Helper()
	base, file := "/sys/fs/cgroup", "memory.max"
	if own, ok := ownGroup(); ok {
		base, file = filepath.Join("/sys/fs/cgroup/memory", own), "memory.limit_in_bytes"
	}
	path := filepath.Join(base, fmt.Sprintf("survival-%d", os.Getpid()))
	if err := os.Mkdir(path, 0o755); err != nil && !os.IsExist(err) {
		t.Logf("without a control group: %v", err)
		return ""
	}
	t.Cleanup(func() { _ = os.Remove(path) })
	if err := os.WriteFile(filepath.Join(path, file), []byte(strconv.FormatInt(limit, 10)), 0o600); err != nil {
		t.Logf("without a control group: %v", err)
		return ""
	}
	return group(path)
}

// ownGroup is the path of this process in the memory hierarchy of version 1.
func ownGroup() (string, bool) {
	text, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) == 3 && fields[1] == "memory" {
			return fields[2], true
		}
	}
	return "", false
}

// add moves a process into the group.
func (g group) add(t *testing.T, pid int) {
	t.Helper()
	if g == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(string(g), "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o600); err != nil {
		t.Logf("without a control group: %v", err)
	}
}
