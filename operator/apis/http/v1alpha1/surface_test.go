package v1alpha1_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
)

// Programs outside this repository build against these names.
func TestGoSurface(t *testing.T) {
	want := schema.GroupVersion{Group: "http.keda.sh", Version: "v1alpha1"}
	if v1alpha1.GroupVersion != want || v1alpha1.SchemeGroupVersion != want || v1alpha1.SchemeBuilder.GroupVersion != want {
		t.Errorf("group versions %v, %v, %v, want %v", v1alpha1.GroupVersion, v1alpha1.SchemeGroupVersion, v1alpha1.SchemeBuilder.GroupVersion, want)
	}
	if got := v1alpha1.Resource("httpscaledobjects").String(); got != "httpscaledobjects.http.keda.sh" {
		t.Errorf("resource %s", got)
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for _, object := range []runtime.Object{&v1alpha1.HTTPScaledObject{}, &v1alpha1.HTTPScaledObjectList{}} {
		kinds, _, err := scheme.ObjectKinds(object)
		if err != nil || len(kinds) != 1 || kinds[0].GroupVersion() != want {
			t.Errorf("kinds %v, error %v", kinds, err)
		}
	}
}

// The feature's first proposal had values here, not pointers.
func TestCallbackFieldsAreValues(t *testing.T) {
	spec := v1alpha1.ColdStartStreamingCallbackSpec{Message: "Waking up", IntervalSeconds: 5, KeepaliveMessage: ""}
	object := v1alpha1.HTTPScaledObject{Spec: v1alpha1.HTTPScaledObjectSpec{ColdStartStreamingCallback: &spec}}
	if got := object.DeepCopy().Spec.ColdStartStreamingCallback; *got != spec || got == &spec {
		t.Errorf("deep copy %v of %v", got, spec)
	}
}
