package route

import (
	"maps"
	"math"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// Convert returns the InterceptorRoute that is equivalent to an HTTPScaledObject, with its
// defaults set. The result shares nothing with it. Of the metadata it keeps the names, the dates
// and what users wrote. The status, and fields that only the ScaledObject needs (the workload,
// replicas, cooldown periods), have no counterpart.
//
// An object without hosts is a catch-all. One without port and portName leaves both empty in the
// target, which selects the Service's only port.
func Convert(o *v1alpha1.HTTPScaledObject) *v1beta1.InterceptorRoute {
	return &v1beta1.InterceptorRoute{
		TypeMeta: metav1.TypeMeta{
			APIVersion: v1beta1.GroupVersion.String(),
			Kind:       api.KindInterceptorRoute,
		},
		ObjectMeta: metav1.ObjectMeta{
			Namespace:         o.Namespace,
			Name:              o.Name,
			UID:               o.UID,
			Generation:        o.Generation,
			CreationTimestamp: o.CreationTimestamp,
			Labels:            maps.Clone(o.Labels),
			Annotations:       maps.Clone(o.Annotations),
		},
		Spec: v1beta1.InterceptorRouteSpec{
			Target: v1beta1.TargetRef{
				Service:  o.Spec.ScaleTargetRef.Service,
				Port:     o.Spec.ScaleTargetRef.Port,
				PortName: o.Spec.ScaleTargetRef.PortName,
			},
			Rules:         []v1beta1.RoutingRule{convertRule(&o.Spec)},
			ScalingMetric: convertMetric(&o.Spec),
			ColdStart:     convertColdStart(&o.Spec),
			Timeouts:      convertTimeouts(&o.Spec),
		},
	}
}

func convertRule(spec *v1alpha1.HTTPScaledObjectSpec) v1beta1.RoutingRule {
	rule := v1beta1.RoutingRule{Hosts: slices.Clone(spec.Hosts)}
	for _, prefix := range spec.PathPrefixes {
		rule.Paths = append(rule.Paths, v1beta1.PathMatch{Value: prefix})
	}
	for _, header := range spec.Headers {
		match := v1beta1.HeaderMatch{Name: header.Name}
		if header.Value != nil {
			match.Value = new(*header.Value)
		}
		rule.Headers = append(rule.Headers, match)
	}
	return rule
}

// convertMetric converts both metrics if both are there: that they exclude each
// other is for the operator to report.
func convertMetric(spec *v1alpha1.HTTPScaledObjectSpec) v1beta1.ScalingMetricSpec {
	var metric v1beta1.ScalingMetricSpec
	if m := spec.ScalingMetric; m != nil {
		if m.Concurrency != nil {
			metric.Concurrency = &v1beta1.ConcurrencyTargetSpec{TargetValue: metricTarget(m.Concurrency.TargetValue)}
		}
		if m.Rate != nil {
			metric.RequestRate = &v1beta1.RequestRateTargetSpec{
				TargetValue: metricTarget(m.Rate.TargetValue),
				Window:      durationOr(m.Rate.Window, defaultRateWindow),
				Granularity: durationOr(m.Rate.Granularity, defaultRateGranularity),
			}
		}
	}
	if metric.Concurrency == nil && metric.RequestRate == nil {
		pending := 0
		if old := spec.TargetPendingRequests; old != nil { //nolint:staticcheck // deprecated for users, not for us
			pending = int(*old)
		}
		metric.Concurrency = &v1beta1.ConcurrencyTargetSpec{TargetValue: metricTarget(pending)}
	}
	return metric
}

func convertColdStart(spec *v1alpha1.HTTPScaledObjectSpec) *v1beta1.ColdStartSpec {
	if spec.ColdStartTimeoutFailoverRef == nil && spec.ColdStartStreamingCallback == nil && spec.ColdStartMessage == nil {
		return nil
	}
	out := new(v1beta1.ColdStartSpec)
	if ref := spec.ColdStartTimeoutFailoverRef; ref != nil {
		out.Fallback = &v1beta1.FallbackSpec{Service: v1beta1.FallbackService{
			Name:     ref.Service,
			Port:     ref.Port,
			PortName: ref.PortName,
		}}
	}
	if callback := spec.ColdStartStreamingCallback; callback != nil {
		interval := metav1.Duration{Duration: time.Duration(callback.IntervalSeconds) * time.Second}
		out.StreamingCallback = &v1beta1.StreamingCallbackSpec{
			Message:          callback.Message,
			Interval:         durationOr(interval, defaultCallbackInterval),
			KeepaliveMessage: callback.KeepaliveMessage,
		}
	}
	if message := spec.ColdStartMessage; message != nil {
		out.WaitingPage = &v1beta1.WaitingPageSpec{Message: *message}
	}
	return out
}

// convertTimeouts takes the failover's timeout before conditionWait. A failover
// needs an end of the wait, so it has its default if neither is set.
func convertTimeouts(spec *v1alpha1.HTTPScaledObjectSpec) v1beta1.InterceptorRouteTimeouts {
	var out v1beta1.InterceptorRouteTimeouts
	if timeouts := spec.Timeouts; timeouts != nil {
		out.Readiness = positive(timeouts.ConditionWait.Duration)
		out.ResponseHeader = positive(timeouts.ResponseHeader.Duration)
	}
	if ref := spec.ColdStartTimeoutFailoverRef; ref != nil {
		switch {
		case ref.TimeoutSeconds > 0:
			out.Readiness = positive(time.Duration(ref.TimeoutSeconds) * time.Second)
		case out.Readiness == nil:
			out.Readiness = positive(FallbackReadiness)
		}
	}
	return out
}

// metricTarget returns a target that can be divided by.
func metricTarget(value int) int32 {
	if value <= 0 {
		return defaultMetricTarget
	}
	return int32(min(value, math.MaxInt32))
}

// positive returns nil, the interceptor's default, for a duration that does not count.
func positive(d time.Duration) *metav1.Duration {
	if d <= 0 {
		return nil
	}
	return &metav1.Duration{Duration: d}
}
