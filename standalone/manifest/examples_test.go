package manifest

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestExamples keeps the examples valid. Those for a cluster name images where
// a local process needs a command; nothing else may be wrong with them.
func TestExamples(t *testing.T) {
	for folder, objects := range map[string]int{"standalone": 7, "kubernetes": 5} {
		path := filepath.Join("..", "..", "examples", folder)
		set, problems := Load([]string{path}, newChecker(t), nil)
		if got := len(set.References()); got != objects {
			t.Errorf("%s: %d objects, want %d", folder, got, objects)
		}
		for _, p := range problems {
			if folder != "kubernetes" || !strings.HasSuffix(p.Reason, "a local process has no image that would name the program") {
				t.Error(p)
			}
		}
	}
}
