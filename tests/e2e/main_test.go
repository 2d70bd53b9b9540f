//go:build e2e

// Package e2e proves the product on a real cluster (package cluster): one cluster for all
// scenarios, each in a separate namespace. Most run one after the other; those that do not
// disturb others run last, together.
//
// A scenario is a test function that starts with begin or together; README.md shows one.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

// world is the cluster that all scenarios share.
var world *cluster.Cluster

func TestMain(m *testing.M) {
	// Scenarios that run together wait most of the time; the default is one per processor.
	if err := flag.Set("test.parallel", "32"); err != nil {
		fmt.Fprintln(os.Stderr, "setting how many tests run together:", err)
		os.Exit(1)
	}
	os.Exit(run(m))
}

// run runs the tests and returns an exit code.
func run(m *testing.M) int {
	flag.Parse()
	ctx := context.Background()
	started := time.Now()
	folder, err := os.MkdirTemp("", "http-add-on-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "making a folder for the run:", err)
		return 1
	}
	world, err = cluster.Connect(ctx, cluster.Options{Folder: folder, Out: os.Stdout})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if *compareRoles || flag.Lookup("test.run").Value.String() == "" {
		code = max(code, checkRoles(ctx, world)) // of all scenarios
	}
	world.Progress("the whole run took %.0f s", time.Since(started).Seconds())
	if code != 0 {
		fmt.Fprintf(os.Stderr, "objects and events of failed scenarios are in %s\n", folder)
		return code
	}
	_ = os.RemoveAll(folder) // it is below the system's folder for temporary files
	return 0
}
