package manifest

import (
	"cmp"
	"maps"
	"reflect"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Reference names an object.
type Reference struct{ Kind, Namespace, Name string }

// String is "Kind namespace/name".
func (r Reference) String() string { return r.Kind + " " + r.Namespace + "/" + r.Name }

// Entry is an object and where it was read. Object is one of
// *unstructured.Unstructured (InterceptorRoute and HTTPScaledObject, checked
// and defaulted), *corev1.Service, *corev1.ConfigMap, *appsv1.Deployment and
// *ScaledObject. It must not be changed.
type Entry struct {
	Object metav1.Object
	File   string
	Line   int
}

// Set is what all files define together. It is immutable.
type Set struct{ entries map[Reference]Entry }

// Lookup finds an object.
func (s *Set) Lookup(r Reference) (Entry, bool) {
	if s == nil {
		return Entry{}, false
	}
	e, ok := s.entries[r]
	return e, ok
}

// References lists every object, sorted.
func (s *Set) References() []Reference {
	if s == nil {
		return nil
	}
	return slices.SortedFunc(maps.Keys(s.entries), func(a, b Reference) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

// All lists the objects of one Go type, sorted by kind, namespace and name.
func All[T metav1.Object](s *Set) []T {
	var all []T
	for _, r := range s.References() {
		if object, ok := s.entries[r].Object.(T); ok {
			all = append(all, object)
		}
	}
	return all
}

// changes are the entries of next that are new or differ, and those of s that
// next has no more. Where an object stands in its file does not matter.
func (s *Set) changes(next *Set) (set, deleted []Entry) {
	for _, r := range next.References() {
		old, known := s.Lookup(r)
		if e := next.entries[r]; !known || !reflect.DeepEqual(old.Object, e.Object) {
			set = append(set, e)
		}
	}
	for _, r := range s.References() {
		if _, kept := next.Lookup(r); !kept {
			deleted = append(deleted, s.entries[r])
		}
	}
	return set, deleted
}
