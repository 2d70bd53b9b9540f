// Command operator makes ScaledObjects for HTTPScaledObjects, and tells in the
// status of routes what keeps them from working. It is configured by environment
// variables and flags; --help lists the flags.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/kedacore/http-add-on/operator/app"
	"github.com/kedacore/http-add-on/operator/config"
	"github.com/kedacore/http-add-on/pkg/lifecycle"
)

func main() { lifecycle.Main("operator", run) }

func run(ctx context.Context) error {
	var logging zap.Options
	var flags config.Flags
	logging.BindFlags(flag.CommandLine)
	flags.Bind(flag.CommandLine)
	flag.Parse()

	cfg, err := config.Load(os.LookupEnv, os.Environ()...)
	if err != nil {
		return err
	}
	cfg.Flags = flags
	log := app.Quiet(zap.New(zap.UseFlagOptions(&logging)))
	useLogger(log)
	cluster, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	operator, err := app.New(ctx, cfg, cluster, log)
	if err != nil {
		return err
	}
	return operator.Run(ctx)
}

// useLogger has controller-runtime and client-go log to it: they have loggers of
// the process.
func useLogger(log logr.Logger) {
	ctrl.SetLogger(log)
	klog.SetLogger(log)
}
