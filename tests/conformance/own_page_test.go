package conformance

import (
	"net/http"
	"strings"
	"testing"
)

func pageConfigMap(label, key, template string) string {
	return "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: pages, labels: {http.keda.sh/response-body: \"" + label + "\"}}\ndata:\n  " +
		key + ": |\n    " + strings.ReplaceAll(template, "\n", "\n    ") + "\n"
}

func TestOwnWaitingPage(t *testing.T) {
	const builtIn = "The application is starting."
	for _, c := range []struct{ reason, from, configMap, want, forbid string }{
		{"index.html by default", "name: pages", pageConfigMap("true", "index.html", "<h1>{{.Title}} {{.Elapsed}}{{with .Estimate}} of {{.}}{{end}}</h1>"), "<h1>Hi &lt;you&gt; 0 s</h1>", builtIn},
		{"a key", "{name: pages, key: a.html}", pageConfigMap("true", "a.html", "own {{.Message}}"), "own " + builtIn, "<main>"},
		{"no ConfigMap", "name: pages", "", builtIn, "own"},
		{"no label", "name: pages", pageConfigMap("no", "index.html", "own"), builtIn, "own"},
		{"no key", "name: pages", pageConfigMap("true", "a.html", "own"), builtIn, "own"},
		{"a template that does not parse", "name: pages", pageConfigMap("true", "index.html", "own {{if}}"), builtIn, "own"},
		{"a template that never ends", "name: pages", pageConfigMap("true", "index.html", "own {{range 1000000000000}}{{end}}"), builtIn, "own"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			from := c.from
			if !strings.HasPrefix(from, "{") {
				from = "{" + from + "}"
			}
			w := newWorld(t, route(`coldStart: {waitingPage: {title: "Hi <you>", bodyFromConfigMap: `+from+`}}`)+c.configMap)
			got := w.do(w.request(http.MethodGet, "app.test", "/", "", "Accept", "text/html"))
			got.expect(t, c.reason, http.StatusServiceUnavailable, c.want)
			if strings.Contains(got.body, c.forbid) {
				t.Errorf("%s in %s", c.forbid, got.body)
			}
			got.expectHeader(t, "Refresh", "5")
		})
	}
}

func TestOwnWaitingPageFollowsItsConfigMap(t *testing.T) {
	w := newWorld(t, route("coldStart: {waitingPage: {bodyFromConfigMap: {name: pages}}}")+pageConfigMap("true", "index.html", "first"))
	body := func() string {
		return w.do(w.request(http.MethodGet, "app.test", "/", "", "Accept", "text/html")).body
	}
	if got := body(); !strings.Contains(got, "first") {
		t.Errorf("got %s", got)
	}
	w.change(pageConfigMap("true", "index.html", "second"))
	w.eventually("the page is the new one", func() bool { return strings.Contains(body(), "second") })
	w.change(pageConfigMap("true", "index.html", "third {{"))
	w.eventually("a page that does not parse gives way", func() bool { return strings.Contains(body(), "The application is starting.") })
}
