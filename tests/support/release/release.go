// Package release finds the release that the end-to-end tests install.
package release

import (
	"fmt"
	"os"
	"path/filepath"
)

// Folder returns the folder of the release that E2E_RELEASE names, relative to the repository, and the package of its
// chart. Both are empty without one.
func Folder(root string) (folder, chart string, err error) {
	folder = os.Getenv("E2E_RELEASE")
	if folder == "" {
		return "", "", nil
	}
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(root, folder)
	}
	packages, err := filepath.Glob(filepath.Join(folder, "keda-add-ons-http-*.tgz"))
	if err != nil {
		return "", "", fmt.Errorf("finding the chart's package: %w", err)
	}
	if len(packages) != 1 {
		return "", "", fmt.Errorf("finding the chart's package: %d in %s", len(packages), folder)
	}
	return folder, packages[0], nil
}
