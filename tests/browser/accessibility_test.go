//go:build browser

package browser

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
)

// axe is axe-core, which npm installed.
func axe(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatalf("these tests need axe-core: run npm ci in tests/browser, as make test-browser does (%v)", err)
	}
	return string(source)
}

// violations runs every rule of axe-core but the experimental ones, and returns
// what it objects to.
const violations = `axe.run(document, {resultTypes: ["violations"]}).then(r =>
	r.violations.flatMap(v => v.nodes.map(n => v.id + ": " + v.help + ": " + n.html + ": " + n.failureSummary)))`

// withoutTimers ends the timers of a page: one that reloads itself takes axe-core away while it reads.
const withoutTimers = `for (let id = setTimeout(() => {}); id > 0; id--) clearTimeout(id)`

func TestEverybodyCanReadThePages(t *testing.T) {
	source := axe(t)
	objections := func(t *testing.T, tb *tab) []string {
		t.Helper()
		evaluate[bool](t, tb, withoutTimers+"; true")
		evaluate[bool](t, tb, source+"; true")
		return evaluate[[]string](t, tb, violations)
	}
	t.Run("a page that not everybody can read", func(t *testing.T) {
		tb := show(t, look{status: http.StatusOK, serve: func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `<!doctype html><meta http-equiv="refresh" content="5"><p style="color:#ddd">Pale</p>`)
		}}, screens[0])
		found := strings.Join(objections(t, tb), "\n")
		for _, rule := range []string{"color-contrast", "document-title", "html-has-lang", "landmark-one-main", "meta-refresh"} {
			if !strings.Contains(found, rule+": ") {
				t.Errorf("axe-core does not object by %s:\n%s", rule, found)
			}
		}
	})
	for _, l := range looks(t) {
		for _, s := range screens {
			t.Run(l.name+"/"+s.name, func(t *testing.T) {
				t.Parallel()
				tb := show(t, l, s)
				if found := objections(t, tb); len(found) > 0 {
					t.Errorf("axe-core objects:\n%s", strings.Join(found, "\n"))
				}
			})
		}
	}
}
