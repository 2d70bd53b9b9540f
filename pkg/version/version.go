// Package version identifies the build of a binary.
package version

import "runtime/debug"

// released is the version of a release, which hack/release.sh has the linker write here.
var released string

// Version returns the version of a release. For other builds it returns the version that the Go
// tool recorded for the main module. That is a tag, a pseudo-version, or "(devel)" for a build in
// a checkout without version control stamps.
func Version() string {
	if released != "" {
		return released
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
