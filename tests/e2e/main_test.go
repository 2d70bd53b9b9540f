//go:build e2e

// Package e2e proves the product on a real cluster (package cluster): one cluster for
// all scenarios, which run one after the other, each in a namespace of its own.
//
// A scenario is a test function that starts with begin; README.md shows one.
package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

// world is the cluster that all scenarios share.
var world *cluster.Cluster

func TestMain(m *testing.M) {
	os.Exit(cluster.Run(func(ctx context.Context, tools cluster.Tools) int {
		started := time.Now()
		folder, err := os.MkdirTemp("", "http-add-on-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, "making a folder for the run:", err)
			return 1
		}
		world, err = cluster.Start(ctx, tools, cluster.Options{Folder: folder, Out: os.Stdout})
		if err != nil {
			fmt.Fprintf(os.Stderr, "%v\nlogs and more are in %s\n", err, folder)
			return 1
		}
		code := m.Run()
		world.Stop()
		world.Progress("the whole run took %.0f s", time.Since(started).Seconds())
		if code != 0 {
			fmt.Fprintf(os.Stderr, "logs and more are in %s\n", folder)
			return code
		}
		_ = os.RemoveAll(folder) // it is below the system's folder for temporary files
		return 0
	}, nil))
}
