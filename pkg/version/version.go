// Package version says which build a binary is.
package version

import "runtime/debug"

// released is the version of a release, which hack/release.sh has the linker write here.
var released string

// Version returns the version of a release, or else that of the binary's main module as
// the Go tool recorded it: a tag, a pseudo-version, or "(devel)" of a build in a checkout
// without version control stamps.
func Version() string {
	if released != "" {
		return released
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
