package lifecycle

import (
	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
)

// Warn logs what somebody should know of the configuration. Logr has no level of warnings;
// zap, which all binaries log by, has one.
func Warn(log logr.Logger, warnings []string) {
	for _, warning := range warnings {
		if sink, ok := log.GetSink().(zapr.Underlier); ok {
			sink.GetUnderlying().Sugar().Warnw("configuration", "reason", warning)
		} else {
			log.Info("configuration", "reason", warning)
		}
	}
}
