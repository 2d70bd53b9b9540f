//go:build prometheus

package docs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/tests/support/capture"
	"github.com/kedacore/http-add-on/tests/support/markdown"
)

const monitoring = root + "/charts/keda-add-ons-http/files/monitoring/"

// What is asked: an application that wakes, one that does not in time, and one that takes
// no more than one request while it wakes.
const monitored = `
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {name: app}
spec: {hosts: [app.localhost], scaleTargetRef: {name: app, service: app, port: 80}}
---
apiVersion: v1
kind: Service
metadata: {name: app}
spec: {selector: {app: app}, ports: [{port: 80, targetPort: 8000}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec: {containers: [{name: app, command: [bin/webapp, -start-delay=2s], ports: [{containerPort: 8000}]}]}
---
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: late}
spec:
  target: {service: never, port: 80}
  rules: [{hosts: [late.localhost]}]
  scalingMetric: {concurrency: {targetValue: 1}}
  timeouts: {readiness: 100ms}
---
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: full}
spec:
  target: {service: never, port: 80}
  rules: [{hosts: [full.localhost]}]
  scalingMetric: {concurrency: {targetValue: 1}}
  coldStart: {maxPendingRequests: 1}
---
apiVersion: v1
kind: Service
metadata: {name: never}
spec: {selector: {app: never}, ports: [{port: 80}]}
`

// empty are the queries that have no answer in this test, and why.
var empty = map[string]string{
	"Lost answers": "no answer is lost",
	"increase(interceptor_request_count_total[24h])) == 0": "every route was used",
}

// TestPrometheus runs every query of the dashboard, the alerts and the guide in a real
// Prometheus. It scrapes a real interceptor, and what the scaler serves.
func TestPrometheus(t *testing.T) {
	dashboard, err := os.ReadFile(monitoring + "dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(guides + "/prometheus.md")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs(monitoring + "alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	scraped, err := os.ReadFile(root + "/scaler/collect/testdata/metrics.golden")
	if err != nil {
		t.Fatal(err)
	}
	scaler := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(scraped) }))
	t.Cleanup(scaler.Close)
	g := newGuide(t, buildExamples(t))
	if err := os.WriteFile("monitored.yaml", []byte(monitored), 0o600); err != nil {
		t.Fatal(err)
	}
	g.start([]string{"OTEL_PROM_EXPORTER_ENABLED=true"}, []string{"-f", "monitored.yaml"})
	p := startPrometheus(t, g.address+":9091", rules, g.address+":2223", strings.TrimPrefix(scaler.URL, "http://"))
	traffic(t, g)

	queries := panels(t, dashboard)
	for _, b := range markdown.Parse(string(page)).Blocks {
		if b.Language == "promql" {
			queries = append(queries, query{title: b.Text, expression: b.Text})
		}
	}
	if len(queries) < 25 {
		t.Fatalf("only %d queries found", len(queries))
	}
	for _, q := range queries {
		p.expect(q)
	}
	p.alerts("ColdStartsTimeOut", "TooManyWait")
}

// traffic keeps the counters moving until the test ends.
func traffic(t *testing.T, g *local) {
	ctx, cancel := context.WithCancel(t.Context())
	script := exec.CommandContext(ctx, "bash", "-c", `while sleep 0.2; do
		curl -s -m 20 http://app.localhost:8080/ & curl -s -m 5 http://late.localhost:8080/ & curl -s http://unknown.localhost:8080/ &
		curl -s -m 3 http://full.localhost:8080/ & curl -s -m 3 http://full.localhost:8080/ &
	done >/dev/null 2>&1; wait`)
	script.Env = append(os.Environ(), "CURL_HOME="+g.folder, "HOME="+g.folder)
	if err := script.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = script.Wait() // it was killed
	})
}

// query of a panel or a page.
type query struct{ title, expression string }

// panels returns the queries of a dashboard with its variables set. It replaces the minutes that
// the dashboard looks at by seconds, because a test has no minutes. It checks that its panels
// have different ids and places.
func panels(t *testing.T, text []byte) (queries []query) {
	t.Helper()
	var dashboard struct {
		Title, UID    string
		SchemaVersion int
		Panels        []struct {
			ID          int
			Title, Type string
			GridPos     struct{ X, Y, W, H int }
			Targets     []struct{ RefID, Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	if dashboard.Title == "" || dashboard.UID == "" || dashboard.SchemaVersion < 36 {
		t.Errorf("the dashboard has no title, uid or schema version: %+v", dashboard)
	}
	ids, cells := map[int]string{}, map[[2]int]string{}
	for _, panel := range dashboard.Panels {
		if other, taken := ids[panel.ID]; taken {
			t.Errorf("%s and %s have the same id", panel.Title, other)
		}
		ids[panel.ID] = panel.Title
		for x := range panel.GridPos.W {
			for y := range panel.GridPos.H {
				cell := [2]int{panel.GridPos.X + x, panel.GridPos.Y + y}
				if other, taken := cells[cell]; taken || cell[0] >= 24 {
					t.Errorf("%s lies on %s or outside", panel.Title, other)
				}
				cells[cell] = panel.Title
			}
		}
		for _, target := range panel.Targets {
			queries = append(queries, query{panel.Title, strings.NewReplacer(
				"$namespace", ".*", "$route", ".*", "$__rate_interval", "10s", "$__range", "1h", ":1m]", ":1s]", "offset 1m", "offset 1s").Replace(target.Expr)})
		}
	}
	return queries
}

// server is a Prometheus.
type server struct {
	t       *testing.T
	address string
}

func startPrometheus(t *testing.T, address, rules string, targets ...string) *server {
	t.Helper()
	folder := t.TempDir()
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n", rules)
	for i, target := range targets {
		config += fmt.Sprintf("  - job_name: %q\n    static_configs: [{targets: [%q]}]\n", fmt.Sprint("job", i), target)
	}
	path := filepath.Join(folder, "prometheus.yml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var output capture.Output
	ctx, cancel := context.WithCancel(context.Background())
	process := exec.CommandContext(ctx, "prometheus", "--config.file="+path, "--storage.tsdb.path="+filepath.Join(folder, "data"), "--web.listen-address="+address)
	process.Stdout, process.Stderr = &output, &output
	if err := process.Start(); err != nil {
		t.Fatalf("starting Prometheus, which make test-prometheus installs: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		_ = process.Wait() // it was killed
		if t.Failed() {
			t.Log(output.String())
		}
	})
	return &server{t: t, address: address}
}

// ask decodes the data of an answer of Prometheus' API.
func (s *server) ask(path string, data any) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	response, err := client.Get("http://" + s.address + path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("reading %q: %w", text, err)
	}
	if answer.Status != "success" {
		return errors.New(answer.Error)
	}
	return nil
}

// eventually repeats a check until it passes.
func (s *server) eventually(check func() error) {
	s.t.Helper()
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	var err error
	for begin := time.Now(); time.Since(begin) < 2*time.Minute; <-ticker.C {
		if err = check(); err == nil {
			return
		}
	}
	s.t.Error(err)
}

// expect waits until a query has an answer.
func (s *server) expect(q query) {
	s.t.Helper()
	for part := range empty {
		if q.title == part || strings.Contains(q.expression, part) {
			if err := s.ask("/api/v1/query?query="+url.QueryEscape(q.expression), new(any)); err != nil {
				s.t.Errorf("%s: %v", q.title, err)
			}
			return
		}
	}
	s.eventually(func() error {
		var data struct{ Result []any }
		if err := s.ask("/api/v1/query?query="+url.QueryEscape(q.expression), &data); err != nil {
			return fmt.Errorf("%s: %w\n%s", q.title, err, q.expression)
		}
		if len(data.Result) == 0 {
			return fmt.Errorf("%s has no answer: %s", q.title, q.expression)
		}
		return nil
	})
}

// alerts waits until all rules were evaluated well, and those that are named are pending.
func (s *server) alerts(pending ...string) {
	s.t.Helper()
	s.eventually(func() error {
		var data struct {
			Groups []struct {
				Rules []struct{ Name, Health, State, LastError string }
			}
		}
		if err := s.ask("/api/v1/rules", &data); err != nil {
			return err
		}
		states := map[string]string{}
		for _, group := range data.Groups {
			for _, rule := range group.Rules {
				if rule.Health != "ok" {
					return fmt.Errorf("%s is %s: %s", rule.Name, rule.Health, rule.LastError)
				}
				states[rule.Name] = rule.State
			}
		}
		for _, name := range pending {
			if states[name] != "pending" && states[name] != "firing" {
				return fmt.Errorf("%s is %q, want pending; all: %v", name, states[name], states)
			}
		}
		return nil
	})
}
