package httpscaledobject

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/csaupgrade"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/controllers/conditions"
	"github.com/kedacore/http-add-on/operator/keda"
	"github.com/kedacore/http-add-on/pkg/route"
)

// FieldOwner is what the names begin with under which installs of the add-on apply
// ScaledObjects. Behind a colon is the host of the install's scaler.
const FieldOwner = "keda-http-add-on"

// maxOwner is the length of a field owner that the API server accepts.
const maxOwner = 128

// owner returns whose fields those of a ScaledObject are that this install applies. A namespace
// may have several installs, each with a scaler of its own.
func (r *Reconciler) owner() string {
	host, _, _ := strings.Cut(r.ScalerAddress, ":")
	owner := FieldOwner + ":" + host
	return owner[:min(len(owner), maxOwner)]
}

// refusal is an error that an early retry does not help. The condition reports it,
// and a change of the object, or of what refused it, heals it.
type refusal struct{ error }

func refuse(format string, args ...any) error { return refusal{fmt.Errorf(format, args...)} }

func isRefusal(err error) bool {
	var r refusal
	return errors.As(err, &r)
}

// apply makes the ScaledObject what the object asks for, whatever it was before.
func (r *Reconciler) apply(ctx context.Context, object *v1alpha1.HTTPScaledObject) error {
	if !r.KEDA.Available() {
		return refuse("KEDA is not installed: the API server knows no ScaledObjects")
	}
	if problems := route.Unscalable(object); len(problems) > 0 {
		return refuse("%s", strings.Join(problems, "; "))
	}
	orphan := object.Annotations[api.AnnotationOrphanScaledObject] == api.True
	existing, err := r.existing(ctx, object)
	if err != nil {
		return err
	}
	if existing != nil {
		switch owner := metav1.GetControllerOf(existing); {
		case owner != nil && owner.UID != object.UID:
			return refuse("a ScaledObject of this name exists and is controlled by %s %s", owner.Kind, owner.Name)
		case owner == nil && orphan:
			return nil // let go of before: it is the user's now
		case owner == nil && !asksFor(existing, object):
			return refuse("a ScaledObject of this name exists and has no trigger with the metadata %s: %s: it is somebody else's",
				api.TriggerHTTPScaledObject, object.Name)
		}
		if err := r.contested(ctx, existing); err != nil {
			return err
		}
		if err := r.adopt(ctx, existing); err != nil {
			return err
		}
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(build(object, r.ScalerAddress, orphan))
	if err != nil {
		return fmt.Errorf("encoding the ScaledObject: %w", err)
	}
	configuration := client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: fields})
	err = r.Client.Apply(ctx, configuration, client.FieldOwner(r.owner()), client.ForceOwnership)
	switch {
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsForbidden(err):
		return refuse("the ScaledObject was refused: %w", err)
	case err != nil:
		return fmt.Errorf("applying the ScaledObject: %w", err)
	}
	return nil
}

// asksFor reports whether a ScaledObject has a trigger for the object, as one has that
// was made for it once and let go of.
func asksFor(scaledObject *unstructured.Unstructured, object *v1alpha1.HTTPScaledObject) bool {
	return slices.Contains(keda.References(scaledObject), keda.Reference{Kind: api.KindHTTPScaledObject, Name: object.Name})
}

// remove deletes the ScaledObject if it is ours.
func (r *Reconciler) remove(ctx context.Context, object *v1alpha1.HTTPScaledObject) error {
	if !r.KEDA.Available() {
		return nil
	}
	existing, err := r.existing(ctx, object)
	if err != nil || existing == nil || !metav1.IsControlledBy(existing, object) || existing.GetDeletionTimestamp() != nil {
		return err
	}
	// If it was replaced in the meantime, the new one must not be deleted.
	err = r.Client.Delete(ctx, existing, client.Preconditions{UID: new(existing.GetUID())})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting the ScaledObject: %w", err)
	}
	return nil
}

// existing returns the ScaledObject of the object's name, or nil.
func (r *Reconciler) existing(ctx context.Context, object *v1alpha1.HTTPScaledObject) (*unstructured.Unstructured, error) {
	existing := keda.NewScaledObject()
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(object), existing)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the ScaledObject: %w", err)
	}
	return existing, nil
}

// otherInstall is the refusal to touch the ScaledObject of another install.
type otherInstall struct{ error }

// contested returns an otherInstall if the ScaledObject belongs to another install that still
// exists. Two installs that apply one ScaledObject would do so forever, because each change of it
// triggers the other one.
func (r *Reconciler) contested(ctx context.Context, existing *unstructured.Unstructured) error {
	address := keda.ScalerAddress(existing)
	if address == r.ScalerAddress || len(r.otherInstalls(existing.GetManagedFields())) == 0 {
		return nil
	}
	if gone, _, err := r.gone(ctx, address); err != nil || gone {
		return err
	}
	return otherInstall{fmt.Errorf("the ScaledObject belongs to another install of the add-on, whose scaler is %s: %s, leaves it alone; "+
		"let only one of them see the namespace", address, r.self())}
}

// thisOne is how an install names itself in the condition that it writes, before the address of its scaler.
const thisOne = "this one, whose scaler is "

// self names this install in the condition that it writes.
func (r *Reconciler) self() string { return thisOne + r.ScalerAddress }

// settled ends the condition that this install, or one that is gone, has written while the
// ScaledObject was another one's. That of an install that may exist stands. The operator watches no
// scaler of others, so again says when to look once more.
//
// An operator may outlive its scaler and write its condition again. So a condition stands for a while,
// and the two do not fight over it.
func (r *Reconciler) settled(ctx context.Context, raw *unstructured.Unstructured) (ended []metav1.Condition, again time.Duration, err error) {
	was := conditions.Find(raw, api.ConditionContested)
	if was == nil {
		return nil, 0, nil
	}
	_, rest, _ := strings.Cut(was.Message, thisOne)
	address, _, _ := strings.Cut(rest, ",")
	if address != r.ScalerAddress {
		if rests := refusedAgain - r.Status.Now().Sub(was.LastTransitionTime.Time); rests > 0 {
			return nil, rests, nil
		}
		gone, known, err := r.gone(ctx, address)
		switch {
		case err != nil || !known:
			return nil, 0, err
		case !gone:
			return nil, refusedAgain, nil
		}
	}
	return []metav1.Condition{conditions.None(api.ConditionContested)}, 0, nil
}

// gone reports whether there is no scaler at an address, if that can be known. An operator that sees
// one namespace looks into its own one besides: its scaler's Service may have been renamed.
func (r *Reconciler) gone(ctx context.Context, address string) (gone, known bool, err error) {
	host, _, _ := strings.Cut(address, ":")
	name, namespace, ok := strings.Cut(host, ".")
	if !ok {
		return false, false, nil
	}
	namespace, _, _ = strings.Cut(namespace, ".")
	var services client.Reader
	switch {
	case r.AllNamespaces && r.Services.Available():
		services = r.Client
	case !r.AllNamespaces && namespace == r.Namespace:
		services = r.Live
	default:
		return false, false, nil
	}
	err = services.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &corev1.Service{})
	switch {
	case err == nil:
		return false, true, nil
	case apierrors.IsForbidden(err): // a role of a user's own may not allow it
		return false, false, nil
	case apierrors.IsNotFound(err):
		return true, true, nil
	}
	return false, false, fmt.Errorf("looking for the scaler of another install: %w", err)
}

// otherInstalls returns the names under which other installs have applied a ScaledObject.
func (r *Reconciler) otherInstalls(managed []metav1.ManagedFieldsEntry) sets.Set[string] {
	names := sets.New[string]()
	for _, entry := range managed {
		install, _, _ := strings.Cut(entry.Manager, ":")
		if install == FieldOwner && entry.Manager != r.owner() && entry.Operation == metav1.ManagedFieldsOperationApply {
			names.Insert(entry.Manager)
		}
	}
	return names
}

// adopt takes ownership of fields that an older version created or merge-patched, or another
// install applied. Otherwise they would stay forever: leaving a field out removes it only if it
// has no other owner.
func (r *Reconciler) adopt(ctx context.Context, existing *unstructured.Unstructured) error {
	managed := existing.GetManagedFields()
	creators, installs := olderVersions(managed), r.otherInstalls(managed)
	if creators.Len() == 0 && installs.Len() == 0 {
		return nil
	}
	adopted := existing.DeepCopy()
	for i := range managed {
		if installs.Has(managed[i].Manager) { // upgraded like those of older versions
			managed[i].Operation = metav1.ManagedFieldsOperationUpdate
		}
	}
	adopted.SetManagedFields(managed)
	if err := csaupgrade.UpgradeManagedFields(adopted, creators.Union(installs), r.owner()); err != nil {
		return refuse("adopting the fields of the ScaledObject: %w", err)
	}
	patch, err := json.Marshal([]map[string]any{
		{"op": "replace", "path": "/metadata/managedFields", "value": adopted.GetManagedFields()},
		{"op": "replace", "path": "/metadata/resourceVersion", "value": existing.GetResourceVersion()},
	})
	if err != nil {
		return fmt.Errorf("encoding the owners of fields: %w", err)
	}
	if err := r.Client.Patch(ctx, existing, client.RawPatch(types.JSONPatchType, patch)); err != nil {
		return fmt.Errorf("adopting the fields of the ScaledObject: %w", err)
	}
	return nil
}

// olderVersions returns the names under which older versions wrote a ScaledObject.
// They follow the name of a binary, so we go by what no user does by hand: to set
// the owner reference.
func olderVersions(managed []metav1.ManagedFieldsEntry) sets.Set[string] {
	names := sets.New[string]()
	owners := fieldpath.MakePathOrDie("metadata", "ownerReferences")
	for _, entry := range managed {
		if entry.Operation != metav1.ManagedFieldsOperationUpdate || entry.Subresource != "" || entry.FieldsV1 == nil {
			continue
		}
		var fields fieldpath.Set
		if err := fields.FromJSON(bytes.NewReader(entry.FieldsV1.GetRawBytes())); err != nil {
			continue
		}
		if fields.Has(owners) || !fields.WithPrefix(owners[0]).WithPrefix(owners[1]).Empty() {
			names.Insert(entry.Manager)
		}
	}
	return names
}
