// Package guide runs the commands of a page and compares what they print with the page. It must not know
// what the commands are about.
//
// The YAML blocks of such a page are files, named by a comment on their first line. The console blocks are
// commands, each after "$ ", with their output; "…" stands for anything, also for any number of lines. A
// command that ends with "&" stays in the background, and its output does not matter. A change takes effect
// in a moment, so any other command is repeated until it prints the output of the page. One of which the page
// shows no output, or only "…", must also succeed.
package guide

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kedacore/http-add-on/tests/support/markdown"
)

// Where says where a page's commands can run. It is what the page has below its title.
type Where string

// The page's words for each.
const (
	Here    Where = "> Every command of this page is run by a test. "
	Node    Where = "> Every command of this page is run by a test on a real node. "
	Traefik Where = "> Every command of this page is run by a test on a real node with Traefik. "
	Nowhere Where = "> Not executed: "
)

// Page is a page that says whether its commands are run.
type Page struct {
	markdown.Page
	Path  string
	Where Where
}

// Pages reads every page of a repository that must say whether its commands are run.
func Pages(root string) ([]Page, error) {
	paths, err := filepath.Glob(filepath.Join(root, "docs/guides/*.md"))
	if err != nil {
		return nil, fmt.Errorf("finding the guides: %w", err)
	}
	paths = slices.DeleteFunc(paths, func(path string) bool { return filepath.Base(path) == "README.md" })
	var pages []Page
	for _, path := range append(paths, filepath.Join(root, "docs/first-route.md")) {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading a guide: %w", err)
		}
		page, err := read(path, string(text))
		if err != nil {
			return nil, err
		}
		pages = append(pages, page)
	}
	return pages, nil
}

func read(path, text string) (Page, error) {
	page := Page{Page: markdown.Parse(text), Path: path}
	if lines := strings.SplitN(text, "\n", 4); len(lines) == 4 {
		for _, where := range []Where{Here, Node, Traefik, Nowhere} {
			if strings.HasPrefix(lines[2]+" ", string(where)) {
				page.Where = where
			}
		}
	}
	switch {
	case page.Where == "":
		return Page{}, fmt.Errorf("%s does not say below its title whether it is executed", path)
	case page.Where == Nowhere && len(page.Commands()) > 0:
		return Page{}, fmt.Errorf("%s is not executed, and has blocks of the language console", path)
	}
	return page, nil
}

// Commands returns the lines of all commands.
func (p Page) Commands() (lines []string) {
	for _, b := range p.Blocks {
		for _, c := range commands(b) {
			lines = append(lines, c.line)
		}
	}
	return lines
}

// Runner runs pages. Everything that it waits for ends with the context.
type Runner struct {
	// Folder is where the commands run, and where the files of a page go.
	Folder string
	// Env is the environment of the commands, besides that of this process.
	Env []string
	// Patience bounds what must come true; nothing waits for it when all is well.
	Patience time.Duration
	// Background starts a command that ends with "&".
	Background func(line string) error
}

// Run executes the blocks of a page, up to the first error.
func (r Runner) Run(ctx context.Context, p Page) error {
	for _, b := range p.Blocks {
		if err := r.execute(ctx, b); err != nil {
			return fmt.Errorf("%s, block at line %d: %w", p.Path, b.Line, err)
		}
	}
	return nil
}

func (r Runner) execute(ctx context.Context, b markdown.Block) error {
	if b.Language == "yaml" {
		first, _, _ := strings.Cut(b.Text, "\n")
		name, ok := strings.CutPrefix(first, "# ")
		if !ok || filepath.Ext(name) != ".yaml" {
			return fmt.Errorf("the first line must be a comment with the name of the file, not %q", first)
		}
		path := filepath.Join(r.Folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("making a folder of the page: %w", err)
		}
		if err := os.WriteFile(path, []byte(b.Text), 0o600); err != nil {
			return fmt.Errorf("writing a file of the page: %w", err)
		}
		return nil
	}
	for _, c := range commands(b) {
		if line, ok := strings.CutSuffix(c.line, "&"); ok {
			if err := r.Background(strings.TrimSpace(line)); err != nil {
				return err
			}
		} else if err := r.expect(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// expect repeats a command until it prints what it should.
func (r Runner) expect(ctx context.Context, c command) error {
	ctx, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	pause := time.NewTicker(100 * time.Millisecond)
	defer pause.Stop()
	var got, state string
	for first := true; ; first = false {
		shell := exec.CommandContext(ctx, "bash", "-c", c.line)
		shell.Dir, shell.Env, shell.WaitDelay = r.Folder, append(os.Environ(), r.Env...), time.Second
		out, err := shell.CombinedOutput()
		if ctx.Err() == nil || first { // else it was killed
			got, state = trim(string(out)), fmt.Sprint(shell.ProcessState)
		}
		if ctx.Err() == nil && c.output.MatchString(got) && (err == nil || c.mayFail) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("$ %s\nprints (%s)\n%s\nwant\n%s", c.line, state, got, c.output)
		case <-pause.C:
		}
	}
}

// command is what a reader types, and what it prints.
type command struct {
	line    string
	output  *regexp.Regexp
	mayFail bool
}

// commands returns those of a console block; other blocks have none.
func commands(b markdown.Block) (all []command) {
	if b.Language != "console" {
		return nil
	}
	var output []string
	flush := func() {
		if len(all) == 0 {
			return
		}
		last, text := &all[len(all)-1], trim(strings.Join(output, "\n"))
		last.mayFail = text != "" && text != "…"
		last.output = regexp.MustCompile(`(?s)^` + strings.ReplaceAll(regexp.QuoteMeta(text), "…", ".*") + `$`)
		output = nil
	}
	continued := false
	for line := range strings.Lines(b.Text) {
		line = strings.TrimSuffix(line, "\n")
		first, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case continued:
			all[len(all)-1].line += "\n" + line
		case isCommand:
			flush()
			all = append(all, command{line: first})
		default:
			output = append(output, line)
		}
		continued = (isCommand || continued) && strings.HasSuffix(line, `\`)
	}
	flush()
	return all
}

var lineEndPattern = regexp.MustCompile(`[ \r]+(\n|$)`)

// trim removes what a reader cannot see: spaces at the ends of lines, and lines at the ends of a text.
func trim(text string) string {
	return strings.TrimSpace(lineEndPattern.ReplaceAllString(text, "$1"))
}
