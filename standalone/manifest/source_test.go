package manifest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/kedacore/http-add-on/pkg/kubesource"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink passes on each call as text.
type sink chan string

func (s sink) Set(o kubesource.Object)      { s <- "set " + o.GetName() }
func (s sink) Delete(o kubesource.Object)   { s <- "delete " + o.GetName() }
func (s sink) Wake(kubesource.Object, bool) {}
func (s sink) Synced()                      { s <- "synced" }

func (s sink) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-s:
			if got != w {
				t.Fatalf("sink received %q, want %q", got, w)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("sink was not told %q", w)
		}
	}
}

func TestSourceFollowsChanges(t *testing.T) {
	folder := t.TempDir()
	a, b := filepath.Join(folder, "a.yaml"), filepath.Join(folder, "b.yaml")
	write(t, a, interceptorRoute+"---\n"+deployment+"---\n"+fmt.Sprintf(service, "s"))
	lines, told := make(chan string, 10), make(sink, 100)
	log := funcr.New(func(_, args string) {
		if strings.Contains(args, "refused") {
			lines <- args
		}
	}, funcr.Options{})
	sets := make(chan *Set, 10)
	source, err := NewSource([]string{folder}, newChecker(t), log, func(s *Set) { sets <- s })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- source.Run(ctx, told) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()

	told.expect(t, "set r", "set s", "synced") // the Deployment is not the interceptor's
	if first := <-sets; len(first.References()) != 3 {
		t.Errorf("first set %v", first.References())
	}

	write(t, b, fmt.Sprintf(service, "new"))
	told.expect(t, "set new")

	// Editors write another file and rename it.
	write(t, b+"~", "kind: [\n---\n"+fmt.Sprintf(service, "newer"))
	if err := os.Rename(b+"~", b); err != nil {
		t.Fatal(err)
	}
	told.expect(t, "set newer") // and "new" stays while the file has an error
	select {
	case line := <-lines:
		if !strings.Contains(line, `"line"=`) || !strings.Contains(line, "b.yaml") {
			t.Errorf("log line %s", line)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the error is not logged")
	}

	if err := os.Remove(b); err != nil {
		t.Fatal(err)
	}
	told.expect(t, "delete new", "delete newer")
}

func TestSourceNeedsItsPaths(t *testing.T) {
	_, err := NewSource([]string{filepath.Join(t.TempDir(), "nowhere")}, Checker{}, logr.Discard(), nil)
	if err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("error %v", err)
	}
}

func TestSplit(t *testing.T) {
	tests := map[string][]int{ // first line of each document
		"":                             nil,
		"# nothing\n---\n---\n":        nil,
		"a: 1\n":                       {1},
		"---\na: 1\n":                  {2},
		"a: 1\n---\n# x\n\nb: 1\n---":  {1, 5},
		"a: |\n  ---\n  x\n--- # c\nb": {1, 5},
		"a: 1\r\n---\r\nb: 1\r\n":      {1, 3},
	}
	for text, want := range tests {
		var got []int
		for _, d := range split([]byte(text)) {
			got = append(got, d.line)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q has documents at %v, want %v", text, got, want)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(interceptorRoute + "---\n" + deployment)
	f.Add("a: &a [*a]\n---\nkind: {")
	f.Fuzz(func(_ *testing.T, text string) {
		for _, d := range split([]byte(text)) {
			if d.parse() == nil {
				d.lineOf("spec.ports[0].port")
				d.lineOf("metadata.labels[app.kubernetes.io/name]")
			}
		}
	})
}
