package interceptorroute

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/operator/controllers/conditions"
	"github.com/kedacore/http-add-on/operator/controllers/scaledobjects"
	"github.com/kedacore/http-add-on/operator/keda"
	"github.com/kedacore/http-add-on/pkg/route"
)

// wakes returns the condition that reports whether anything would wake the target, and what
// it needs.
//
// A trigger that names an HTTPScaledObject of the route's name does, because demand is counted
// under the name alone. But the scaler answers it only while there is such an object.
func (r *Reconciler) wakes(ctx context.Context, object *v1beta1.InterceptorRoute) (metav1.Condition, error) {
	fine := "demand wakes the target"
	warnings, err := r.warnings(ctx, object)
	if err != nil {
		return metav1.Condition{}, err
	}
	verdict := func(problems ...conditions.Problem) metav1.Condition {
		return conditions.Verdict(api.ConditionWakes, append(problems, warnings...), fine)
	}
	nothing := func(format string, args ...any) metav1.Condition {
		return verdict(conditions.Problem{Reason: ReasonNoScaledObject, Message: "nothing wakes the target: " + fmt.Sprintf(format, args...)})
	}
	if !r.KEDA.Available() {
		return nothing("KEDA is not installed"), nil
	}
	waking, err := r.referring(ctx, object, api.KindInterceptorRoute)
	if err != nil {
		return metav1.Condition{}, err
	}
	if len(waking) == 0 {
		if waking, err = r.referring(ctx, object, api.KindHTTPScaledObject); err != nil {
			return metav1.Condition{}, err
		}
		if len(waking) == 0 {
			return nothing("no ScaledObject of this namespace has an %s trigger with %s: %s",
				keda.TriggerExternalPush, api.TriggerInterceptorRoute, object.Name), nil
		}
		if there, err := r.hasHTTPScaledObject(ctx, object); err != nil {
			return metav1.Condition{}, err
		} else if !there {
			return nothing("the trigger of the ScaledObject %q has %s in place of %s: %s",
				waking[0].GetName(), api.TriggerHTTPScaledObject, api.TriggerInterceptorRoute, object.Name), nil
		}
		fine += ", as long as there is an HTTPScaledObject of the same name"
	}
	var worst *conditions.Problem
	for i := range waking {
		problem := scaledobjects.Problem(&waking[i])
		if problem == nil {
			return verdict(), nil // one that works is enough
		}
		if worst == nil || worst.Warning && !problem.Warning {
			worst = problem
		}
	}
	return verdict(*worst), nil
}

// referring returns the ScaledObjects of which a trigger names an object of a kind with
// the route's name.
func (r *Reconciler) referring(ctx context.Context, object *v1beta1.InterceptorRoute, kind string) ([]unstructured.Unstructured, error) {
	return scaledobjects.Referring(ctx, r.Client, object.Namespace, keda.Reference{Kind: kind, Name: object.Name})
}

// hasHTTPScaledObject reports whether there is one of the route's name that decodes.
func (r *Reconciler) hasHTTPScaledObject(ctx context.Context, named client.Object) (bool, error) {
	object := route.NewObject(route.HTTPScaledObjectKind())
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(named), object)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the HTTPScaledObject of the same name: %w", err)
	}
	_, err = route.Decode(object)
	return err == nil, nil
}

// warnings returns what is wrong with the warm-ups of a route, and with the routes that it
// wakes along.
func (r *Reconciler) warnings(ctx context.Context, object *v1beta1.InterceptorRoute) (warnings []conditions.Problem, err error) {
	spec := object.Spec.ColdStart
	if spec == nil {
		return nil, nil
	}
	warn := func(field string, problem *route.Problem) {
		warnings = append(warnings, conditions.Problem{Reason: problem.Reason, Message: field + ": " + problem.Message, Warning: true})
	}
	for i := range spec.WarmUp {
		if _, problem := route.CompileWarmUp(&spec.WarmUp[i]); problem != nil {
			warn(fmt.Sprintf("coldStart.warmUp[%d]", i), problem)
		}
	}
	if len(spec.Wakes) == 0 {
		return warnings, nil
	}
	_, _, problems := route.Needs(object.Name, func(name string) ([]string, bool) {
		named, failure := r.named(ctx, types.NamespacedName{Namespace: object.Namespace, Name: name})
		if failure != nil {
			err = failure
		}
		return route.Wakes(named)
	})
	for _, problem := range problems {
		warn("coldStart.wakes", problem)
	}
	return warnings, err
}

// named returns the objects of a name, as far as they decode.
func (r *Reconciler) named(ctx context.Context, name types.NamespacedName) (*route.Named[v1beta1.InterceptorRoute], error) {
	named := &route.Named[v1beta1.InterceptorRoute]{}
	for _, kind := range []schema.GroupVersionKind{route.InterceptorRouteKind(), route.HTTPScaledObjectKind()} {
		object := route.NewObject(kind)
		err := r.Client.Get(ctx, name, object)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the %s %s: %w", kind.Kind, name.Name, err)
		}
		if decoded, err := route.Decode(object); err == nil {
			named.Set(kind.Kind, decoded)
		}
	}
	return named, nil
}
