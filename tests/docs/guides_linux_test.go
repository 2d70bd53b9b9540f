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
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"

	"github.com/kedacore/http-add-on/standalone/app"
	"github.com/kedacore/http-add-on/tests/support/capture"
)

const (
	guides = root + "/docs/guides"
	// patience bounds what must come true; nothing waits for it when all is well.
	patience = 30 * time.Second
)

// The words that a guide begins with, below its title.
const (
	executed = "> Every command of this page is run by a test."
	checked  = "> Not executed: "
)

// Every guide declares whether a test runs its commands. In such a guide, the YAML blocks are
// files, named by a comment on their first line. The console blocks are commands, each after "$
// ", with their output; "…" stands for anything, also for any number of lines. A command that
// runs bin/standalone starts it. A change takes effect in a moment, so a command is repeated
// until it prints the output of the guide.
func TestGuides(t *testing.T) {
	paths, err := filepath.Glob(guides + "/*.md")
	if err != nil {
		t.Fatal(err)
	}
	binaries := buildExamples(t)
	commands := 0
	for _, path := range paths {
		name := filepath.Base(path)
		if name == "README.md" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.SplitN(string(text), "\n", 4)
		p := parse(string(text))
		switch {
		case len(lines) == 4 && strings.HasPrefix(lines[2], executed):
			t.Run(name, func(t *testing.T) { commands += newGuide(t, binaries).run(p) })
		case len(lines) < 4 || !strings.HasPrefix(lines[2], checked):
			t.Errorf("%s does not say below its title whether it is executed", name)
		case slices.ContainsFunc(p.blocks, func(b block) bool { return b.language == "console" }):
			t.Errorf("%s is not executed, and has blocks of the language console", name)
		}
	}
	if commands < 20 {
		t.Errorf("only %d commands were executed", commands)
	}
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

// guide is a page that is executed, in a separate folder and on a separate loopback address.
type guide struct {
	t       *testing.T
	folder  string
	address string
	stop    func()
}

func newGuide(t *testing.T, binaries string) *guide {
	t.Helper()
	g := &guide{t: t, folder: t.TempDir(), stop: func() {}}
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

// run executes the blocks of a page and returns how many commands that were.
func (g *guide) run(p page) (commands int) {
	for _, b := range p.blocks {
		switch b.language {
		case "yaml":
			first, _, _ := strings.Cut(b.text, "\n")
			name, ok := strings.CutPrefix(first, "# ")
			if !ok || filepath.Ext(name) != ".yaml" {
				g.t.Fatalf("line %d: the first line must be a comment with the name of the file", b.line)
			}
			path := filepath.Join(g.folder, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				g.t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(b.text), 0o600); err != nil {
				g.t.Fatal(err)
			}
		case "console":
			for _, c := range splitConsole(b.text) {
				commands++
				if _, args, ok := strings.Cut(c.line, "bin/standalone"); ok {
					g.start(strings.Fields(strings.TrimSuffix(c.line, "bin/standalone"+args)), strings.Fields(args))
					continue
				}
				g.expect(b.line, c)
			}
		}
	}
	return commands
}

// start runs standalone in this process, in place of one that runs.
func (g *guide) start(env, args []string) {
	g.stop()
	settings, err := app.ParseFlags(slices.DeleteFunc(args, func(arg string) bool { return arg == "&" }), io.Discard, func(*flag.FlagSet) {})
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

// expect repeats a command until it prints what it should.
func (g *guide) expect(line int, c command) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	pause := time.NewTicker(100 * time.Millisecond)
	defer pause.Stop()
	for {
		shell := exec.CommandContext(ctx, "bash", "-c", c.line)
		shell.Env = append(os.Environ(), "CURL_HOME="+g.folder, "HOME="+g.folder)
		out, err := shell.CombinedOutput()
		got := strings.TrimSpace(strings.ReplaceAll(string(out), "\r", ""))
		if c.output.MatchString(got) {
			return
		}
		select {
		case <-ctx.Done():
			g.t.Fatalf("block at line %d: $ %s\nprints (%v)\n%s\nwant\n%s", line, c.line, err, got, c.output)
		case <-pause.C:
		}
	}
}

// command of a guide, and what it prints.
type command struct {
	line   string
	output *regexp.Regexp
}

// splitConsole returns the commands of a block.
func splitConsole(text string) (commands []command) {
	var output []string
	flush := func() {
		if len(commands) == 0 {
			return
		}
		pattern := regexp.QuoteMeta(strings.TrimSpace(strings.Join(output, "\n")))
		commands[len(commands)-1].output = regexp.MustCompile(`(?s)^` + strings.ReplaceAll(pattern, "…", ".*") + `$`)
		output = nil
	}
	continued := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		first, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case continued:
			commands[len(commands)-1].line += "\n" + line
		case isCommand:
			flush()
			commands = append(commands, command{line: first})
		default:
			output = append(output, line)
		}
		continued = (isCommand || continued) && strings.HasSuffix(line, `\`)
	}
	flush()
	return commands
}
