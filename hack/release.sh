#!/usr/bin/env bash
# Makes a release in bin/release: images, SBOMs, chart, manifests, standalone, provenance,
# checksums, signatures, notes. RELEASES.md lists the files.
#
#   VERSION=0.17.0 REGISTRY=ghcr.io/kedacore hack/release.sh
#
# Without PUSH=1 nothing leaves this machine: images and chart go to a registry on
# loopback, are signed with a throwaway key, and the signatures are verified. With PUSH=1
# they go to REGISTRY, where you must be logged in. The signing key is COSIGN_KEY or,
# without it, the identity of the workflow that runs this script.
#
# PLATFORMS is a list separated by commas (default: amd64, arm64 and s390x on Linux), OUT
# is the folder. The first build for another platform takes 4 to 10 minutes on two cores.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ -z "${VERSION-}" ] || [ -z "${REGISTRY-}" ]; then
	sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' hack/release.sh >&2
	exit 2
fi
out=$(realpath -m "${OUT:-bin/release}")
platforms=${PLATFORMS:-linux/amd64,linux/arm64,linux/s390x}
names=(interceptor scaler operator)
repository=https://github.com/kedacore/http-add-on
chart=keda-add-ons-http
commit=$(git rev-parse HEAD)
export CGO_ENABLED=0 COSIGN_PASSWORD="${COSIGN_PASSWORD-}" TZ=UTC LC_ALL=C
# All times in the files are that of the commit, so that two runs make the same files.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

fail() {
	echo "$*" >&2
	exit 1
}
step() { echo "== $*" >&2; }

# section prints the part of the changelog below a heading.
section() { awk -v heading="## $1" '/^## /{on = $0 == heading || index($0, heading " ") == 1; next} on' CHANGELOG.md; }

[ "$VERSION" = "$(sed -n 's/^appVersion: *//p' charts/$chart/Chart.yaml)" ] || fail "the chart's appVersion is not $VERSION: see RELEASES.md"
notes=$(section "$VERSION")
if [ -n "${PUSH-}" ]; then
	[ -n "$notes" ] || fail "CHANGELOG.md has no section $VERSION: see RELEASES.md"
	[ -z "$(git status --porcelain)" ] || fail "the working tree differs from the commit"
fi
notes=${notes:-$(section Unreleased)}

# The notes come first, so that a folder with them is a release, even one that failed.
[ ! -e "$out" ] || [ -e "$out/release-notes.md" ] || rmdir "$out" 2>/dev/null || fail "$out is not empty, and has no release that this one could replace"
rm -rf "$out"
mkdir -p "$out"
printf '# %s\n%s\n' "$VERSION" "$notes" >"$out/release-notes.md"
work=$(mktemp -d)
registry_pid=""
trap '[ -z "$registry_pid" ] || kill "$registry_pid"; rm -rf "$work"' EXIT

step "tools"
images=$(hack/tools/install.sh images image crane cosign)
charts=$(hack/tools/install.sh charts helm kustomize)

step "images for $platforms"
"$images/image" -out "$out/images" -platform "$platforms" -version "$VERSION" -release "$commit" -sbom "$out/sbom" "${names[@]}"
rm -f "$out"/sbom/*.go.version-m # what ko makes the documents of

step "standalone"
for architecture in amd64 arm64; do
	[[ ,$platforms, = *,linux/$architecture,* ]] || continue
	GOOS=linux GOARCH=$architecture go build -trimpath -buildvcs=false -o "$out/standalone-linux-$architecture" \
		-ldflags "-s -w -X=github.com/kedacore/http-add-on/pkg/version.released=$VERSION" ./standalone
done

step "chart and manifests"
# changes prints the notes' list, without its inner lists and its links, for Artifact Hub.
changes() {
	awk '
		function flush() { if (text != "") { gsub(/["\\]/, "\\\\&", text); printf "    - kind: %s\n      description: \"%s\"\n", kind, text } text = "" }
		BEGIN { kind = "added" }
		/^Differences/ { flush(); kind = "changed" }
		/^- /          { flush(); text = substr($0, 3); next }
		/^  [^ -]/     { if (text != "") text = text " " substr($0, 3); next }
		               { flush() }
		END            { flush() }' <<<"$notes" | sed -E 's/ \(\[[^]]*\]\([^)]*\)\)//g; s/\[([^]]*)\]\([^)]*\)/\1/g; s/\*\*//g'
}
mkdir "$work/chart"
cp -r charts/$chart "$work/chart"
sed -i "s|ghcr.io/kedacore/|$REGISTRY/|" "$work/chart/$chart/values.yaml"
{ # Chart.yaml ends with the annotations
	echo "  artifacthub.io/images: |"
	for name in "${names[@]}"; do
		printf '    - name: %s\n      image: %s\n      platforms: [%s]\n' "$name" "$REGISTRY/http-add-on-$name:$VERSION" "$platforms"
	done
	echo "  artifacthub.io/changes: |"
	changes
} >>"$work/chart/$chart/Chart.yaml"
"$charts/helm" lint --quiet "$work/chart/$chart"
"$charts/helm" package --destination "$work" "$work/chart/$chart" >/dev/null
package=$out/$chart-$VERSION.tgz
# Helm's archive has the time of packaging.
mkdir "$work/package"
tar -xzf "$work/$chart-$VERSION.tgz" -C "$work/package"
tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --mode=a+rX,u+w,go-w --owner=0 --group=0 --numeric-owner -C "$work/package" -cf - $chart | gzip -9n >"$package"
touch -d "@$SOURCE_DATE_EPOCH" "$package" # helm push writes it into the manifest
"$charts/helm" repo index "$out" --url "$repository/releases/download/v$VERSION"
time=$(date -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
sed -i -E "s/^( *created|generated): .*/\1: \"$time\"/" "$out/index.yaml"
cp charts/artifacthub-repo.yml "$out"
"$charts/kustomize" build config/default | sed "s|ghcr.io/kedacore/|$REGISTRY/|" >"$out/$chart-$VERSION.yaml"
"$charts/kustomize" build config/crd >"$out/$chart-$VERSION-crds.yaml"

step "provenance and checksums"
files() { (cd "$out" && find . -type f -not -path './images/*' -printf '%P\n' | sort | xargs sha256sum); }
subjects() {
	for name in "${names[@]}"; do
		printf '{"name": "%s", "digest": {"sha256": "%s"}},\n' "$REGISTRY/http-add-on-$name" \
			"$(sed -n 's/.*"digest": *"sha256:\([0-9a-f]*\)".*/\1/p' "$out/images/$name/index.json")"
	done
	files | sed -E 's|^([0-9a-f]*)  (.*)$|{"name": "\2", "digest": {"sha256": "\1"}},|; $s/,$//'
}
builder=$repository/blob/main/hack/release.sh invocation=""
if [ -n "${GITHUB_WORKFLOW_REF-}" ]; then
	builder=$GITHUB_SERVER_URL/$GITHUB_WORKFLOW_REF
	invocation="$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID/attempts/$GITHUB_RUN_ATTEMPT"
fi
cat >"$work/predicate.json" <<END
{
  "buildDefinition": {
    "buildType": "$repository/blob/main/RELEASES.md#make-a-release",
    "externalParameters": {"version": "$VERSION", "registry": "$REGISTRY", "platforms": "$platforms"},
    "resolvedDependencies": [
      {"uri": "git+$repository", "digest": {"gitCommit": "$commit"}},
      {"uri": "pkg:golang/stdlib@$(go env GOVERSION | sed s/^go//)"}
    ]
  },
  "runDetails": {
    "builder": {"id": "$builder"},
    "metadata": {"invocationId": "$invocation"}
  }
}
END
{
	printf '{"_type": "https://in-toto.io/Statement/v1",\n"predicateType": "https://slsa.dev/provenance/v1",\n"subject": [\n%s\n],\n"predicate": ' "$(subjects)"
	cat "$work/predicate.json"
	echo "}"
} >"$work/provenance"
mv "$work/provenance" "$out/provenance.intoto.json"
files >"$work/checksums"
mv "$work/checksums" "$out/checksums.txt"

# publish pushes images and chart to a registry and signs them by their digests, attests
# the images' provenance, and signs the checksums. Arrays have the options: sign those of
# cosign, insecure and plain those for a registry without TLS of cosign and helm.
publish() { # REGISTRY
	local name reference pushed digest
	for name in "${names[@]}"; do
		reference=$("$images/crane" push "$out/images/$name" "$1/http-add-on-$name:$VERSION")
		"$images/cosign" attest "${sign[@]}" "${insecure[@]}" --type slsaprovenance1 --predicate "$work/predicate.json" "$reference"
		echo "$reference" >>"$work/published"
	done
	pushed=$("$charts/helm" push "$package" "oci://$1/charts" "${plain[@]}" 2>&1) || fail "$pushed"
	digest=$(sed -n 's/^Digest: *//p' <<<"$pushed")
	echo "$1/charts/$chart@$digest" >>"$work/published"
	"$images/crane" pull --format=oci "$1/charts/$chart:$VERSION" "$out/chart"
	while read -r reference; do
		"$images/cosign" sign "${sign[@]}" "${insecure[@]}" "$reference" </dev/null
	done <"$work/published"
	"$images/cosign" sign-blob "${sign[@]}" --bundle "$out/checksums.txt.sigstore.json" "$out/checksums.txt" >/dev/null
}

sign=(--yes) insecure=() plain=()
if [ -n "${PUSH-}" ]; then
	step "pushing to $REGISTRY"
	[ -z "${COSIGN_KEY-}" ] || sign+=(--key "$COSIGN_KEY")
	publish "$REGISTRY"
else
	step "a registry on loopback, signatures with a throwaway key"
	"$images/crane" registry serve --address 127.0.0.1:0 2>"$work/registry.log" &
	registry_pid=$!
	until port=$(sed -n 's/.*serving on port //p' "$work/registry.log") && [ -n "$port" ]; do
		kill -0 "$registry_pid" || fail "$(cat "$work/registry.log")"
		sleep 0.1
	done
	(cd "$work" && "$images/cosign" generate-key-pair >keys.log 2>&1) || fail "$(cat "$work/keys.log")"
	cp "$work/cosign.pub" "$out/throwaway.pub"
	sign+=(--key "$work/cosign.key" --use-signing-config=false --tlog-upload=false)
	insecure=(--allow-http-registry) plain=(--plain-http)
	publish "127.0.0.1:$port"
	verify=(--key "$out/throwaway.pub" --insecure-ignore-tlog)
	while read -r reference; do
		"$images/cosign" verify "${verify[@]}" "${insecure[@]}" "$reference" >/dev/null
		case $reference in
		*/http-add-on-*) "$images/cosign" verify-attestation "${verify[@]}" "${insecure[@]}" --type slsaprovenance1 "$reference" >/dev/null ;;
		esac
		echo "verified $reference"
	done <"$work/published"
	"$images/cosign" verify-blob "${verify[@]}" --bundle "$out/checksums.txt.sigstore.json" "$out/checksums.txt"
fi
step "done: $out"
