package docs

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"

	"github.com/kedacore/http-add-on/standalone/app"
	"github.com/kedacore/http-add-on/tests/support/capture"
	"github.com/kedacore/http-add-on/tests/support/guide"
)

const (
	guides = root + "/docs/guides"
	// patience bounds what must come true; nothing waits for it when all is well.
	patience = 30 * time.Second
)

// TestGuides runs the commands of the guides that need no cluster. A command that runs bin/standalone starts
// it in this process.
func TestGuides(t *testing.T) {
	pages, err := guide.Pages(root)
	if err != nil {
		t.Fatal(err)
	}
	binaries := buildExamples(t)
	commands := map[guide.Where]int{}
	for _, page := range pages {
		commands[page.Where] += len(page.Commands())
		if page.Where == guide.Here {
			t.Run(filepath.Base(page.Path), func(t *testing.T) { newGuide(t, binaries).run(page) })
		}
	}
	if commands[guide.Here] < 40 {
		t.Errorf("only %d commands were executed", commands[guide.Here])
	}
	t.Logf("commands: %d here, %d on a real node, %d with Traefik there", commands[guide.Here], commands[guide.Node], commands[guide.Traefik])
}

// buildExamples returns a folder with the programs that the examples run.
func buildExamples(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", folder+"/", "./examples/webapp", "./examples/modelsim")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the examples: %v\n%s", err, out)
	}
	return folder
}

// local is a page that is executed, in a separate folder and on a separate loopback address.
type local struct {
	t       *testing.T
	folder  string
	address string
	stop    func()
}

func newGuide(t *testing.T, binaries string) *local {
	t.Helper()
	g := &local{t: t, folder: t.TempDir(), stop: func() {}}
	pid := os.Getpid()
	g.address = fmt.Sprintf("127.%d.%d.%d", 64+pid>>16&63, pid>>8&255, pid&255)
	if err := os.Symlink(binaries, filepath.Join(g.folder, "bin")); err != nil {
		t.Fatal(err)
	}
	// curl connects there, whatever host a command names.
	if err := os.WriteFile(filepath.Join(g.folder, ".curlrc"), []byte("connect-to = \"::"+g.address+":\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(g.folder)
	t.Cleanup(func() { g.stop() })
	return g
}

// run executes the blocks of a page.
func (g *local) run(p guide.Page) {
	g.t.Helper()
	r := guide.Runner{
		Folder: g.folder, Env: []string{"CURL_HOME=" + g.folder, "HOME=" + g.folder}, Patience: patience,
		Background: func(line string) error {
			env, args, ok := strings.Cut(line, "bin/standalone")
			if !ok {
				return fmt.Errorf("only bin/standalone can run in the background, not %s", line)
			}
			g.start(strings.Fields(env), strings.Fields(args))
			return nil
		},
	}
	if err := r.Run(g.t.Context(), p); err != nil {
		g.t.Fatal(err)
	}
}

// start runs standalone in this process, in place of one that runs.
func (g *local) start(env, args []string) {
	g.stop()
	settings, err := app.ParseFlags(args, io.Discard, func(*flag.FlagSet) {})
	if err != nil {
		g.t.Fatal(err)
	}
	values := map[string]string{"KEDA_HTTP_LISTEN_ADDRESS": g.address}
	for _, setting := range env {
		name, value, _ := strings.Cut(setting, "=")
		values[name] = value
	}
	settings.Lookup = func(name string) (string, bool) { value, ok := values[name]; return value, ok }
	settings.Environ = slices.Collect(maps.Keys(values))
	settings.Log, settings.Output = testr.New(g.t), &capture.Output{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx, settings) }()
	g.stop = func() {
		cancel()
		if err := <-done; err != nil {
			g.t.Errorf("standalone ended with %v", err)
		}
		g.stop = func() {}
	}
	// Not every command can be repeated until it succeeds.
	admin := "http://" + net.JoinHostPort(g.address, cmp.Or(values["KEDA_HTTP_ADMIN_PORT"], "9090"))
	deadline := time.Now().Add(patience)
	for pause := time.Tick(10 * time.Millisecond); ; <-pause {
		response, err := http.Get(admin + "/readyz")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				http.DefaultClient.CloseIdleConnections()
				return
			}
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("standalone is not ready: %v", err)
		}
	}
}
