package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

const usage = `modelsim simulates a model server with the APIs of OpenAI, Anthropic, Ollama, Cohere and Gemini.

A model may have any name; its end says how a request goes wrong:
  -400 to -599  fails with that status      -html  fails with 502 and a page
  -json  JSON although a stream was asked   -cut   cut in the middle of the answer
  -gzip  compressed, whatever is accepted   -hang  never answers
  -slow  200ms before each token

Flags, also by environment (-load as MODELSIM_LOAD):
`

func run() error {
	var (
		listen     = flag.String("listen", net.JoinHostPort(os.Getenv("HOST"), envOr("PORT", "8000")), "address to listen on; by default HOST and PORT of the environment")
		load       = flag.Duration("load", 8*time.Second, "how long the model takes to load")
		listenLate = flag.Bool("listen-late", false, "open the port only when the model is loaded; else it opens at once and /healthz is 503 until then")
		speed      = flag.Float64("tokens-per-second", 20, "speed of an answer; 0 is as fast as possible")
		model      = flag.String("model", "simulated", "name of the model in /v1/models")
		failure    = flag.Int("error", 0, "answer every request with this status")
		shutdown   = flag.Duration("shutdown", 5*time.Second, "how long running answers have to end after SIGTERM")
	)
	flag.Usage = func() {
		_, _ = fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	if err := setFromEnvironment(flag.CommandLine); err != nil {
		return err
	}
	flag.Parse()
	if *failure != 0 && (*failure < 400 || *failure > 599) {
		return fmt.Errorf("-error must be a status from 400 to 599, not %d", *failure)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	s := &simulator{model: *model, failure: *failure, pause: pauseOf(*speed), started: time.Now()}
	server := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	log.Printf("model %q: loading, ready in %s", *model, *load)
	if *listenLate && !sleep(ctx, *load) {
		return nil
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	if *listenLate || sleep(ctx, *load) {
		s.ready.Store(true)
		log.Printf("model %q: ready on http://%s", *model, l.Addr())
	}
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	log.Printf("model %q: going to sleep", *model)
	ctx, cancel := context.WithTimeout(context.Background(), *shutdown)
	defer cancel()
	if err := server.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
		return server.Close()
	}
	return nil
}

// setFromEnvironment gives every flag the value of its variable, if that is set.
func setFromEnvironment(flags *flag.FlagSet) error {
	var bad error
	flags.VisitAll(func(f *flag.Flag) {
		name := "MODELSIM_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if value := os.Getenv(name); value != "" {
			if err := f.Value.Set(value); err != nil {
				bad = fmt.Errorf("reading %s: %w", name, err)
			}
		}
	})
	return bad
}

func envOr(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// pauseOf is the time between two tokens.
func pauseOf(tokensPerSecond float64) time.Duration {
	if tokensPerSecond <= 0 {
		return 0
	}
	return time.Duration(float64(time.Second) / tokensPerSecond)
}

// sleep waits and says whether it did so to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
