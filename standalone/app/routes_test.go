package app

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr/funcr"

	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/standalone/manifest"
	"github.com/kedacore/http-add-on/standalone/scale"
	"github.com/kedacore/http-add-on/standalone/schema"
)

var compiled = sync.OnceValues(schema.New)

// loaded is what manifests define.
func loaded(t *testing.T, manifests string) *manifest.Set {
	t.Helper()
	validator, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "all.yaml")
	if err := os.WriteFile(path, []byte(manifests), 0o600); err != nil {
		t.Fatal(err)
	}
	set, problems := manifest.Load([]string{path}, manifest.Checker{Schema: validator}, nil)
	for _, p := range problems {
		t.Error(p)
	}
	return set
}

// examined returns the problems of each route, broken before worse, and the welcome for all of
// them.
func examined(t *testing.T, manifests string) (wrong map[string]string, text string) {
	t.Helper()
	set := loaded(t, manifests)
	targets, _ := scale.Compile(set)
	wrong = map[string]string{}
	routes := examine(set, targets, route.Settings{})
	for _, s := range routes {
		wrong[s.name()] = strings.Join(s.broken, "; ") + "|" + strings.Join(s.worse, "; ")
	}
	return wrong, welcome(routes, "8080", "9090")
}

const (
	appRoute = `
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: app}
spec:
  target: {service: app, port: 80}
  rules: [{hosts: [app.localhost]}]
  scalingMetric: {concurrency: {targetValue: 1}}
---`
	appScaled = `
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: app}
spec:
  scaleTargetRef: {name: app}
  triggers: [{type: external-push, metadata: {interceptorRoute: app}}]
---`
	appService = `
apiVersion: v1
kind: Service
metadata: {name: app}
spec:
  selector: {app: app}
  ports: [{port: 80, targetPort: http}]
---`
	appDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      containers: [{name: app, command: ["true"], ports: [{name: http, containerPort: 8000}]}]
---`
	whole = appRoute + appScaled + appService + appDeployment
)

func TestRoutesThatAreNotServed(t *testing.T) {
	replaced := func(old, with string) string { return strings.Replace(whole, old, with, 1) }
	for _, test := range []struct {
		reason, manifests string
		broken, worse     string // of default/app
	}{
		{"all is well", whole, "", ""},
		{"an unknown name of a targetPort", replaced("targetPort: http", "targetPort: web"),
			`Deployment "app" has no port named "web", which is the targetPort of Service "app"`, ""},
		{"a selector that matches nothing", replaced("selector: {app: app}", "selector: {app: api}"),
			`the selector of Service "app" matches no Deployment's template`, ""},
		{"a selector that matches another namespace", replaced("kind: Deployment\nmetadata: {name: app}", "kind: Deployment\nmetadata: {name: app, namespace: other}"),
			`the selector of Service "app" matches no Deployment's template`, ""},
		{"no selector", replaced("selector: {app: app}", ""), `Service "app" has no selector`, ""},
		{"the number of a targetPort", replaced("targetPort: http", "targetPort: 8000"), "", ""},
		{"a number that no container has", replaced("targetPort: http", "targetPort: 8123"), "",
			`no container of Deployment "app" has port 8123, the targetPort of Service "app"`},
		{"no targetPort", replaced(", targetPort: http", ""), "", `no container of Deployment "app" has port 80, the targetPort of Service "app"`},
		{"no targetPort, and the port is the container's", strings.Replace(replaced(", targetPort: http", ""), "containerPort: 8000", "containerPort: 80", 1), "", ""},
		{"a number that only a fallback lacks", replaced("  rules:", "  coldStart: {fallback: {service: {name: sorry, port: 80}}}\n  rules:") +
			strings.NewReplacer("metadata: {name: app}", "metadata: {name: sorry}", "targetPort: http", "targetPort: 8123").Replace(appService),
			"", `coldStart.fallback: no container of Deployment "app" has port 8123, the targetPort of Service "sorry"`},
		{"no Service", replaced("kind: Service\nmetadata: {name: app}", "kind: Service\nmetadata: {name: api}"), `Service "app" does not exist`, ""},
		{"no such port", replaced("port: 80}", "port: 81}"), `Service "app" has no TCP port 81`, ""},
		{"only UDP", replaced("targetPort: http", "targetPort: http, protocol: UDP"), `Service "app" has no TCP port 80`, ""},
		{"no ScaledObject, and it sleeps", strings.Replace(replaced("interceptorRoute: app", "interceptorRoute: api"), "spec:\n  selector: {match", "spec:\n  replicas: 0\n  selector: {match", 1),
			`requests do not wake Deployment "app": nothing scales it by this route`, ""},
		{"no ScaledObject, and it runs always", appRoute + appService + appDeployment, "", ""},
		{"no rules", replaced("  rules: [{hosts: [app.localhost]}]\n", ""), "it has no rules, so no request matches", ""},
		{"hosts that no request has", replaced("app.localhost", "http://app.localhost"), `no request matches the host "http://app.localhost": it is a URL; write its host alone`, ""},
		{"a host that no request has", replaced("app.localhost", "a.*.b, app.localhost"), "", `no request matches the host "a.*.b"`},
		{"another route with the same host and path", whole + strings.ReplaceAll(whole, "name: app}", "name: web}"),
			"requests for app.localhost/ go to the route default/web, which has the same rule and comes first", ""},
		{"for one of its hosts", replaced("app.localhost", "app.localhost, b.localhost") + strings.ReplaceAll(whole, "name: app}", "name: web}"),
			"", "requests for app.localhost/ go to the route default/web, which has the same rule and comes first"},
		{"a page that is not there", replaced("  rules:", "  coldStart: {waitingPage: {bodyFromConfigMap: {name: none, key: x}}}\n  rules:"),
			"", `coldStart.waitingPage: ConfigMap "none" does not exist or has no label`},
		{"an older object of the same name", whole + "\n---\n" + `
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {name: app}
spec: {hosts: [old.localhost], scaleTargetRef: {name: app, service: app, port: 80}}`, "", "it wins over the HTTPScaledObject of the same name"},
		{"a fallback that is not there", replaced("  rules:", "  coldStart: {fallback: {service: {name: sorry, port: 80}}}\n  rules:"), "", `coldStart.fallback: Service "sorry" does not exist`},
	} {
		got, text := examined(t, test.manifests)
		broken, worse, _ := strings.Cut(got["default/app"], "|")
		if broken != test.broken || worse != test.worse && (test.worse == "" || !strings.HasPrefix(worse, test.worse)) {
			t.Errorf("%s: broken %q, worse %q; want %q, %q", test.reason, broken, worse, test.broken, test.worse)
		}
		if invited := !strings.Contains(text, "default/app is not served\n    "+broken); invited != (broken == "") {
			t.Errorf("%s: what to try:\n%s", test.reason, text)
		}
	}
}

func TestWhatToTry(t *testing.T) {
	for _, test := range []struct{ reason, rules, want string }{
		{"a name of this machine", "[{hosts: [app.localhost]}]", "curl -i http://app.localhost:8080/"},
		{"another name", "[{hosts: [app.test]}]", "curl -i -H 'Host: app.test' http://localhost:8080/"},
		{"a wildcard", `[{hosts: ["*.wild.localhost"]}]`, "curl -i http://any.wild.localhost:8080/"},
		{"a wildcard of another name", `[{hosts: ["*.app.test"]}]`, "curl -i -H 'Host: any.app.test' http://localhost:8080/"},
		{"all names of this machine", `[{hosts: ["*.localhost"]}]`, "curl -i http://any.localhost:8080/"},
		{"a wildcard of everything", `[{hosts: ["*"]}]`, "curl -i http://localhost:8080/"},
		{"all hosts", "[{}]", "curl -i http://localhost:8080/"},
		{"a path that no URL has as it is", `[{paths: [{value: "/ü $a"}]}]`, `curl -i 'http://localhost:8080/%C3%BC%20$a'`},
		{"what no request matches is left out", `[{hosts: ["http://a"]}, {hosts: ["b.*", c.localhost], paths: [{value: /*}, {value: /c}]}]`, "curl -i http://c.localhost:8080/c"},
		{"a host in Unicode", "[{hosts: [bücher.localhost]}]", "curl -i http://xn--bcher-kva.localhost:8080/"},
		{"a header", "[{headers: [{name: X-Team, value: a}]}]", "curl -i -H 'X-Team: a' http://localhost:8080/"},
		{"a header with a quote", `[{headers: [{name: X-Team, value: "a'b"}]}]`, `curl -i -H 'X-Team: a'\''b' http://localhost:8080/`},
	} {
		_, text := examined(t, strings.Replace(whole, "[{hosts: [app.localhost]}]", test.rules, 1))
		if !strings.Contains(text, "\n  default/app\n    "+test.want+"\n") {
			t.Errorf("%s: no %q in\n%s", test.reason, test.want, text)
		}
	}
	other := strings.ReplaceAll(appRoute, "name: app}", "name: web}")
	both := strings.Replace(whole, "[app.localhost]", "[app.localhost, b.localhost]", 1) + other
	if _, text := examined(t, both); !strings.Contains(text, "\n  default/app\n    curl -i http://b.localhost:8080/\n") {
		t.Errorf("a host that another route takes is tried:\n%s", text)
	}
	for _, test := range []struct{ pattern, taken, want string }{
		{"*.wild.localhost", "any.wild.localhost, any2.wild.localhost", "http://any3.wild.localhost:8080/"},
		{"*", "localhost", "http://any.localhost:8080/"},
		{"*", `localhost, "*.localhost"`, "-H 'Host: any.test' http://localhost:8080/"},
	} {
		more := strings.Replace(whole, "[app.localhost]", `["`+test.pattern+`"]`, 1) + strings.Replace(other, "[app.localhost]", "["+test.taken+"]", 1)
		if _, text := examined(t, more); !strings.Contains(text, "\n  default/app\n    curl -i "+test.want+"\n") {
			t.Errorf("%s beside %s: no %s in\n%s", test.pattern, test.taken, test.want, text)
		}
	}
	if _, text := examined(t, ""); !strings.Contains(text, "There is no route yet") {
		t.Errorf("without a route:\n%s", text)
	}
}

func TestWhatIsWrongIsReportedOnce(t *testing.T) {
	var lines []string
	c := &composition{log: funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})}
	for _, step := range []struct{ manifests, want string }{
		{whole, ""},
		{strings.Replace(whole, "targetPort: http", "targetPort: web", 1), `"msg"="route is not served"`},
		{strings.Replace(whole, "targetPort: http", "targetPort: web", 1), ""},
		{strings.Replace(whole, "[app.localhost]", "[app.localhost, a.*]", 1), `"msg"="route is only partly served"`},
		{whole, `"msg"="route is served again"`},
	} {
		lines = nil
		set := loaded(t, step.manifests)
		targets, _ := scale.Compile(set)
		c.report(examine(set, targets, route.Settings{}))
		if got := strings.Join(lines, "\n"); (step.want == "") != (got == "") || !strings.Contains(got, step.want) || got != "" && !strings.Contains(got, "InterceptorRoute default/app") {
			t.Errorf("the log has %q, want %q", got, step.want)
		}
	}
}
