// Package docs checks the hand-written Markdown pages of this repository. Links must lead
// somewhere, example objects must be valid, and the variables and metrics that a page names must
// exist.
package docs

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"

	"github.com/kedacore/http-add-on/standalone/schema"
)

const root = "../.."

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPagesOfThisRepository(t *testing.T) {
	known, err := namesIn(root+"/docs/reference/environment.md", root+"/docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	problems, err := check(root, known)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Error(problem)
	}
}

// docs/operations.md explains what to do about each condition reason.
func TestEveryReasonIsExplained(t *testing.T) {
	operations, err := os.ReadFile(filepath.Join(root, "docs/operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	constant := regexp.MustCompile(`Reason[A-Za-z]+\s+= "([A-Za-z]+)"`)
	found := map[string]bool{}
	for _, folder := range []string{"operator/controllers", "pkg/route"} {
		err = filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" {
				return err
			}
			text, err := os.ReadFile(path)
			for _, match := range constant.FindAllStringSubmatch(string(text), -1) {
				found[match[1]] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(found) < 15 {
		t.Fatalf("only %d reasons found in the code", len(found))
	}
	for _, reason := range slices.Sorted(maps.Keys(found)) {
		if !strings.Contains(string(operations), "`"+reason+"`") {
			t.Errorf("docs/operations.md does not explain the reason %s", reason)
		}
	}
}

// Artifact Hub shows the examples of the chart's annotation.
func TestExamplesOfTheChartAreValid(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "charts/keda-add-ons-http/Chart.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var chart struct{ Annotations map[string]string }
	if err := yaml.Unmarshal(text, &chart); err != nil {
		t.Fatal(err)
	}
	var objects []map[string]any
	if err := yaml.Unmarshal([]byte(chart.Annotations["artifacthub.io/crdsExamples"]), &objects); err != nil || len(objects) != 2 {
		t.Fatalf("%d examples: %v", len(objects), err)
	}
	validator, err := schema.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		document, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range examples(validator, string(document)) {
			t.Error(problem)
		}
	}
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	folder := t.TempDir()
	write := func(name string, lines ...string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), []byte(strings.Join(lines, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("other.md", "# The `other` page", "## Twice", "## Twice")
	write("page.md",
		"# Page",
		"[a](other.md) [b](other.md#the-other-page) [c](#page) [d](other.md#twice-1) [e](https://example.com/x) `[f](no.md)`",
		"[g](missing.md) [h](other.md#missing)", // 3
		"![i](missing.png)",                     // 4
		"set KEDA_HTTP_PROXY_PORT and watch interceptor_request_count_total",
		"set KEDA_HTTP_PROXY_PROT", // 6
		"watch interceptor_requests_total",
		"```yaml",
		"coldStart: {waitingPage: {}}",
		"---",
		"apiVersion: v1",
		"kind: Service",
		"```",
		"```yaml", // 14
		"coldStart: {waitingPage: {titel: x}}",
		"```",
		"```yaml", // 17
		"apiVersion: http.keda.sh/v1beta1",
		"kind: InterceptorRoute",
		"metadata: {name: app}",
		"spec: {target: {service: app, port: 80, portName: http}, scalingMetric: {concurrency: {targetValue: 1}}}",
		"```",
		"```yaml", // 23
		"a: [",
		"```",
		"```yaml", // 26
		"kind: ConfigMap",
		"data: {page: '{{range .Title}}{{end}}'}",
		"```",
	)
	problems, err := check(folder, names{"KEDA_HTTP_PROXY_PORT": true, "interceptor_request_count_total": true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, problem := range problems {
		text, _, _ := strings.Cut(problem.Error(), "\n")
		got = append(got, text)
	}
	want := []string{
		`page.md:15: unknown field "spec.coldStart.waitingPage.titel"`,
		`page.md:18: spec.target: Invalid value: exactly one of 'port' or 'portName' must be set`,
		"page.md:24: not YAML: yaml: line 1: did not find expected node content",
		"page.md:27: page: page:1:8: range may not be used in a waiting page",
		"page.md:3: the link leads nowhere: missing.md",
		"page.md:3: the link leads nowhere: other.md has no heading #missing",
		"page.md:4: the link leads nowhere: missing.png",
		"page.md:6: KEDA_HTTP_PROXY_PROT does not exist",
		"page.md:7: interceptor_requests_total does not exist",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
