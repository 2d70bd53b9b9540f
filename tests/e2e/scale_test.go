//go:build e2e

package e2e

import "testing"

func TestSmoke(t *testing.T) {
	for _, u := range world.Usage() {
		t.Logf("%+v", u)
	}
}
