package externalscaler

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/pkg/demand"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/scaler/externalscaler/pb"
)

// trigger is what a ScaledObject asks for.
type trigger struct {
	routeRef
	// pendingRequests is the target of the fleet, whose kind is empty.
	pendingRequests int64
}

// parse reads a trigger. An error is for KEDA's log.
func parse(ref *pb.ScaledObjectRef) (trigger, error) {
	metadata := ref.GetScalerMetadata()
	t := trigger{routeRef: routeRef{namespace: ref.GetNamespace()}}
	lookup := func(key string) string { return metadata[key] }
	if t.kind, t.name = route.OfTrigger(lookup); t.name != "" {
		return t, nil
	}
	value, ok := metadata[api.TriggerPendingRequests]
	if !ok {
		return t, status.Errorf(codes.InvalidArgument,
			"the trigger metadata of ScaledObject %s/%s names nothing to measure: set %s to an InterceptorRoute or %s to an HTTPScaledObject of the same namespace",
			ref.GetNamespace(), ref.GetName(), api.TriggerInterceptorRoute, api.TriggerHTTPScaledObject)
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 1 {
		return t, status.Errorf(codes.InvalidArgument, "the trigger metadata of ScaledObject %s/%s: %s is %q, which is not a whole number above 0",
			ref.GetNamespace(), ref.GetName(), api.TriggerPendingRequests, value)
	}
	t.name, t.pendingRequests = ref.GetName(), n
	return t, nil
}

// fleet reports whether the trigger measures all routes together.
func (t trigger) fleet() bool { return t.kind == "" }

// key of the trigger's demand.
func (t trigger) key() string {
	if t.fleet() {
		return demand.Fleet
	}
	return t.routeRef.key()
}

// legacyName returns the name of the only metric of an HTTPScaledObject or the fleet.
func (t trigger) legacyName() string { return "http-" + escape(t.namespace+"/"+t.name) }

// escape writes each character outside of [-.0-9A-Za-z] as an underscore and the
// upper-case hexadecimal of its UTF-8 bytes, at least four digits.
func escape(s string) string {
	var out strings.Builder
	for _, r := range s {
		switch {
		case r == '-', r == '.', '0' <= r && r <= '9', 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z':
			out.WriteRune(r)
		default:
			digits := fmt.Sprintf("%X", string(r))
			out.WriteString("_" + strings.Repeat("0", max(4-len(digits), 0)) + digits)
		}
	}
	return out.String()
}
