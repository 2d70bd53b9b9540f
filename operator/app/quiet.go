package app

import (
	"context"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
)

// Quiet returns a logger that does not take for an error what a namespace that goes away
// refuses: client-go does, of each event.
func Quiet(log logr.Logger) logr.Logger {
	return log.WithSink(quiet{log.GetSink()})
}

type quiet struct{ logr.LogSink }

func (s quiet) Error(err error, message string, keysAndValues ...any) {
	switch {
	case !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		s.LogSink.Error(err, message, keysAndValues...)
	case s.Enabled(1):
		s.Info(1, message, append(keysAndValues, "reason", err.Error())...)
	}
}

func (s quiet) WithValues(keysAndValues ...any) logr.LogSink {
	return quiet{s.LogSink.WithValues(keysAndValues...)}
}

func (s quiet) WithName(name string) logr.LogSink { return quiet{s.LogSink.WithName(name)} }

// WithCallDepth implements logr.CallDepthLogSink.
func (s quiet) WithCallDepth(depth int) logr.LogSink {
	if deep, ok := s.LogSink.(logr.CallDepthLogSink); ok {
		return quiet{deep.WithCallDepth(depth)}
	}
	return s
}

// warnings logs warnings of the API server at V(1). KEDA warns of each ScaledObject whose
// minReplicaCount is 1 or more, and its author reads that from kubectl.
type warnings struct{}

var _ rest.WarningHandlerWithContext = warnings{}

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext.
func (warnings) HandleWarningHeaderWithContext(ctx context.Context, _ int, _, message string) {
	ctrl.LoggerFrom(ctx).V(1).Info("the API server warns", "warning", message)
}
