// Command docs writes the pages of docs/reference about the environment, the flags
// and the metrics from the code, and checks what is written by hand: that
// links lead somewhere, that example objects are valid, and that variables and
// metrics which a page names exist. It must not know what the pages say.
//
//	go run ./hack/docs            writes docs/reference, and checks
//	go run ./hack/docs -check     writes nothing; fails if a page is not up to date
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

const reference = "docs/reference"

func main() {
	only := flag.Bool("check", false, "write nothing, and fail if a page is not up to date")
	flag.Parse()
	if err := run(".", *only); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run works on the repository at root.
func run(root string, only bool) error {
	pages, known, err := generate()
	if err != nil {
		return err
	}
	var problems []error
	for name, want := range pages {
		path := filepath.Join(root, reference, name)
		have, err := os.ReadFile(path)
		switch {
		case err == nil && bytes.Equal(have, want):
		case only:
			problems = append(problems, fmt.Errorf("%s is not up to date: run go run ./hack/docs", filepath.Join(reference, name)))
		default:
			if err := os.WriteFile(path, want, 0o644); err != nil {
				return fmt.Errorf("writing a page: %w", err)
			}
		}
	}
	found, err := check(root, known)
	if err != nil {
		return err
	}
	return errors.Join(append(problems, found...)...)
}

// names are what pages may mention.
type names struct {
	// variables of the environment and metrics as Prometheus shows them.
	variables, metrics map[string]bool
}

// generate returns the pages by name, and what they list.
func generate() (map[string][]byte, names, error) {
	known := names{variables: map[string]bool{}, metrics: map[string]bool{}}
	metrics, err := metricsPage(known.metrics)
	return map[string][]byte{
		"environment.md": environmentPage(known.variables),
		"flags.md":       flagsPage(),
		"metrics.md":     metrics,
	}, known, err
}

// generated opens every page.
func generated(title string) *bytes.Buffer {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!-- Derived from the code by `go run ./hack/docs`; change it there. -->\n\n# %s\n", title)
	return &b
}
