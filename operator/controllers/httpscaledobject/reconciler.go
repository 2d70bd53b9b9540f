// Package httpscaledobject keeps a ScaledObject for each HTTPScaledObject, by which KEDA scales
// its workload, and reports the result in the status. It must not know how requests are routed,
// except which Service they go to and which route wins.
//
// Ready follows 0.16. It is True with the reason Reconciled, or False when
//   - the object does not decode (Undecodable). So are the other conditions,
//   - there is no ScaledObject (CreateError). The spec asks for none, somebody else
//     controls the one of that name, the API server refused it or KEDA is not installed.
//
// Routed is False when
//   - the Service is missing or does not have the port, or has several ports and
//     the object names none (the reasons of package route),
//   - no request matches any of its hosts, or of its paths (InvalidRules).
//
// It is True with the reason as a warning when
//   - an InterceptorRoute of the same name takes the requests (Superseded),
//   - no request matches some of its hosts or paths (InvalidRules),
//   - other routes have the same rules and come first (RouteConflict),
//   - the fallback's Service is missing or does not have the port.
//
// Wakes is False without a ScaledObject (CreateError), and when KEDA refuses it
// (ScaledObjectNotReady). It is Unknown when an annotation prevents the ScaledObject
// (ScaledObjectSkipped).
//
// It is True with the reason as a warning when
//   - the ScaledObject is paused (ScaledObjectPaused),
//   - KEDA temporarily fails to poll the scaler or to scale (ScaledObjectNotReady).
package httpscaledobject

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/operator/availability"
	"github.com/kedacore/http-add-on/operator/controllers/claims"
	"github.com/kedacore/http-add-on/operator/controllers/conditions"
	"github.com/kedacore/http-add-on/operator/controllers/lookup"
	"github.com/kedacore/http-add-on/operator/controllers/scaledobjects"
	"github.com/kedacore/http-add-on/pkg/route"
)

// The reasons of conditions and events that are this kind's own.
const (
	ReasonCreateError = "CreateError"
	ReasonSuperseded  = "Superseded"
	ReasonSkipped     = "ScaledObjectSkipped"
	ReasonContested   = "OtherInstall"
	ReasonWorkload    = "WorkloadChanged"
)

// refusedAgain is after how long a refused object is tried again: admission may
// depend on other objects, which the operator does not watch.
const refusedAgain = time.Minute

// Reconciler reconciles HTTPScaledObjects.
type Reconciler struct {
	// Client reads from the cache.
	Client client.Client
	// Status writes conditions and events.
	Status *conditions.Writer
	// ScalerAddress is where KEDA finds the scaler: host:port. The host distinguishes
	// installs.
	ScalerAddress string
	// AllNamespaces means that Client sees all namespaces.
	AllNamespaces bool
	// Live reads Services of the operator's own namespace, Namespace, if Client does not see it.
	Live      client.Reader
	Namespace string
	// KEDA is the availability of ScaledObjects, Services that of Services.
	KEDA, Services *availability.Kind
	// Limits of the matches of routes.
	Limits route.Limits

	claims *claims.Claims
}

// Reconcile implements reconcile.Reconciler.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	raw := route.NewObject(route.HTTPScaledObjectKind())
	if err := r.Client.Get(ctx, request.NamespacedName, raw); err != nil {
		r.Status.Forget(api.KindHTTPScaledObject, request.NamespacedName)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if raw.GetDeletionTimestamp() != nil {
		// The ScaledObject goes with its owner, or stays as an orphan.
		return reconcile.Result{}, r.finalize(ctx, raw)
	}
	object, err := route.DecodeHTTPScaledObject(raw)
	if err != nil {
		_, err := r.Status.Write(ctx, raw, nil, conditions.Undecodable(err)...)
		return reconcile.Result{}, err
	}
	return r.reconcile(ctx, raw, object)
}

func (r *Reconciler) reconcile(ctx context.Context, raw *unstructured.Unstructured, object *v1alpha1.HTTPScaledObject) (reconcile.Result, error) {
	var result reconcile.Result
	var creation []conditions.Problem
	fine, failed := r.scaledObject(ctx, object)
	if apierrors.IsConflict(failed) { // the cache lags behind: nothing to report
		return result, failed
	}
	if apierrors.HasStatusCause(failed, corev1.NamespaceTerminatingCause) {
		return result, nil // the object goes too, and an event would be refused with an error in the log
	}
	if other := (otherInstall{}); errors.As(failed, &other) {
		// The other one writes all else: two that disagree would write forever.
		_, err := r.Status.Write(ctx, raw, nil, metav1.Condition{
			Type: api.ConditionContested, Status: metav1.ConditionTrue, Reason: ReasonContested, Message: failed.Error(),
		})
		return reconcile.Result{RequeueAfter: refusedAgain}, err
	}
	if failed != nil {
		creation = append(creation, conditions.Problem{Reason: ReasonCreateError, Message: failed.Error()})
		if isRefusal(failed) {
			result.RequeueAfter, failed = refusedAgain, nil
		}
	}
	converted := route.Convert(object)
	port, problem, err := r.target(ctx, converted)
	if err != nil {
		return reconcile.Result{}, err
	}
	var routing []conditions.Problem
	if problem != nil {
		routing = append(routing, *problem)
	}
	routing = append(routing, r.rules(converted)...)
	warnings, err := r.warnings(ctx, object, converted)
	if err != nil {
		return reconcile.Result{}, err
	}
	wakes, err := r.wakes(ctx, object, creation)
	if err != nil {
		return reconcile.Result{}, err
	}
	status := map[string]any{
		"targetWorkload": workload(&object.Spec.ScaleTargetRef),
		"targetService":  object.Spec.ScaleTargetRef.Service + ":" + port,
	}
	settled, look, err := r.settled(ctx, raw)
	if err != nil {
		return reconcile.Result{}, err
	}
	if look > 0 {
		result.RequeueAfter = look
	}
	verdicts := append([]metav1.Condition{
		conditions.Verdict(api.ConditionReady, creation, fine),
		conditions.Verdict(api.ConditionRouted, append(routing, warnings...), "requests are routed to the target"),
		wakes, left(raw, object),
	}, settled...)
	again, err := r.Status.Write(ctx, raw, status, verdicts...)
	if again > 0 && (result.RequeueAfter == 0 || again < result.RequeueAfter) {
		result.RequeueAfter = again
	}
	return result, cmp.Or(failed, err)
}

// left returns the condition that names the workload which the object named before. Nothing
// scales that workload now: KEDA leaves it with the replicas that it has. Another change of the
// object ends the condition.
func left(raw *unstructured.Unstructured, object *v1alpha1.HTTPScaledObject) metav1.Condition {
	none := conditions.None(api.ConditionWorkloadChanged)
	before, _, _ := unstructured.NestedString(raw.Object, "status", "targetWorkload")
	now := workload(&object.Spec.ScaleTargetRef)
	if before == "" || before == now {
		if was := conditions.Find(raw, none.Type); was != nil && was.ObservedGeneration == raw.GetGeneration() {
			return *was
		}
		return none
	}
	return metav1.Condition{
		Type: none.Type, Status: metav1.ConditionTrue, Reason: ReasonWorkload,
		Message: fmt.Sprintf("%s was scaled before %s and keeps the replicas that it has: scale it down, or give it a ScaledObject", before, now),
	}
}

// wakes returns the condition that reports whether anything would wake the workload. creation is
// the reason why there is no ScaledObject.
func (r *Reconciler) wakes(ctx context.Context, object *v1alpha1.HTTPScaledObject, creation []conditions.Problem) (metav1.Condition, error) {
	if len(creation) == 0 && object.Annotations[api.AnnotationSkipScaledObjectCreation] == api.True {
		return metav1.Condition{
			Type: api.ConditionWakes, Status: metav1.ConditionUnknown, Reason: ReasonSkipped,
			Message: "an annotation disables the ScaledObject; the operator does not check whether another one wakes the target",
		}, nil
	}
	problem, err := r.asleep(ctx, object)
	if err != nil {
		return metav1.Condition{}, err
	}
	if problem != nil {
		creation = append(creation, *problem)
	}
	return conditions.Verdict(api.ConditionWakes, creation, "demand wakes the target"), nil
}

// scaledObject creates or removes the ScaledObject as the object and its annotations
// ask. It returns the message of the condition if nothing is wrong.
func (r *Reconciler) scaledObject(ctx context.Context, object *v1alpha1.HTTPScaledObject) (fine string, err error) {
	if object.Annotations[api.AnnotationSkipScaledObjectCreation] == api.True {
		return "an annotation disables the ScaledObject", r.remove(ctx, object)
	}
	return "the ScaledObject is up to date", r.apply(ctx, object)
}

// target returns the Service's port as status.targetService shows it.
func (r *Reconciler) target(ctx context.Context, converted *v1beta1.InterceptorRoute) (string, *conditions.Problem, error) {
	ref := converted.Spec.Target
	number := ref.Port
	var problem *conditions.Problem
	if r.Services.Available() {
		var found int32
		var err error
		found, problem, err = lookup.Port(ctx, r.Client, converted.Namespace, ref)
		if err != nil {
			return "", nil, err
		}
		number = cmp.Or(number, found)
	}
	if number != 0 {
		return strconv.Itoa(int(number)), problem, nil
	}
	return ref.PortName, problem, nil
}

// rules returns the problems of the hosts and paths, as warnings if requests match others.
func (r *Reconciler) rules(converted *v1beta1.InterceptorRoute) (problems []conditions.Problem) {
	matching, wrong := r.Limits.Rules(converted.Spec.Rules, route.Matches{})
	for _, problem := range wrong {
		problems = append(problems, conditions.Problem{Reason: route.ReasonInvalidRules, Message: problem, Warning: len(matching) > 0})
	}
	return problems
}

// warnings returns what else the author of an object wants to know. Most of it does
// not keep the object from being in effect.
func (r *Reconciler) warnings(ctx context.Context, object *v1alpha1.HTTPScaledObject, converted *v1beta1.InterceptorRoute) ([]conditions.Problem, error) {
	var warnings []conditions.Problem
	if problem, err := r.fallback(ctx, converted); err != nil {
		return nil, err
	} else if problem != nil {
		warnings = append(warnings, *problem)
	}
	if superseded, err := r.superseded(ctx, client.ObjectKeyFromObject(object)); err != nil {
		return nil, err
	} else if superseded {
		warnings = append(warnings, conditions.Problem{
			Reason: ReasonSuperseded, Message: "the InterceptorRoute of the same name takes the requests", Warning: true,
		})
	} else {
		for _, conflict := range r.claims.Conflicts(converted) {
			conflict.Warning = true // 0.16 says True
			warnings = append(warnings, conflict)
		}
	}
	return warnings, nil
}

// asleep returns why KEDA does not scale by the object's ScaledObject, if there is one
// and it is ours or was.
func (r *Reconciler) asleep(ctx context.Context, object *v1alpha1.HTTPScaledObject) (*conditions.Problem, error) {
	if !r.KEDA.Available() {
		return nil, nil
	}
	existing, err := r.existing(ctx, object)
	if err != nil || existing == nil || existing.GetDeletionTimestamp() != nil {
		return nil, err
	}
	if owner := metav1.GetControllerOf(existing); owner != nil && owner.UID != object.UID {
		return nil, nil
	}
	return scaledobjects.Problem(existing), nil
}

func (r *Reconciler) fallback(ctx context.Context, converted *v1beta1.InterceptorRoute) (*conditions.Problem, error) {
	coldStart := converted.Spec.ColdStart
	if coldStart == nil || coldStart.Fallback == nil || !r.Services.Available() {
		return nil, nil
	}
	_, problem, err := lookup.Port(ctx, r.Client, converted.Namespace, route.FallbackTarget(coldStart.Fallback.Service))
	if problem != nil {
		problem.Message, problem.Warning = "coldStartTimeoutFailoverRef: "+problem.Message, true
	}
	return problem, err
}

// superseded reports whether an InterceptorRoute of the same name is in effect.
func (r *Reconciler) superseded(ctx context.Context, name types.NamespacedName) (bool, error) {
	object := route.NewObject(route.InterceptorRouteKind())
	err := r.Client.Get(ctx, name, object)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the InterceptorRoute of the same name: %w", err)
	}
	_, err = route.Decode(object)
	return err == nil, nil
}

// finalize lets go of an object that an older version holds.
func (r *Reconciler) finalize(ctx context.Context, raw *unstructured.Unstructured) error {
	finalizers := raw.GetFinalizers()
	rest := slices.DeleteFunc(slices.Clone(finalizers), func(name string) bool { return name == api.Finalizer })
	if len(rest) == len(finalizers) {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"finalizers": rest, "resourceVersion": raw.GetResourceVersion(),
	}})
	if err != nil {
		return fmt.Errorf("encoding the finalizers: %w", err)
	}
	err = r.Client.Patch(ctx, raw.DeepCopy(), client.RawPatch(types.MergePatchType, patch))
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("removing the finalizer: %w", err)
	}
	return nil
}
