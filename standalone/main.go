// Command standalone is the KEDA HTTP Add-on on one machine, without a cluster. It reads the same
// manifests and runs Deployments as local processes. It wakes them when requests come, and stops
// them when no requests are left.
package main

import (
	"context"
	"errors"
	"flag"
	"os"

	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/kedacore/http-add-on/pkg/lifecycle"
	"github.com/kedacore/http-add-on/standalone/app"
)

func main() {
	options := app.LogOptions()
	settings, err := app.ParseFlags(os.Args[1:], os.Stderr, options.BindFlags)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		os.Exit(2)
	}
	settings.Log = zap.New(zap.UseFlagOptions(&options))
	lifecycle.StandardLog(settings.Log)
	settings.Lookup, settings.Environ = os.LookupEnv, os.Environ()
	settings.Output = os.Stderr

	lifecycle.Main("standalone", func(ctx context.Context) error { return app.Run(ctx, settings) })
}
