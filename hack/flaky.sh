#!/usr/bin/env bash
# Fails if a package failed by itself, and not by a test: after a leak, or at its own start or end. gotestsum runs no
# test of such a package the second time, and takes it for good (ADR 27).
#
#   hack/flaky.sh EVENTS    the file of gotestsum's --jsonfile-timing-events
set -euo pipefail

awk '
	function field(name) { return match($0, "\"" name "\":\"[^\"]*\"") ? substr($0, RSTART, RLENGTH) : "" }
	field("Action") != "\"Action\":\"fail\"" { next }
	field("Test") != "" { failed[field("Package")] = 1; next }
	!failed[field("Package")] { print "a package failed by itself: " field("Package"); bad = 1 }
	{ failed[field("Package")] = 0 }
	END { exit bad }
' "$1" >&2
