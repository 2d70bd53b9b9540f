// Package v1alpha1 holds the API of HTTPScaledObject: one object that routes requests to
// a Service and has a ScaledObject made for the workload behind it.
//
// +kubebuilder:object:generate=true
// +groupName=http.keda.sh
package v1alpha1

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/scheme"

	api "github.com/kedacore/http-add-on/operator/apis/http"
)

var (
	// GroupVersion is the group and version of the types in this package.
	GroupVersion = schema.GroupVersion{Group: api.Group, Version: "v1alpha1"}

	// SchemeGroupVersion is GroupVersion under the name that code generators look for.
	SchemeGroupVersion = GroupVersion

	// SchemeBuilder collects the types of this package.
	//nolint:staticcheck // deprecated upstream, but other programs build against this variable's type
	SchemeBuilder = (&scheme.Builder{GroupVersion: GroupVersion}).Register(
		&HTTPScaledObject{}, &HTTPScaledObjectList{},
	)

	// AddToScheme adds the types of this package to a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

// Resource returns the group-qualified form of an unqualified resource name.
func Resource(resource string) schema.GroupResource {
	return SchemeGroupVersion.WithResource(resource).GroupResource()
}
