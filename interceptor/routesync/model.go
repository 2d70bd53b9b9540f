package routesync

import (
	"bytes"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/interceptor/exchange"
	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// model is everything that the table is made from, and who depends on what, so
// that a change recompiles only the routes it touches. It is owned by one
// goroutine.
type model struct {
	compiler compiler

	routes     map[routing.Key]*v1beta1.InterceptorRoute
	scaled     map[routing.Key]*v1alpha1.HTTPScaledObject
	services   map[routing.Key]*corev1.Service
	configMaps map[routing.Key]*configMap

	// users maps a Service or ConfigMap to the routes that refer to it; uses is
	// the way back.
	users map[ObjectRef]map[routing.Key]struct{}
	uses  map[routing.Key][]ObjectRef

	// forgotten are the routes whose counts end once the table without them is
	// published.
	forgotten []string

	dirty    map[routing.Key]struct{}
	live     map[routing.Key]*exchange.Route // compiled, as published
	orphans  map[routing.Key]*exchange.Route // deleted; requests may wait under them
	problems map[ObjectRef]string
}

func newModel(c compiler) *model {
	m := &model{
		routes:     map[routing.Key]*v1beta1.InterceptorRoute{},
		scaled:     map[routing.Key]*v1alpha1.HTTPScaledObject{},
		services:   map[routing.Key]*corev1.Service{},
		configMaps: map[routing.Key]*configMap{},
		users:      map[ObjectRef]map[routing.Key]struct{}{},
		uses:       map[routing.Key][]ObjectRef{},
		dirty:      map[routing.Key]struct{}{},
		live:       map[routing.Key]*exchange.Route{},
		orphans:    map[routing.Key]*exchange.Route{},
		problems:   map[ObjectRef]string{},
	}
	m.compiler = c
	m.compiler.services = m.services
	m.compiler.configMaps = m.configMaps
	return m
}

// apply takes changes in and marks the routes that they touch.
func (m *model) apply(changes map[ObjectRef]client.Object) {
	for ref, obj := range changes {
		key := routing.Key{Namespace: ref.Namespace, Name: ref.Name}
		switch ref.Kind {
		case api.KindInterceptorRoute:
			applyRoute(m, m.routes, ref, key, obj)
		case api.KindHTTPScaledObject:
			applyRoute(m, m.scaled, ref, key, obj)
		case KindService:
			service, _ := obj.(*corev1.Service)
			if old := m.services[key]; service != nil && old != nil && equality.Semantic.DeepEqual(old.Spec, service.Spec) {
				continue
			}
			applyDependency(m, m.services, ref, key, service)
		case KindConfigMap:
			object, _ := obj.(*corev1.ConfigMap)
			now := newConfigMap(object)
			if old := m.configMaps[key]; now != nil && old != nil && maps.EqualFunc(old.files, now.files, bytes.Equal) {
				continue
			}
			applyDependency(m, m.configMaps, ref, key, now)
		}
	}
}

// configMap is one that responses may be taken from: its data, decoded once for all
// who refer to it.
type configMap struct{ files map[string][]byte }

// newConfigMap is nil for one that is gone or without the label.
func newConfigMap(object *corev1.ConfigMap) *configMap {
	if object == nil || object.Labels[api.LabelResponseBody] != api.True {
		return nil
	}
	c := &configMap{files: make(map[string][]byte, len(object.Data)+len(object.BinaryData))}
	for key, data := range object.Data {
		c.files[key] = []byte(data)
	}
	maps.Copy(c.files, object.BinaryData)
	return c
}

// applyRoute decodes one route by itself. One that does not decode is a problem
// of its own and leaves the table; it harms no other route.
func applyRoute[T any](m *model, into map[routing.Key]*T, ref ObjectRef, key routing.Key, obj client.Object) {
	m.dirty[key] = struct{}{}
	delete(into, key)
	delete(m.problems, ref)
	u, _ := obj.(*unstructured.Unstructured)
	if u == nil {
		return
	}
	decoded := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, decoded); err != nil {
		m.problems[ref] = fmt.Sprintf("the object does not decode: %v", err)
		return
	}
	into[key] = decoded
}

// applyDependency takes a Service or ConfigMap in and marks the routes that use it.
func applyDependency[T any](m *model, into map[routing.Key]*T, ref ObjectRef, key routing.Key, obj *T) {
	if obj == nil {
		delete(into, key)
	} else {
		into[key] = obj
	}
	for user := range m.users[ref] {
		m.dirty[user] = struct{}{}
	}
}

// table compiles the marked routes into a table that follows old. With nothing
// to compile it is old itself.
func (m *model) table(old *routing.Table[*exchange.Route]) *routing.Table[*exchange.Route] {
	var set []routing.Route[*exchange.Route]
	var remove []routing.Key
	for key := range m.dirty {
		spec, ref, ok := m.effective(key)
		if !ok {
			m.forget(key)
			remove = append(remove, key)
			continue
		}
		compiled, uses, problems := m.compiler.compile(spec)
		if replaced := m.live[key]; replaced != nil {
			replaced.Replace(compiled)
		} else if orphan := m.orphans[key]; orphan != nil {
			orphan.Replace(compiled)
			delete(m.orphans, key)
		}
		m.live[key] = compiled
		m.depend(key, uses)
		m.note(ref, problems)
		set = append(set, routing.Route[*exchange.Route]{
			Key: key, Created: spec.CreationTimestamp.Time, Rules: spec.Spec.Rules, Value: compiled,
		})
	}
	clear(m.dirty)
	switch {
	case old == nil:
		return routing.Compile(set)
	case len(set) == 0 && len(remove) == 0:
		return old
	}
	return old.With(set, remove)
}

// effective is the object in force for a name: an InterceptorRoute that decodes
// wins over an HTTPScaledObject.
func (m *model) effective(key routing.Key) (*v1beta1.InterceptorRoute, ObjectRef, bool) {
	route, scaled := m.routes[key], m.scaled[key]
	if scaled != nil {
		ref := ObjectRef{Kind: api.KindHTTPScaledObject, Namespace: key.Namespace, Name: key.Name}
		if route == nil {
			return routing.ConvertHTTPScaledObject(scaled), ref, true
		}
		m.note(ref, []string{"the InterceptorRoute of the same name wins over this object"})
	}
	if route != nil {
		return route, ObjectRef{Kind: api.KindInterceptorRoute, Namespace: key.Namespace, Name: key.Name}, true
	}
	return nil, ObjectRef{}, false
}

func (m *model) note(ref ObjectRef, problems []string) {
	if len(problems) == 0 {
		delete(m.problems, ref)
		return
	}
	m.problems[ref] = strings.Join(problems, "; ")
}

// depend records what a route refers to, in place of what it referred to before.
func (m *model) depend(key routing.Key, uses []ObjectRef) {
	for _, ref := range m.uses[key] {
		if delete(m.users[ref], key); len(m.users[ref]) == 0 {
			delete(m.users, ref)
		}
	}
	delete(m.uses, key)
	if len(uses) == 0 {
		return
	}
	m.uses[key] = uses
	for _, ref := range uses {
		if m.users[ref] == nil {
			m.users[ref] = map[routing.Key]struct{}{}
		}
		m.users[ref][key] = struct{}{}
	}
}

// forget drops a route that no object stands for any more. Requests that wait
// under it are an orphan's, until the name is there again.
func (m *model) forget(key routing.Key) {
	m.depend(key, nil)
	route := m.live[key]
	if route == nil {
		return
	}
	delete(m.live, key)
	m.forgotten = append(m.forgotten, key.String())
	// Those without requests go, but not this one: a request may have matched it a
	// moment ago.
	for orphaned, orphan := range m.orphans {
		if orphan.InFlight.InFlight() == 0 {
			delete(m.orphans, orphaned)
		}
	}
	m.orphans[key] = route
}
