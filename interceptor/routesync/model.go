package routesync

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kedacore/http-add-on/interceptor/exchange"
	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/pkg/kubesource"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/pkg/routing"
)

// model is everything that the table is made from, and who depends on what, so
// that a change recompiles only the routes it touches. It is owned by one
// goroutine.
type model struct {
	compiler compiler

	routes     map[routing.Key]*route.Named[v1beta1.InterceptorRoute]
	services   map[routing.Key]*corev1.Service
	configMaps map[routing.Key]*configMap

	// users maps a Service or ConfigMap to the routes that refer to it; uses is
	// the way back.
	users map[ObjectRef]map[routing.Key]struct{}
	uses  map[routing.Key][]ObjectRef

	// quota knows the routes that are over the bound of their namespace.
	quota route.Quota

	// forgotten are the routes whose counts end once the table without them is
	// published.
	forgotten []string

	dirty    map[routing.Key]struct{}
	live     map[routing.Key]*exchange.Route // compiled, as published
	orphans  map[routing.Key]*exchange.Route // deleted; requests may wait under them
	problems map[ObjectRef]string

	// warm are the live routes that have warm-ups; warmChanged reports that they are others than
	// before.
	warm        map[routing.Key]*exchange.Route
	warmChanged bool
}

func newModel(c compiler) *model {
	m := &model{
		routes:     map[routing.Key]*route.Named[v1beta1.InterceptorRoute]{},
		services:   map[routing.Key]*corev1.Service{},
		configMaps: map[routing.Key]*configMap{},
		users:      map[ObjectRef]map[routing.Key]struct{}{},
		uses:       map[routing.Key][]ObjectRef{},
		dirty:      map[routing.Key]struct{}{},
		live:       map[routing.Key]*exchange.Route{},
		orphans:    map[routing.Key]*exchange.Route{},
		problems:   map[ObjectRef]string{},
		warm:       map[routing.Key]*exchange.Route{},
	}
	m.compiler, m.quota = c, c.settings.Limits.Quota()
	m.compiler.services = m.services
	m.compiler.configMaps = m.configMaps
	m.compiler.wakes = m.wakes
	return m
}

// apply takes changes in and marks the routes that they touch.
func (m *model) apply(changes map[ObjectRef]kubesource.Object) {
	for ref, obj := range changes {
		key := routing.Key{Namespace: ref.Namespace, Name: ref.Name}
		switch ref.Kind {
		case api.KindInterceptorRoute, api.KindHTTPScaledObject:
			m.applyRoute(ref, key, obj)
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
// routes that refer to it.
type configMap struct{ files map[string][]byte }

// newConfigMap returns nil for one that is gone or has no label.
func newConfigMap(object *corev1.ConfigMap) *configMap {
	if object == nil || !route.HoldsResponseBodies(object) {
		return nil
	}
	c := &configMap{files: make(map[string][]byte, len(object.Data)+len(object.BinaryData))}
	for key, data := range object.Data {
		c.files[key] = []byte(data)
	}
	maps.Copy(c.files, object.BinaryData)
	return c
}

// applyRoute decodes one route by itself. One that does not decode is a problem and leaves the
// table; it harms no other route.
func (m *model) applyRoute(ref ObjectRef, key routing.Key, obj kubesource.Object) {
	m.dirty[key] = struct{}{}
	delete(m.problems, ref)
	before, existed := m.wakes(key)
	var decoded *v1beta1.InterceptorRoute
	if u, _ := obj.(*unstructured.Unstructured); u != nil {
		var err error
		if decoded, err = route.Decode(u); err != nil {
			m.problems[ref] = fmt.Sprintf("the object does not decode: %v", err)
		}
	}
	named := m.routes[key]
	if named == nil {
		named = &route.Named[v1beta1.InterceptorRoute]{}
		m.routes[key] = named
	}
	named.Set(ref.Kind, decoded)
	if _, inForce := named.InForce(); inForce != nil {
		m.quota.Set(types.NamespacedName(key), inForce.CreationTimestamp.Time, route.Weight(inForce))
	} else {
		m.quota.Set(types.NamespacedName(key), time.Time{}, 0)
	}
	if after, exists := m.wakes(key); exists != existed || !slices.Equal(after, before) {
		m.touch(ObjectRef{Kind: kindRoute, Namespace: key.Namespace, Name: key.Name})
	}
}

// kindRoute stands for the object of either kind, in references to routes.
const kindRoute = "Route"

// wakes returns the names in coldStart.wakes of a route, and whether it exists.
func (m *model) wakes(key routing.Key) (names []string, ok bool) { return route.Wakes(m.routes[key]) }

// applyDependency takes a Service or ConfigMap in and marks the routes that use it.
func applyDependency[T any](m *model, into map[routing.Key]*T, ref ObjectRef, key routing.Key, obj *T) {
	if obj == nil {
		delete(into, key)
	} else {
		into[key] = obj
	}
	m.touch(ref)
}

// touch marks the routes that use an object.
func (m *model) touch(ref ObjectRef) {
	for user := range m.users[ref] {
		m.dirty[user] = struct{}{}
	}
}

// table compiles the marked routes into a table that follows old. With nothing
// to compile it is old itself.
func (m *model) table(old *routing.Table[*exchange.Route]) *routing.Table[*exchange.Route] {
	var set []routing.Route[*exchange.Route]
	var remove []routing.Key
	for _, name := range m.quota.Settle() {
		m.dirty[routing.Key(name)] = struct{}{}
	}
	for key := range m.dirty {
		object, ref := m.effective(key)
		if object == nil {
			delete(m.routes, key)
			m.forget(key)
			remove = append(remove, key)
			continue
		}
		rules, wrong := m.compiler.settings.Limits.Rules(object.Spec.Rules, route.Matches{})
		compiled, uses, problems := m.compiler.compile(object)
		if replaced := m.live[key]; replaced != nil {
			replaced.Replace(compiled)
		} else if orphan := m.orphans[key]; orphan != nil {
			orphan.Replace(compiled)
			delete(m.orphans, key)
		}
		m.live[key] = compiled
		m.depend(key, uses)
		if over := m.quota.Problem(types.NamespacedName(key)); over != nil {
			rules, wrong = nil, append(wrong, over.Message)
			compiled.Static, compiled.WarmUps, compiled.Needs = nil, nil, nil
		}
		m.setWarm(key, compiled)
		m.note(ref, append(wrong, problems...))
		set = append(set, routing.Route[*exchange.Route]{
			Key: key, Created: object.CreationTimestamp.Time, Rules: rules, Value: compiled,
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

// effective returns the object in force for a name, or nil.
func (m *model) effective(key routing.Key) (*v1beta1.InterceptorRoute, ObjectRef) {
	named := m.routes[key]
	if named.Superseded() {
		ref := ObjectRef{Kind: api.KindHTTPScaledObject, Namespace: key.Namespace, Name: key.Name}
		m.note(ref, []string{"the InterceptorRoute of the same name wins over this object"})
	}
	kind, object := named.InForce()
	return object, ObjectRef{Kind: kind, Namespace: key.Namespace, Name: key.Name}
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

// forget drops a route that has no object left. Requests that wait under it belong to an orphan
// until the name exists again.
func (m *model) forget(key routing.Key) {
	m.depend(key, nil)
	if m.compiler.reports != nil {
		m.compiler.reports.forget(key)
	}
	forgotten := m.live[key]
	if forgotten == nil {
		return
	}
	delete(m.live, key)
	m.setWarm(key, nil)
	m.forgotten = append(m.forgotten, key.String())
	// Those without requests go, but not this one: a request may have matched it a
	// moment ago.
	for orphaned, orphan := range m.orphans {
		if orphan.InFlight.InFlight() == 0 {
			delete(m.orphans, orphaned)
		}
	}
	m.orphans[key] = forgotten
}

// setWarm takes a compiled route, nil for one that is gone, among those that have warm-ups.
func (m *model) setWarm(key routing.Key, compiled *exchange.Route) {
	if compiled != nil && len(compiled.WarmUps) > 0 {
		m.warm[key], m.warmChanged = compiled, true
	} else if m.warm[key] != nil {
		delete(m.warm, key)
		m.warmChanged = true
	}
}
