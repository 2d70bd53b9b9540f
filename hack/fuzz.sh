#!/usr/bin/env bash
# Runs every fuzz target for FUZZTIME, as many at a time as there are processors.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export FUZZTIME=${FUZZTIME:-30s}

fuzz() { # PACKAGE TARGET
	local out
	if ! out=$(go test -run '^$' -fuzz "^$2\$" -fuzztime "$FUZZTIME" -parallel 1 -timeout 0 "$1" 2>&1) &&
		# Go before 1.27 may report the end of the time as a failure (golang.org/issue/75804).
		{ ! grep -qE '^ +context deadline exceeded$' <<<"$out" || grep -q "Failing input" <<<"$out"; }; then
		echo "$out"
		return 1
	fi
	echo "$2: $(grep "fuzz: elapsed" <<<"$out" | tail -n 1)"
}
export -f fuzz

grep -rnoE '^func Fuzz[A-Za-z0-9]+' --include '*_test.go' . | sed -E 's|/[^/]*_test.go:[0-9]+:func | |' |
	xargs -P "$(nproc)" -n 2 bash -c 'echo "fuzzing $1 in $0 for $FUZZTIME"; fuzz "$0" "$1"'
