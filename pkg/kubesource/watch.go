package kubesource

import (
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"github.com/kedacore/http-add-on/pkg/route"
)

// Object is an object of a cluster.
type Object interface {
	metav1.Object
	runtime.Object
}

// Watch is a kind of objects to watch, made by [For] or [Routes].
type Watch struct {
	object    Object
	handler   cache.ResourceEventHandler
	transform cache.TransformFunc
	namespace string
	labels    labels.Selector
}

// Handler takes the objects of a kind. Set and Delete are called from one goroutine
// for each kind, and must not change the objects.
type Handler[T Object] struct {
	// Set takes an object that is new or has changed.
	Set func(T)
	// Delete takes the last known state of an object that is gone.
	Delete func(T)
	// Wake takes a route whose status.wake is new or has changed, after Set if that is called
	// too. seen reports whether the watch saw the change; otherwise it may be an old one. Nil drops
	// status.wake.
	Wake func(route T, seen bool)
	// Trim drops unneeded fields before an object is kept in memory. Managed fields and
	// annotations are always dropped. Nil keeps the rest.
	Trim func(T)
	// Namespace to watch, if it is not that of the Source.
	Namespace string
	// Labels that the objects must have; nil selects all.
	Labels labels.Selector
}

// For returns a watch of the kind of an object.
func For[T Object](object T, h Handler[T]) Watch {
	return newWatch(object, h, newVersion)
}

// Routes returns watches of InterceptorRoutes and HTTPScaledObjects, both unstructured. Of their
// status it keeps only status.wake, without its message, and only if the handler has a Wake. It
// does not deliver other changes of the status.
func Routes[T Object](h Handler[T]) []Watch {
	return []Watch{
		newWatch(route.NewObject(route.InterceptorRouteKind()), h, newSpec),
		newWatch(route.NewObject(route.HTTPScaledObjectKind()), h, newSpec),
	}
}

// newVersion reports whether an update is more than a resync.
func newVersion(before, after Object) bool {
	return before.GetResourceVersion() != after.GetResourceVersion()
}

// newSpec reports whether an update changes more than the status.
func newSpec(before, after Object) bool {
	return before.GetUID() != after.GetUID() || before.GetGeneration() != after.GetGeneration()
}

func newWatch[T Object](object Object, h Handler[T], changed func(before, after Object) bool) Watch {
	w := Watch{object: object, namespace: h.Namespace, labels: h.Labels}
	w.transform = func(obj any) (any, error) {
		if o, ok := obj.(T); ok {
			o.SetManagedFields(nil)
			o.SetAnnotations(nil)
			if u, ok := obj.(*unstructured.Unstructured); ok {
				trimStatus(u, h.Wake != nil)
			}
			if h.Trim != nil {
				h.Trim(o)
			}
		}
		return obj, nil
	}
	call := func(f func(T), obj any) {
		// A deletion that was missed leaves only the last known state.
		if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = gone.Obj
		}
		if o, ok := obj.(T); ok {
			f(o)
		}
	}
	wake := func(obj any, seen bool) {
		call(func(o T) { h.Wake(o, seen) }, obj)
	}
	w.handler = cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			call(h.Set, obj)
			if h.Wake != nil && wakeOf(obj) != nil {
				wake(obj, false)
			}
		},
		UpdateFunc: func(before, after any) {
			if changed(before.(Object), after.(Object)) {
				call(h.Set, after)
			}
			if h.Wake != nil && !equality.Semantic.DeepEqual(wakeOf(before), wakeOf(after)) {
				wake(after, true)
			}
		},
		DeleteFunc: func(obj any) { call(h.Delete, obj) },
	}
	return w
}

// trimStatus drops the status of a route, except for its wake if that is kept. What the
// message says is for people who may read the object, and must not come near clients.
func trimStatus(u *unstructured.Unstructured, keepWake bool) {
	wake, _ := wakeOf(u).(map[string]any)
	delete(u.Object, "status")
	if keepWake && wake != nil {
		delete(wake, "message")
		u.Object["status"] = map[string]any{"wake": wake}
	}
}

// wakeOf returns status.wake of an object; nil if it has none.
func wakeOf(obj any) any {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return nil
	}
	wake, _, _ := unstructured.NestedFieldNoCopy(u.Object, "status", "wake")
	return wake
}

// resourceOf returns the resource of a kind. Those that we watch have the plural
// that the rules of Kubernetes give.
func resourceOf(kind schema.GroupVersionKind) schema.GroupVersionResource {
	plural, _ := meta.UnsafeGuessKindToResource(kind)
	return plural
}
