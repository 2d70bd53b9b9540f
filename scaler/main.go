// Command scaler is KEDA's external scaler for routes. It adds up the demand that the
// interceptors report and answers KEDA's polls. When a client wants a cold route, it notifies
// KEDA at once. Environment variables configure it; at startup it reports all errors in them
// together.
package main

import (
	"context"
	"flag"
	"os"

	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/kedacore/http-add-on/pkg/lifecycle"
	"github.com/kedacore/http-add-on/scaler/app"
	"github.com/kedacore/http-add-on/scaler/config"
)

func main() { lifecycle.Main("scaler", run) }

func run(ctx context.Context) error {
	var logging zap.Options
	logging.BindFlags(flag.CommandLine)
	flag.Parse()

	cfg, err := config.Load(os.LookupEnv, os.Environ()...)
	if err != nil {
		return err
	}
	scaler, err := app.NewOnCluster(cfg, zap.New(zap.UseFlagOptions(&logging)))
	if err != nil {
		return err
	}
	return scaler.Run(ctx)
}
