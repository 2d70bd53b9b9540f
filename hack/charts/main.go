// Command charts writes what is derived in charts/keda-add-ons-http: README.md
// and values.schema.json from the comments of values.yaml, and the copies of the
// CustomResourceDefinitions from config/crd/bases. It knows the conventions of
// those comments and nothing of what the values do.
//
//	go run ./hack/charts            writes the files
//	go run ./hack/charts -check     writes nothing; fails if a file is not up to date
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

const (
	chart       = "charts/keda-add-ons-http"
	definitions = "config/crd/bases"
)

func main() {
	check := flag.Bool("check", false, "write nothing, and fail if a file is not up to date")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(check bool) error {
	files, err := generate()
	if err != nil {
		return err
	}
	var stale []error
	for name, want := range files {
		have, err := os.ReadFile(name)
		switch {
		case err == nil && bytes.Equal(have, want):
		case check:
			stale = append(stale, fmt.Errorf("%s is not up to date: run go run ./hack/charts", name))
		default:
			if err := os.WriteFile(name, want, 0o644); err != nil {
				return fmt.Errorf("writing a derived file: %w", err)
			}
		}
	}
	return errors.Join(stale...)
}

// generate returns the derived files by name.
func generate() (map[string][]byte, error) {
	text, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return nil, fmt.Errorf("reading the values: %w", err)
	}
	values, err := parseValues(text)
	if err != nil {
		return nil, fmt.Errorf("reading %s/values.yaml: %w", chart, err)
	}
	head, err := os.ReadFile("hack/charts/README.md")
	if err != nil {
		return nil, fmt.Errorf("reading the README's text: %w", err)
	}
	schema, err := schemaOf(values)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{
		filepath.Join(chart, "README.md"):          append(head, table(values)...),
		filepath.Join(chart, "values.schema.json"): schema,
	}
	copies, err := filepath.Glob(filepath.Join(definitions, "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("listing the definitions: %w", err)
	}
	for _, name := range copies {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading a definition: %w", err)
		}
		files[filepath.Join(chart, "files/crds", filepath.Base(name))] = text
	}
	return files, nil
}
