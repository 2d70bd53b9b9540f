// Command interceptor is the data plane: a reverse proxy that routes, counts and
// holds requests for Services whose workloads may sleep. It is configured by
// environment variables; what is wrong with them is said at the start, all at once.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/kedacore/http-add-on/interceptor/app"
	"github.com/kedacore/http-add-on/interceptor/config"
	"github.com/kedacore/http-add-on/pkg/lifecycle"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "interceptor: %v\n", err)
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
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	interceptor, err := app.NewOnCluster(cfg, zap.New(zap.UseFlagOptions(&logging)))
	if err != nil {
		return err
	}
	return interceptor.Run(ctx)
}
