package interceptorroute

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/controllers/conditions"
	"github.com/kedacore/http-add-on/operator/controllers/scaledobjects"
	"github.com/kedacore/http-add-on/operator/keda"
	"github.com/kedacore/http-add-on/pkg/route"
)

// scaledObject finds out whether anything would wake the target.
//
// A trigger that names an HTTPScaledObject of the route's name does, as demand is
// counted under the name alone, but the scaler answers it only while there is one.
func (x *examination) scaledObject(ctx context.Context) error {
	if !x.KEDA.Available() {
		x.fail(ReasonNoScaledObject, "nothing wakes the target: KEDA is not installed")
		return nil
	}
	waking, err := x.referring(ctx, api.KindInterceptorRoute)
	if err != nil {
		return err
	}
	if len(waking) == 0 {
		if waking, err = x.referring(ctx, api.KindHTTPScaledObject); err != nil {
			return err
		}
		if len(waking) == 0 {
			x.fail(ReasonNoScaledObject, "nothing wakes the target: no ScaledObject of this namespace has an %s trigger with %s: %s",
				keda.TriggerExternalPush, api.TriggerInterceptorRoute, x.route.Name)
			return nil
		}
		if there, err := x.hasHTTPScaledObject(ctx); err != nil {
			return err
		} else if !there {
			x.fail(ReasonNoScaledObject, "nothing wakes the target: the trigger of the ScaledObject %q has %s in place of %s: %s",
				waking[0].GetName(), api.TriggerHTTPScaledObject, api.TriggerInterceptorRoute, x.route.Name)
			return nil
		}
		x.fine += ", as long as there is an HTTPScaledObject of the same name"
	}
	var worst *conditions.Problem
	for i := range waking {
		problem := scaledobjects.Problem(&waking[i])
		if problem == nil {
			return nil // one that works is enough
		}
		if worst == nil || worst.Warning && !problem.Warning {
			worst = problem
		}
	}
	x.problems = append(x.problems, *worst)
	return nil
}

// referring returns the ScaledObjects of which a trigger names an object of a kind
// with the route's name, in a stable order. The cache owns them: they must not be
// changed.
func (x *examination) referring(ctx context.Context, kind string) ([]unstructured.Unstructured, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(keda.ScaledObjectKind())
	err := x.Client.List(ctx, list, client.InNamespace(x.route.Namespace), client.UnsafeDisableDeepCopy,
		client.MatchingFields{routeIndex: indexed(keda.Reference{Kind: kind, Name: x.route.Name})})
	if err != nil {
		return nil, fmt.Errorf("listing ScaledObjects: %w", err)
	}
	slices.SortFunc(list.Items, func(a, b unstructured.Unstructured) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return list.Items, nil
}

// indexed is a reference as the index has it.
func indexed(r keda.Reference) string { return r.Kind + "/" + r.Name }

// hasHTTPScaledObject reports whether there is one of the route's name that decodes.
func (x *examination) hasHTTPScaledObject(ctx context.Context) (bool, error) {
	object := route.NewObject(route.HTTPScaledObjectKind())
	err := x.Client.Get(ctx, client.ObjectKeyFromObject(x.route), object)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the HTTPScaledObject of the same name: %w", err)
	}
	_, err = route.Decode(object)
	return err == nil, nil
}
