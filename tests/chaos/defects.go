// Package chaos kills, cuts off and freezes parts of a cluster (tests/e2e/cluster) at random
// while sleeping targets are woken again and again. No request may be lost or hang, and every
// wake must happen. After the storm, all counts and holds of the add-on must be as before.
// Randomness comes from a seed.
//
// To prove that it would notice, it can run with a defect in one of our programs.
package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// defect is a change of a source file that breaks an invariant. It is made while the
// program is built (go build -overlay): the product has no seam for it.
type defect struct {
	program       string // whose source it is
	file          string // below the root of the repository
	sound, broken string // the code before and after
	breaks        string // the invariant
}

// The invariants.
const (
	answered = "no request is lost, hangs or has another's answer"
	wakes    = "every wake happens"
	counts   = "counts return to zero"
	sleeps   = "targets without requests sleep"
	leaks    = "memory and goroutines return to where they began"
	work     = "the run does enough"
)

// defects are those that CHAOS_DEFECT names.
var defects = map[string]defect{
	"dropped-release": {
		program: "interceptor", file: "interceptor/inflight/route.go", breaks: sleeps,
		sound:  "\tif released.Swap(true) {\n",
		broken: "\tif released.Swap(true) || r.requests.Load()&inFlightMask == 2 {\n",
	},
	"leaked-slot": {
		program: "interceptor", file: "interceptor/endpoints/slot.go", breaks: answered,
		sound:  "\tif phase == released {\n\t\treturn\n\t}\n",
		broken: "\tif phase == released || t.since%4 == 1 {\n\t\treturn\n\t}\n",
	},
	"lost-push": {
		program: "scaler", file: "scaler/externalscaler/pace.go", breaks: wakes,
		sound:  "\tfor stream := range r.streams {\n",
		broken: "\tfor stream := range map[chan struct{}]struct{}{} {\n",
	},
}

// overlay writes what go build -overlay reads into a folder, and returns its path.
func (d defect) overlay(root, folder string) (string, error) {
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
