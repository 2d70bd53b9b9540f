// Command scaler is KEDA's external scaler for routes: it adds up the demand
// that the interceptors report, answers KEDA's polls, and tells it at once when
// somebody wants a route that sleeps. It is configured by environment variables;
// what is wrong with them is said at the start, all at once.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/kedacore/http-add-on/pkg/lifecycle"
	"github.com/kedacore/http-add-on/scaler/app"
	"github.com/kedacore/http-add-on/scaler/config"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "scaler: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	var logging zap.Options
	logging.BindFlags(flag.CommandLine)
	flag.Parse()

	lifecycle.LimitMemory(os.DirFS("/"))
	cfg, err := config.Load(os.LookupEnv)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	scaler, err := app.NewOnCluster(cfg, zap.New(zap.UseFlagOptions(&logging)))
	if err != nil {
		return err
	}
	return scaler.Run(ctx)
}
