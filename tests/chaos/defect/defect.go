// Package defect has defects of our programs that chaos must notice. The node of tests/e2e/node can run
// one of them.
package defect

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Defect is a change of a source file that breaks an invariant. It is made while the
// program is built (go build -overlay): the product has no seam for it.
type Defect struct {
	Program       string // whose source it is
	Breaks        string // the invariant
	file          string // below the root of the repository
	sound, broken string // the code before and after
}

// The invariants of chaos.
const (
	Answered = "no request is lost, hangs or has another's answer"
	Wakes    = "every wake happens"
	Counts   = "counts return to zero"
	Sleeps   = "targets without requests sleep"
	Leaks    = "memory and goroutines return to where they began"
	Work     = "the run does enough"
)

var defects = map[string]Defect{
	"dropped-release": {
		Program: "interceptor", file: "interceptor/inflight/route.go", Breaks: Sleeps,
		sound:  "\tif released.Swap(true) {\n",
		broken: "\tif released.Swap(true) || r.requests.Load()&inFlightMask == 2 {\n",
	},
	"leaked-slot": {
		Program: "interceptor", file: "interceptor/endpoints/slot.go", Breaks: Answered,
		sound:  "\tif phase == released {\n\t\treturn\n\t}\n",
		broken: "\tif phase == released || t.since%4 == 1 {\n\t\treturn\n\t}\n",
	},
	"lost-push": {
		Program: "scaler", file: "scaler/externalscaler/pace.go", Breaks: Wakes,
		sound:  "\tfor stream := range r.streams {\n",
		broken: "\tfor stream := range map[chan struct{}]struct{}{} {\n",
	},
}

// Named returns a defect by its name.
func Named(name string) (Defect, error) {
	d, ok := defects[name]
	if !ok {
		return Defect{}, fmt.Errorf("there is no defect %q, but %v", name, slices.Sorted(maps.Keys(defects)))
	}
	return d, nil
}

// Build builds the program with the defect.
func (d Defect) Build(ctx context.Context, root, program string) error {
	folder, err := os.MkdirTemp("", "http-add-on-defect-")
	if err != nil {
		return fmt.Errorf("making a folder for an overlay: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }() // it is below the system's folder for temporary files
	overlay, err := d.overlay(root, folder)
	if err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", program, "./"+d.Program)
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false") // as in the Makefile
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building a defect: %w: %s", err, out)
	}
	return nil
}

// overlay writes what go build -overlay reads into a folder, and returns its path.
func (d Defect) overlay(root, folder string) (string, error) {
	source := filepath.Join(root, d.file)
	text, err := os.ReadFile(source)
	if err != nil {
		return "", fmt.Errorf("reading the source of a defect: %w", err)
	}
	if n := strings.Count(string(text), d.sound); n != 1 {
		return "", fmt.Errorf("%s has %d times %q, want it once: change the defect as the code was", d.file, n, d.sound)
	}
	replaced := filepath.Join(folder, filepath.Base(d.file))
	list, err := json.Marshal(map[string]map[string]string{"Replace": {source: replaced}})
	if err != nil {
		return "", fmt.Errorf("writing an overlay: %w", err)
	}
	path := filepath.Join(folder, "overlay.json")
	for file, content := range map[string]string{replaced: strings.Replace(string(text), d.sound, d.broken, 1), path: string(list)} {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			return "", fmt.Errorf("writing an overlay: %w", err)
		}
	}
	return path, nil
}
