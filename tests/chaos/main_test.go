//go:build e2e

package chaos

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

// settings of a run, from the environment.
type settings struct {
	seed   uint64        // CHAOS_SEED; random by default
	length time.Duration // CHAOS_TIME, of the storm
	defect string        // CHAOS_DEFECT, which the run must notice
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
	if _, known := defects[s.defect]; s.defect != "" && !known {
		return s, fmt.Errorf("CHAOS_DEFECT is %q, but there are %v", s.defect, slices.Sorted(maps.Keys(defects)))
	}
	return s, nil
}

// The cluster of the run, and its settings.
var (
	world   *cluster.Cluster
	current settings
)

func TestMain(m *testing.M) {
	os.Exit(cluster.Run(func(ctx context.Context, tools cluster.Tools) int {
		folder, err := os.MkdirTemp("", "http-add-on-chaos-")
		if err != nil {
			fmt.Fprintln(os.Stderr, "making a folder for the run:", err)
			return 1
		}
		if err := start(ctx, tools, folder); err != nil {
			fmt.Fprintf(os.Stderr, "%v\nlogs and more are in %s\n", err, folder)
			return 1
		}
		code := m.Run()
		world.Stop()
		if code != 0 {
			fmt.Fprintf(os.Stderr, "logs and more are in %s\n", folder)
			return code
		}
		_ = os.RemoveAll(folder) // it is below the system's folder for temporary files
		return 0
	}, nil))
}

// start starts the cluster.
func start(ctx context.Context, tools cluster.Tools, folder string) (err error) {
	if current, err = readSettings(); err != nil {
		return err
	}
	options := cluster.Options{Folder: folder, Out: os.Stdout, Values: []string{
		"profiling.interceptor.enabled=true", "profiling.scaler.enabled=true", "profiling.operator.enabled=true",
		fmt.Sprintf("interceptor.replicas.min=%d", interceptors), fmt.Sprintf("interceptor.replicas.max=%d", interceptors),
		fmt.Sprintf("scaler.replicas=%d", scalers),
	}}
	if defect, ok := defects[current.defect]; ok {
		overlay, err := defect.overlay(tools.Root, folder)
		if err != nil {
			return err
		}
		program := filepath.Join(folder, defect.program)
		build := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", program, "./"+defect.program)
		build.Dir = tools.Root
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false") // as in the Makefile
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building a defect: %w: %s", err, out)
		}
		options.Programs = map[string]string{defect.program: program}
	}
	world, err = cluster.Start(ctx, tools, options)
	return err
}
