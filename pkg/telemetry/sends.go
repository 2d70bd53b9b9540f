package telemetry

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"golang.org/x/time/rate"

	"github.com/kedacore/http-add-on/pkg/version"
)

// failureInterval is the minimum time between two log lines about a collector that cannot be
// reached.
const failureInterval = time.Minute

// sends tracks all sends of one signal. The SDK reports a failed send to a handler of the whole
// process, and waits for a hanging one up to its own timeouts. Instead, the failure is logged
// here, and the send abandoned when the process has no more time.
type sends struct {
	signal    string
	log       logr.Logger
	failures  rate.Sometimes
	abandoned context.Context
	abandon   context.CancelFunc
}

func newSends(signal string, log logr.Logger) *sends {
	s := &sends{signal: signal, log: log, failures: rate.Sometimes{First: 1, Interval: failureInterval}}
	s.abandoned, s.abandon = context.WithCancel(context.Background())
	return s
}

// do sends once.
func (s *sends) do(ctx context.Context, send func(context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.abandoned, cancel)()
	if err := send(ctx); err != nil {
		s.failures.Do(func() { s.log.Info("sending to the collector failed", "kind", s.signal, "reason", err.Error()) })
	}
}

// ErrorHandler logs what the SDK cannot report otherwise, such as a variable that it cannot read.
// It is for otel.SetErrorHandler, which applies to the process.
func ErrorHandler(log logr.Logger) otel.ErrorHandler {
	failures := &rate.Sometimes{First: 10, Interval: failureInterval}
	return otel.ErrorHandlerFunc(func(err error) {
		failures.Do(func() { log.Info("telemetry failed", "reason", err.Error()) })
	})
}

// bounded returns a shutdown that abandons unsent data when its context ends. It returns only
// when nothing runs anymore.
func bounded(shutdown func(context.Context) error, abandon context.CancelFunc) func(context.Context) error {
	return func(ctx context.Context) error {
		defer abandon()
		defer context.AfterFunc(ctx, abandon)()
		return shutdown(context.WithoutCancel(ctx))
	}
}

// describe is who sends: what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say
// wins. The identity tells the replicas apart, whose counters a collector would
// take for one otherwise.
func describe(component string, log logr.Logger) *resource.Resource {
	who, err := resource.New(context.Background(),
		resource.WithTelemetrySDK(),
		resource.WithHost(), // the name of the pod
		resource.WithService(),
		resource.WithAttributes(semconv.ServiceName(component), semconv.ServiceVersion(version.Version())),
		resource.WithFromEnv(),
	)
	if err != nil { // the rest is good
		log.Info("describing this process to the collector failed in part", "reason", err.Error())
	}
	return who
}
