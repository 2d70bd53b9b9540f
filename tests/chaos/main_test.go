//go:build e2e

package chaos

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/tests/chaos/defect"
	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

// settings of a run, from the environment.
type settings struct {
	seed   uint64        // CHAOS_SEED; random by default
	length time.Duration // CHAOS_TIME, of the storm
	defect string        // CHAOS_DEFECT, which the node has and the run must notice
	breaks string        // what the defect breaks
}

func readSettings() (settings, error) {
	s := settings{seed: uint64(time.Now().UnixNano()) % 1_000_000, defect: os.Getenv("CHAOS_DEFECT")}
	var err error
	if text := os.Getenv("CHAOS_SEED"); text != "" {
		if s.seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			return s, fmt.Errorf("reading CHAOS_SEED: %w", err)
		}
	}
	if s.length, err = time.ParseDuration(cmp.Or(os.Getenv("CHAOS_TIME"), "2m")); err != nil {
		return s, fmt.Errorf("reading CHAOS_TIME: %w", err)
	}
	if s.defect != "" {
		found, err := defect.Named(s.defect)
		if err != nil {
			return s, fmt.Errorf("reading CHAOS_DEFECT: %w", err)
		}
		s.breaks = found.Breaks
	}
	built, err := os.ReadFile(filepath.Join(filepath.Dir(os.Getenv(cluster.KubeconfigVariable)), "defect"))
	if err != nil {
		return s, fmt.Errorf("chaos needs a node of make e2e-up: %w", err)
	}
	if text := strings.TrimSpace(string(built)); text != s.defect {
		return s, fmt.Errorf("CHAOS_DEFECT is %q, and the node has the defect %q", s.defect, text)
	}
	return s, nil
}

// The cluster of the run, and its settings.
var (
	world   *cluster.Cluster
	current settings
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run runs the tests and returns an exit code.
func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "http-add-on-chaos-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "making a folder for the run:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }() // it is below the system's folder for temporary files
	if current, err = readSettings(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	world, err = cluster.Connect(context.Background(), cluster.Options{Folder: folder, Out: os.Stdout, Values: []string{
		"profiling.interceptor.enabled=true", "profiling.scaler.enabled=true", "profiling.operator.enabled=true",
		fmt.Sprintf("interceptor.replicas.min=%d", interceptors), fmt.Sprintf("interceptor.replicas.max=%d", interceptors),
		fmt.Sprintf("scaler.replicas=%d", scalers),
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := world.Reset(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "giving the release its default values:", err)
		return 1
	}
	return code
}
