// Package interceptorroute reports in the conditions of each InterceptorRoute whether
// requests reach its target and wake it, and why not. It writes nothing else and must
// not know how a request is served.
//
// As in 0.16, Ready is True with the reason Reconciled as soon as the operator has looked at an
// object. Users who apply a route first and the rest later wait for it. Like the others, it is
// False for an object that cannot be read and so is not in effect (Undecodable).
//
// Routed is False when the target can answer no request:
//   - NoRules, InvalidRules: no request matches;
//   - RouteConflict, on all of its hosts and paths: other routes have the same rules
//     and come first (the message says which);
//   - ServiceNotFound, ServiceUnsupported, PortNotFound: there is nothing to send
//     requests to.
//
// It is True with the reason as a warning when only some requests, or only the responses in the
// meantime, differ from the spec:
//   - InvalidRules, of some of the hosts and paths, or of static routes;
//   - RouteConflict, on some of the hosts and paths;
//   - ServiceNotFound, ServiceUnsupported, PortNotFound, of the fallback;
//   - ConfigMapNotFound, ConfigMapKeyNotFound, ConfigMapNotAllowed: a static response is an error 500, or
//     the built-in waiting page is shown;
//   - InvalidTemplate: the same of a waiting page that cannot be used.
//
// Wakes is False when the target would stay asleep:
//   - NoScaledObject: nothing would wake it;
//   - ScaledObjectNotReady: KEDA refuses what would.
//
// It is True with the reason as a warning when the target would not wake for now. Somebody paused
// its ScaledObject (ScaledObjectPaused), or KEDA failed to poll the scaler or to scale
// (ScaledObjectNotReady). The same holds for what else should wake:
//   - InvalidWarmUp: a warm-up never comes;
//   - InvalidWakes: the routes that the target needs lead into a cycle, or are too many;
//   - RouteNotFound: one of them does not exist.
//
// The conditions ignore what the operator has no right to read.
package interceptorroute

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/availability"
	"github.com/kedacore/http-add-on/operator/controllers/claims"
	"github.com/kedacore/http-add-on/operator/controllers/conditions"
	"github.com/kedacore/http-add-on/pkg/route"
)

// The reasons of conditions that are this kind's own.
const (
	ReasonNoRules         = "NoRules"
	ReasonNoScaledObject  = "NoScaledObject"
	ReasonInvalidTemplate = "InvalidTemplate"
)

// Reconciler reconciles InterceptorRoutes.
type Reconciler struct {
	// Client reads from the cache.
	Client client.Client
	// Live reads what the cache does not hold: the texts of waiting pages.
	Live client.Reader
	// Status writes conditions and events.
	Status *conditions.Writer
	// KEDA is the availability of ScaledObjects; the others are of their kinds.
	KEDA, Services, ConfigMaps *availability.Kind
	// Settings of the interceptors for all routes.
	Settings route.Settings

	claims *claims.Claims
}

// Reconcile implements reconcile.Reconciler.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	raw := route.NewObject(route.InterceptorRouteKind())
	if err := r.Client.Get(ctx, request.NamespacedName, raw); err != nil {
		r.Status.Forget(api.KindInterceptorRoute, request.NamespacedName)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if raw.GetDeletionTimestamp() != nil {
		return reconcile.Result{}, nil
	}
	decoded, err := route.Decode(raw)
	if err != nil {
		_, err := r.Status.Write(ctx, raw, nil, conditions.Undecodable(err)...)
		return reconcile.Result{}, err
	}
	verdicts, err := r.examine(ctx, decoded)
	if err != nil {
		return reconcile.Result{}, err
	}
	again, err := r.Status.Write(ctx, raw, nil, verdicts...)
	return reconcile.Result{RequeueAfter: again}, err
}
