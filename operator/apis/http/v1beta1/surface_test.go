package v1beta1_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// Programs outside this repository build against these names.
func TestGoSurface(t *testing.T) {
	want := schema.GroupVersion{Group: "http.keda.sh", Version: "v1beta1"}
	if v1beta1.GroupVersion != want || v1beta1.SchemeGroupVersion != want || v1beta1.SchemeBuilder.GroupVersion != want {
		t.Errorf("group versions %v, %v, %v, want %v", v1beta1.GroupVersion, v1beta1.SchemeGroupVersion, v1beta1.SchemeBuilder.GroupVersion, want)
	}
	if got := v1beta1.Resource("interceptorroutes").String(); got != "interceptorroutes.http.keda.sh" {
		t.Errorf("resource %s", got)
	}
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for _, object := range []runtime.Object{&v1beta1.InterceptorRoute{}, &v1beta1.InterceptorRouteList{}} {
		kinds, _, err := scheme.ObjectKinds(object)
		if err != nil || len(kinds) != 1 || kinds[0].GroupVersion() != want {
			t.Errorf("kinds %v, error %v", kinds, err)
		}
	}
}

// The feature's first proposal had values here, not pointers.
func TestCallbackFieldsAreValues(t *testing.T) {
	spec := v1beta1.StreamingCallbackSpec{Message: "Waking up", Interval: metav1.Duration{Duration: time.Second}}
	object := v1beta1.InterceptorRoute{Spec: v1beta1.InterceptorRouteSpec{ColdStart: &v1beta1.ColdStartSpec{StreamingCallback: &spec}}}
	if got := object.DeepCopy().Spec.ColdStart.StreamingCallback; *got != spec || got == &spec {
		t.Errorf("deep copy %v of %v", got, spec)
	}
}
