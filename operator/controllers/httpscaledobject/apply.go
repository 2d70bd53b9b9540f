package httpscaledobject

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	"github.com/kedacore/http-add-on/operator/keda"
	"github.com/kedacore/http-add-on/pkg/route"
)

// FieldOwner is whose fields those of a ScaledObject are that we apply. It must
// never change: fields of another name would never be removed again.
const FieldOwner = "keda-http-add-on"

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
		if err := r.adopt(ctx, existing); err != nil {
			return err
		}
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(build(object, r.ScalerAddress, orphan))
	if err != nil {
		return fmt.Errorf("encoding the ScaledObject: %w", err)
	}
	configuration := client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: fields})
	err = r.Client.Apply(ctx, configuration, client.FieldOwner(FieldOwner), client.ForceOwnership)
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

// existing returns the ScaledObject of the object's name, nil if there is none.
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

// adopt makes fields ours that an older version created or merge-patched.
// Without it they would stay forever: leaving a field out removes it only if there
// is no other owner.
func (r *Reconciler) adopt(ctx context.Context, existing *unstructured.Unstructured) error {
	creators := olderVersions(existing.GetManagedFields())
	if creators.Len() == 0 {
		return nil
	}
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(existing, creators, FieldOwner)
	if err != nil {
		return refuse("adopting the fields of the ScaledObject: %w", err)
	}
	if patch == nil {
		return nil
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
