package route

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestNeeds(t *testing.T) {
	fan := map[string]string{"a": "b1 b2 b3 b4 b5"}
	for i := 1; i <= 5; i++ {
		var names []string
		for n := range 13 {
			names = append(names, fmt.Sprintf("c%d-%d", i, n))
		}
		fan[fmt.Sprintf("b%d", i)] = strings.Join(names, " ")
		for _, name := range names {
			fan[name] = ""
		}
	}
	for _, test := range []struct {
		reason  string
		routes  map[string]string
		needs   string
		problem string
	}{
		{"nothing", map[string]string{"a": ""}, "", ""},
		{"one", map[string]string{"a": "b", "b": ""}, "b", ""},
		{"what that one needs", map[string]string{"a": "b", "b": "c", "c": ""}, "b c", ""},
		{"one that two need", map[string]string{"a": "b c", "b": "d", "c": "d", "d": ""}, "b d c", ""},
		{"one that does not exist", map[string]string{"a": "b c", "c": ""}, "c", `RouteNotFound: this namespace has no route "b"`},
		{"five deep", map[string]string{"a": "b", "b": "c", "c": "d", "d": "e", "e": "f", "f": ""}, "b c d e f", ""},
		{"six deep", map[string]string{"a": "b", "b": "c", "c": "d", "d": "e", "e": "f", "f": "g", "g": ""}, "", "InvalidWakes: it leads to routes that are more than 5 deep"},
		{"six deep by one way, less by the other", map[string]string{"a": "f b", "b": "c", "c": "d", "d": "e", "e": "f", "f": "g", "g": ""}, "", "InvalidWakes: it leads to routes that are more than 5 deep"},
		{"itself", map[string]string{"a": "a"}, "", "InvalidWakes: it leads into a cycle: a wakes a"},
		{"a cycle", map[string]string{"a": "b", "b": "c", "c": "a"}, "", "InvalidWakes: it leads into a cycle: a wakes b wakes c wakes a"},
		{"a cycle of others", map[string]string{"a": "b", "b": "c", "c": "b"}, "", "InvalidWakes: it leads into a cycle: b wakes c wakes b"},
		{"too many", fan, "", "InvalidWakes: it leads to more than 64 routes"},
	} {
		needs, seen, problems := Needs("a", func(name string) ([]string, bool) {
			names, ok := test.routes[name]
			return strings.Fields(names), ok
		})
		var texts []string
		for _, p := range problems {
			texts = append(texts, p.Reason+": "+p.Message)
		}
		if got := strings.Join(needs, " "); got != test.needs || strings.Join(texts, "; ") != test.problem {
			t.Errorf("%s: needs %q, problems %q; want %q, %q", test.reason, got, texts, test.needs, test.problem)
		}
		for _, name := range append(needs, "a") {
			if !slices.Contains(seen, name) {
				t.Errorf("%s: %s was not seen", test.reason, name)
			}
		}
	}
}
