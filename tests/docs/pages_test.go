package docs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/kedacore/http-add-on/standalone/schema"
	"github.com/kedacore/http-add-on/tests/support/markdown"
)

// notPages are the folders whose Markdown is not documentation of this project.
var notPages = []string{".git", "bin", "node_modules", "testdata", "hack"}

// names are the variables of the environment and the metrics that pages may mention.
type names map[string]bool

// namesIn returns what reference pages list in the first column of their tables.
func namesIn(pages ...string) (names, error) {
	row := regexp.MustCompile("(?m)^\\| `([A-Za-z0-9_]+)` \\|")
	known := names{}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			return nil, fmt.Errorf("reading a reference page: %w", err)
		}
		for _, match := range row.FindAllStringSubmatch(string(text), -1) {
			known[match[1]] = true
		}
	}
	return known, nil
}

// check reads every page below root and returns their mistakes.
func check(root string, known names) ([]error, error) {
	pages := map[string]markdown.Page{}
	texts := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains(notPages, entry.Name()) && path != root:
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		path, err = filepath.Rel(root, path)
		if err != nil {
			return err
		}
		texts[path], pages[path] = string(text), markdown.Parse(string(text))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the pages: %w", err)
	}
	validator, err := schema.New()
	if err != nil {
		return nil, err
	}
	var problems []error
	for path, p := range pages {
		problem := func(line int, format string, args ...any) {
			problems = append(problems, fmt.Errorf("%s:%d: %w", path, line, fmt.Errorf(format, args...)))
		}
		for _, l := range p.Links {
			if err := follow(root, path, l.Target, pages); err != nil {
				problem(l.Line, "%w", err)
			}
		}
		for _, b := range p.Blocks {
			if b.Language == "yaml" || b.Language == "yml" {
				for _, err := range examples(validator, b.Text) {
					problem(b.Line, "%w", err)
				}
			}
		}
		for line, name := range unknown(texts[path], known) {
			problem(line, "%s does not exist", name)
		}
	}
	slices.SortFunc(problems, func(x, y error) int { return strings.Compare(x.Error(), y.Error()) })
	return problems, nil
}

var errBroken = errors.New("the link leads nowhere")

// follow returns an error if a link to a file or a heading of this repository is broken.
func follow(root, from, target string, pages map[string]markdown.Page) error {
	if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") || strings.HasPrefix(target, "data:") {
		return nil
	}
	name, anchor, _ := strings.Cut(target, "#")
	path := from
	if name != "" {
		path = filepath.Join(filepath.Dir(from), name)
		if _, err := os.Stat(filepath.Join(root, path)); err != nil {
			return fmt.Errorf("%w: %s", errBroken, target)
		}
	}
	if anchor == "" {
		return nil
	}
	if p, ok := pages[path]; ok && p.Anchors[anchor] {
		return nil
	}
	return fmt.Errorf("%w: %s has no heading #%s", errBroken, path, anchor)
}

var (
	variablePattern = regexp.MustCompile(`\b(?:KEDA|OTEL_PROM|OTEL_EXPORTER_OTLP_(?:METRICS|TRACES)_(?:ENABLED|PROTOCOL))(?:_[A-Z0-9]+)*\b`)
	metricPattern   = regexp.MustCompile(`\b(?:interceptor|scaler)_[a-z_]+\b`)
	suffixPattern   = regexp.MustCompile(`_(?:bucket|sum|count)$`)
)

// unknown returns the variables and metrics that a text names and that do not exist, by
// line.
func unknown(text string, known names) map[int]string {
	found := map[int]string{}
	for i, line := range strings.Split(text, "\n") {
		for _, name := range variablePattern.FindAllString(line, -1) {
			if strings.Contains(name, "_") && !known[name] {
				found[i+1] = name
			}
		}
		for _, name := range metricPattern.FindAllString(line, -1) {
			if !known[name] && !known[suffixPattern.ReplaceAllString(name, "")] {
				found[i+1] = name
			}
		}
	}
	return found
}
