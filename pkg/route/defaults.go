package route

import (
	"cmp"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// FallbackReadiness bounds the wait of a route that has a fallback and no readiness
// timeout: without a bound the fallback never answers.
const FallbackReadiness = 30 * time.Second

// Defaults of the schemas of both kinds, for objects that no API server has
// defaulted: those that were converted, or read from files.
const (
	defaultMetricTarget     = 100
	defaultRateWindow       = time.Minute
	defaultRateGranularity  = time.Second
	defaultCallbackInterval = 5 * time.Second
	defaultPageKey          = "index.html"
)

// setDefaults sets the defaults that more than one component needs. A window that
// is not positive counts as unset: 0.16 accepts one, and no rate has it.
func setDefaults(spec *v1beta1.InterceptorRouteSpec) {
	if rate := spec.ScalingMetric.RequestRate; rate != nil {
		rate.Window = durationOr(rate.Window, defaultRateWindow)
		rate.Granularity = durationOr(rate.Granularity, defaultRateGranularity)
	}
	if spec.ColdStart == nil || spec.ColdStart.WaitingPage == nil {
		return
	}
	if from := spec.ColdStart.WaitingPage.BodyFromConfigMap; from != nil {
		from.Key = cmp.Or(from.Key, defaultPageKey)
	}
}

func durationOr(d metav1.Duration, otherwise time.Duration) metav1.Duration {
	if d.Duration <= 0 {
		return metav1.Duration{Duration: otherwise}
	}
	return d
}
