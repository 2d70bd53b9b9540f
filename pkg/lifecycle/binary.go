package lifecycle

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Main runs a binary within the memory of its container, until an interrupt or a
// SIGTERM ends the context; a second signal kills the process. An error is
// printed after the binary's name, and the process exits with 1.
func Main(name string, run func(ctx context.Context) error) {
	LimitMemory(os.DirFS("/"))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}
