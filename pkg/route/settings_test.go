package route

import (
	"slices"
	"testing"
)

func TestNamespacesOfConfigMaps(t *testing.T) {
	for _, test := range []struct {
		reason    string
		allowed   ConfigMaps
		namespace string
		watched   []string
	}{
		{"all", ConfigMaps{}, "", []string{""}},
		{"all of one", ConfigMaps{}, "apps", []string{"apps"}},
		{"off", ConfigMaps{Off: true, Namespaces: []string{"apps"}}, "", nil},
		{"off in one", ConfigMaps{Off: true}, "apps", nil},
		{"some", ConfigMaps{Namespaces: []string{"web", "apps", "web"}}, "", []string{"apps", "web"}},
		{"one of some", ConfigMaps{Namespaces: []string{"web", "apps"}}, "apps", []string{"apps"}},
		{"none of some", ConfigMaps{Namespaces: []string{"web"}}, "apps", nil},
	} {
		if got := test.allowed.Watched(test.namespace); !slices.Equal(got, test.watched) {
			t.Errorf("%s: watched in %q, want %q", test.reason, got, test.watched)
		}
		for _, namespace := range []string{"apps", "web", "other"} {
			watched := slices.Contains(test.allowed.Watched(""), namespace) || slices.Contains(test.allowed.Watched(""), "")
			if got := test.allowed.Allow(namespace); got != watched {
				t.Errorf("%s: allowed in %s is %t, watched is %t", test.reason, namespace, got, watched)
			}
			if problem := test.allowed.Problem(namespace, "site"); (problem == nil) != watched {
				t.Errorf("%s: the problem in %s is %v", test.reason, namespace, problem)
			}
		}
	}
}
