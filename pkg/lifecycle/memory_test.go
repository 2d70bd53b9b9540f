package lifecycle

import (
	"math"
	"runtime/debug"
	"testing"
	"testing/fstest"
)

func TestLimitMemory(t *testing.T) {
	const mib = 1 << 20
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	for _, test := range []struct {
		reason  string
		goLimit int64
		files   map[string]string
		want    int64
	}{
		{"a container with version 2", math.MaxInt64, map[string]string{
			"proc/self/cgroup":         "0::/\n",
			"sys/fs/cgroup/memory.max": "104857600\n",
		}, 90 * mib},
		{"GOMEMLIMIT below the container's limit", 48 * mib, map[string]string{
			"proc/self/cgroup":         "0::/\n",
			"sys/fs/cgroup/memory.max": "104857600\n",
		}, 48 * mib},
		{"GOMEMLIMIT above the container's limit", 200 * mib, map[string]string{
			"proc/self/cgroup":         "0::/\n",
			"sys/fs/cgroup/memory.max": "104857600\n",
		}, 90 * mib},
		{"without proc", math.MaxInt64, map[string]string{
			"sys/fs/cgroup/memory.max": "104857600\n",
		}, 90 * mib},
		{"a service of systemd: the limit is on the slice above", math.MaxInt64, map[string]string{
			"proc/self/cgroup": "0::/system.slice/standalone.service\n",
			"sys/fs/cgroup/system.slice/standalone.service/memory.max": "max\n",
			"sys/fs/cgroup/system.slice/memory.max":                    "209715200\n",
			"sys/fs/cgroup/memory.max":                                 "419430400\n",
		}, 180 * mib},
		{"a group of a pod that sees the node's groups: its own limit is mounted at the root", math.MaxInt64, map[string]string{
			"proc/self/cgroup":         "0::/../../kubepods/pod1/c1\n",
			"sys/fs/cgroup/memory.max": "104857600\n",
		}, 90 * mib},
		{"a container with version 1", math.MaxInt64, map[string]string{
			"proc/self/cgroup":                                     "12:cpu,cpuacct:/x\n9:memory:/docker/0a\n1:name=systemd:/docker/0a\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":           "104857600\n",
			"sys/fs/cgroup/memory/docker/0a/memory.limit_in_bytes": "9223372036854771712\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes":         "1048576\n",
		}, 90 * mib},
		{"both versions: the lower limit", math.MaxInt64, map[string]string{
			"proc/self/cgroup": "4:memory:/a\n0::/b\n",
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "209715200\n",
			"sys/fs/cgroup/b/memory.max":                   "104857600\n",
		}, 90 * mib},
		{"no limit: the machine's memory", math.MaxInt64, map[string]string{
			"proc/self/cgroup":         "0::/\n",
			"sys/fs/cgroup/memory.max": "max\n",
			"proc/meminfo":             "MemTotal:       1024000 kB\nMemFree: 1 kB\n",
		}, 900 * mib},
		{"a limit above the machine's memory", math.MaxInt64, map[string]string{
			"proc/self/cgroup":         "0::/\n",
			"sys/fs/cgroup/memory.max": "209715200000\n",
			"proc/meminfo":             "MemTotal:       1024000 kB\n",
		}, 900 * mib},
		{"nothing is known", math.MaxInt64, map[string]string{
			"proc/meminfo": "?", "proc/self/cgroup": "?\n:\n\n", "sys/fs/cgroup/memory.max": "-1",
		}, math.MaxInt64},
	} {
		root := fstest.MapFS{}
		for name, content := range test.files {
			root[name] = &fstest.MapFile{Data: []byte(content)}
		}
		debug.SetMemoryLimit(test.goLimit)
		if got := LimitMemory(root); got/mib != test.want/mib {
			t.Errorf("%s: the limit is %d MiB, want %d MiB", test.reason, got/mib, test.want/mib)
		}
		if got := debug.SetMemoryLimit(-1); got/mib != test.want/mib {
			t.Errorf("%s: the Go memory limit is %d MiB, want %d MiB", test.reason, got/mib, test.want/mib)
		}
	}
}
