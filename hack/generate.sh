#!/usr/bin/env bash
# Generates what is derived from the API types, the deepcopy functions beside them
# and the CustomResourceDefinitions in config/crd/bases, and the stubs of KEDA's
# external scaler.
#
#   hack/generate.sh            writes the files
#   hack/generate.sh --check    writes nothing; fails if a file is not up to date
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
case ${1-} in
"" | --check) ;;
*)
	sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
	exit 2
	;;
esac

tools=$(hack/tools/install.sh codegen controller-gen)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
mkdir -p "$out/config/crd/bases"
for version in v1alpha1 v1beta1; do
	package=operator/apis/http/$version
	mkdir -p "$out/$package"
	"$tools/controller-gen" object paths="./$package" output:object:dir="$out/$package"
done
"$tools/controller-gen" crd paths=./operator/apis/... output:crd:dir="$out/config/crd/bases"
stubs=scaler/externalscaler/pb
mkdir -p "$out/$stubs"
$stubs/generate.sh "$out/$stubs"

generated=$(cd "$out" && find . -type f | sed 's|^\./||')
present=$(find config/crd/bases operator/apis $stubs \( -path 'config/crd/bases/*' -o -name 'zz_generated.*' -o -name '*.pb.go' \) -type f)
stale=0
for file in $(printf '%s\n%s\n' "$generated" "$present" | LC_ALL=C sort -u); do
	if [ "${1-}" != --check ]; then
		if [ -f "$out/$file" ]; then cp "$out/$file" "$file"; else rm "$file"; fi
	elif ! diff -uN "$file" "$out/$file" >&2; then
		stale=1
	fi
done
if [ $stale = 1 ]; then
	echo "generated files are not up to date: run hack/generate.sh" >&2
	exit 1
fi
