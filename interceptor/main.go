// Command interceptor is the data plane: a reverse proxy that routes, counts and
// holds requests for Services whose workloads may sleep. Environment
// variables configure it; at startup it reports all errors in them at once.
package main

import (
	"context"
	"flag"
	"os"

	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/kedacore/http-add-on/interceptor/app"
	"github.com/kedacore/http-add-on/interceptor/config"
	"github.com/kedacore/http-add-on/pkg/lifecycle"
)

func main() { lifecycle.Main("interceptor", run) }

func run(ctx context.Context) error {
	var logging zap.Options
	logging.BindFlags(flag.CommandLine)
	flag.Parse()

	cfg, err := config.Load(os.LookupEnv, os.Environ()...)
	if err != nil {
		return err
	}
	log := zap.New(zap.UseFlagOptions(&logging))
	lifecycle.StandardLog(log)
	interceptor, err := app.NewOnCluster(cfg, log)
	if err != nil {
		return err
	}
	return interceptor.Run(ctx)
}
