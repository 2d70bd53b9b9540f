package defect

import (
	"testing"

	"github.com/kedacore/http-add-on/tests/support/controlplane"
)

// Who changes the code that a defect changes learns it here, not in the next chaos run.
func TestDefectsFindTheirCode(t *testing.T) {
	root, err := controlplane.Root()
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range defects {
		if _, err := d.overlay(root, t.TempDir()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
