// Package settings gives a component its settings and checks its list of them. Manifests depend
// on the names and defaults, and the reference page contains the descriptions. It must not know a
// component.
package settings

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kedacore/http-add-on/pkg/environment"
)

// Lookup returns an environment of names and values (name, value, name, value …), as a
// component's Load reads it. Of two values for a name the last one counts.
func Lookup(pairs ...string) func(name string) (string, bool) {
	values := make(map[string]string)
	for i := 0; i+1 < len(pairs); i += 2 {
		values[pairs[i]] = pairs[i+1]
	}
	return func(name string) (string, bool) {
		value, ok := values[name]
		return value, ok
	}
}

// Frozen compares the names and defaults of variables, and other lines of the same
// kind, with a file of the package's testdata. They are a contract with manifests that
// exist: a new one gets a new line there; a line that changes or goes breaks somebody.
func Frozen(t *testing.T, golden string, variables []environment.Variable, more ...string) {
	t.Helper()
	lines := more
	for _, v := range variables {
		value := v.Default
		switch {
		case v.DeprecatedNameOf != "":
			value = "(deprecated name of " + v.DeprecatedNameOf + ")"
		case v.Required:
			value = "(required)"
		}
		lines = append(lines, v.Name+"="+value)
	}
	slices.Sort(lines)
	want, err := os.ReadFile(filepath.Join("testdata", golden))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(string(want)), "\n"), lines); diff != "" {
		t.Errorf("the settings have changed (-frozen +now):\n%s", diff)
	}
}

// Described checks that the reference page can say something of every variable.
func Described(t *testing.T, variables []environment.Variable) {
	t.Helper()
	for _, v := range variables {
		if v.Type == "" || !strings.HasSuffix(v.Description, ".") || strings.Contains(v.Description, "\n") {
			t.Errorf("%s: type %q, description %q", v.Name, v.Type, v.Description)
		}
	}
}
