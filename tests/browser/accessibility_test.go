//go:build browser

package browser

import (
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

func TestEverybodyCanReadThePages(t *testing.T) {
	c, source := startChromium(t), axe(t)
	for _, l := range looks(t) {
		for _, s := range screens {
			t.Run(l.name+"/"+s.name, func(t *testing.T) {
				tb := c.show(t, l, s)
				evaluate[bool](t, tb, source+"; true")
				if found := evaluate[[]string](t, tb, violations); len(found) > 0 {
					t.Errorf("axe-core objects:\n%s", strings.Join(found, "\n"))
				}
			})
		}
	}
}
