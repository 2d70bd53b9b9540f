package config

import (
	"math"
	"testing"
	"testing/fstest"
)

func TestMemory(t *testing.T) {
	const mib = 1 << 20
	for _, test := range []struct {
		reason  string
		goLimit int64
		files   map[string]string
		want    int64
	}{
		{"a container with version 2", math.MaxInt64, map[string]string{
			"proc/self/cgroup":         "0::/\n",
			"sys/fs/cgroup/memory.max": "67108864\n",
		}, 64 * mib},
		{"GOMEMLIMIT below the container's limit", 48 * mib, map[string]string{
			"proc/self/cgroup":         "0::/\n",
			"sys/fs/cgroup/memory.max": "67108864\n",
		}, 48 * mib},
		{"GOMEMLIMIT above the container's limit", 96 * mib, map[string]string{
			"sys/fs/cgroup/memory.max": "67108864\n",
		}, 64 * mib},
		{"a service of systemd: the limit is on the slice above", math.MaxInt64, map[string]string{
			"proc/self/cgroup": "0::/system.slice/standalone.service\n",
			"sys/fs/cgroup/system.slice/standalone.service/memory.max": "max\n",
			"sys/fs/cgroup/system.slice/memory.max":                    "134217728\n",
		}, 128 * mib},
		{"a container with version 1", math.MaxInt64, map[string]string{
			"proc/self/cgroup":                                     "12:cpu,cpuacct:/x\n9:memory:/docker/0a\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":           "33554432\n",
			"sys/fs/cgroup/memory/docker/0a/memory.limit_in_bytes": "9223372036854771712\n",
		}, 32 * mib},
		{"no limit: the machine's memory", math.MaxInt64, map[string]string{
			"proc/self/cgroup":         "0::/\n",
			"sys/fs/cgroup/memory.max": "max\n",
			"proc/meminfo":             "MemFree: 1 kB\nMemTotal:       1048576 kB\n",
		}, 1024 * mib},
		{"nothing is known", math.MaxInt64, map[string]string{"proc/meminfo": "?"}, 64 * mib},
	} {
		root := fstest.MapFS{}
		for name, content := range test.files {
			root[name] = &fstest.MapFile{Data: []byte(content)}
		}
		if got := memory(test.goLimit, root); got != test.want {
			t.Errorf("%s: got %d MiB, want %d MiB", test.reason, got/mib, test.want/mib)
		}
	}
}

func TestBufferedBytes(t *testing.T) {
	root := fstest.MapFS{"sys/fs/cgroup/memory.max": {Data: []byte("67108864")}}
	if got := (ColdStart{}).BufferedBytes(root); got != 16<<20 {
		t.Errorf("got %d bytes, want a quarter of 64 MiB", got)
	}
	if got := (ColdStart{MaxBufferedBytes: 5}).BufferedBytes(root); got != 5 {
		t.Errorf("got %d bytes, want what was set", got)
	}
}
