#!/usr/bin/env bash
# Checks the prose of this repository with vale, by the rules in styles/ and the exceptions in .vale.ini.
#
#   hack/prose/lint.sh VALE
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
vale=$1

# A rule that finds nothing any more, because of a typo in its pattern or of a new vale, is found here.
diff hack/prose/testdata/findings.txt <("$vale" --no-exit --no-global --output line hack/prose/testdata/*.{md,go} | LC_ALL=C sort) || {
	echo "hack/prose/testdata/findings.txt is not what the rules find in the texts beside it" >&2
	exit 1
}

find . \( -name node_modules -o -name testdata -o -path ./bin -o -path ./.git -o -path ./.cache \) -prune -o \
	\( -name '*.md' -o -name '*.go' ! -name '*.pb.go' ! -name 'zz_generated.*' \) -printf '%P\0' |
	LC_ALL=C sort -z | xargs -0 "$vale" --no-global --no-wrap
