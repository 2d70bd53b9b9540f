#!/usr/bin/env bash
# Generates what is derived from the code: from the API types the deepcopy functions and
# the CustomResourceDefinitions; docs/reference; the stubs of KEDA's external scaler; the
# chart's README and schema from its values.yaml.
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

codegen=$(hack/tools/install.sh codegen controller-gen)
docs=$(hack/tools/install.sh docs crd-ref-docs helm-docs)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
definitions=config/crd/bases pages=docs/reference chart=charts/keda-add-ons-http stubs=scaler/externalscaler/pb
mkdir -p "$out"/{$definitions,$pages,$chart/files/crds,$stubs}

page() { # VERSION PAGE
	"$docs/crd-ref-docs" --log-level ERROR --renderer markdown --config hack/docs/crd-ref-docs/config.yaml \
		--templates-dir hack/docs/crd-ref-docs --source-path "operator/apis/http/$1" --output-path "$out/$pages/$2"
}
chart_file() { # FILE; helm-docs exits with 0 after an error, but logs it
	local warnings
	warnings=$("$docs/helm-docs" --log-level warning --chart-search-root charts --template-files "$1.gotmpl" \
		--sort-values-order file --dry-run 2>&1 >"$out/$chart/$1")
	if [ -n "$warnings" ]; then
		echo "$warnings" >&2
		return 1
	fi
}

for version in v1alpha1 v1beta1; do
	package=operator/apis/http/$version
	mkdir -p "$out/$package"
	"$codegen/controller-gen" object paths="./$package" output:object:dir="$out/$package"
done
"$codegen/controller-gen" crd paths=./operator/apis/... output:crd:dir="$out/$definitions"
cp "$out/$definitions"/* "$out/$chart/files/crds"
$stubs/generate.sh "$out/$stubs"
page v1alpha1 httpscaledobject.md
page v1beta1 interceptorroute.md
go run ./hack/docs "$out/$pages"
chart_file README.md
chart_file values.schema.json

generated=$(cd "$out" && find . -type f | sed 's|^\./||')
present=$(find $definitions $pages $chart/files/crds -type f; find operator/apis $stubs -name 'zz_generated.*' -o -name '*.pb.go')
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
