// Package version says which build a binary is.
package version

import "runtime/debug"

// Version returns the version of the binary's main module as the Go tool
// recorded it: a tag, a pseudo-version, or "(devel)" of a build in a checkout
// without version control stamps.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
