#!/usr/bin/env bash
# Builds development tools from the Go modules beside this script into a cache
# and prints the folder that holds them.
#
#   hack/tools/install.sh MODULE TOOL...     e.g. kubernetes kube-apiserver etcd
#
# The folder is keyed by everything that decides what the binaries are (go.mod,
# go.sum, flags, Go version), so a tool is built once per machine and an upgrade
# never meets a stale binary.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ $# -lt 2 ]; then
	sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
	exit 2
fi
module=$1
shift
cd "$here/$module"

export CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOWORK=off
ldflags="-s -w"
tags=""
package() { # the import path that a tool's binary is built from
	case $module/$1 in
	*/etcd) echo ./etcd ;;
	*) go list -f '{{.ImportPath}}' tool | grep -E "/$1(/v[0-9]+)?$" ;;
	esac
}
about() { # how long a cold build takes on two cores
	case $module/$1 in
	keda/operator) echo "about 12 minutes" ;;
	*/traefik) echo "about 4 minutes" ;;
	*/hugo) echo "about 5 minutes" ;;
	*/vale) echo "about 5 minutes" ;;
	*/kube-apiserver) echo "about 7 minutes" ;;
	*/kube-controller-manager) echo "about 2 minutes" ;;
	*/kubelet) echo "about 5 minutes" ;;
	*/containerd) echo "about 3 minutes" ;;
	*) echo "1 to 3 minutes" ;;
	esac
}
if [ "$module" = prose ]; then
	# vale parses code with tree-sitter, which is C: optimizing that takes minutes and saves vale less than a second.
	# With the tags, everything else comes from the build cache of the tools without C.
	export CGO_ENABLED=1 CGO_CFLAGS="-O0 -g0"
	tags=netgo,osusergo
fi
if [ "$module" = charts ]; then
	# Without these, helm template and lint take Kubernetes 1.20 for granted, which no chart with a kubeVersion accepts.
	minor=$(go list -m -f '{{.Version}}' k8s.io/client-go | cut -d . -f 2)
	for p in chartutil lint/rules; do
		ldflags="$ldflags -X helm.sh/helm/v3/pkg/$p.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/$p.k8sVersionMinor=$minor"
	done
fi
if [ "$module" = containerd ]; then
	# Without these, it needs C libraries, and snapshotters that nobody uses here.
	tags=no_btrfs,no_devmapper,no_zfs,grpcnotrace
	ldflags="$ldflags -X github.com/containerd/containerd/v2/version.Version=$(go list -m -f '{{.Version}}' github.com/containerd/containerd/v2)"
fi
if [ "$module" = kubernetes ]; then
	tags=grpcnotrace
	version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
	minor=${version#v1.}
	minor=${minor%%.*}
	for p in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		ldflags="$ldflags -X $p.gitVersion=$version -X $p.gitMajor=1 -X $p.gitMinor=$minor -X $p.gitTreeState=clean"
	done
fi

key=$({ find . -type f | LC_ALL=C sort | xargs cat && echo "$ldflags $tags $(go version)"; } | sha256sum | cut -c1-12)
out=${HTTP_ADD_ON_TOOLS:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/http-add-on/bin}/$module-$key
mkdir -p "$out"
if command -v flock >/dev/null; then # several test suites may want the same tool at once
	exec 9>"$out/.lock"
	flock 9
fi

for tool in "$@"; do
	[ -x "$out/$tool" ] && continue
	start=$(date +%s)
	echo "building $tool from its Go module ($(about "$tool") when cold)..." >&2
	tmp=$(mktemp "$out/.$tool.XXXXXX")
	go build -trimpath -tags "$tags" -ldflags "$ldflags" -o "$tmp" "$(package "$tool")" >&2
	chmod 755 "$tmp"
	mv "$tmp" "$out/$tool"
	echo "built $tool in $(($(date +%s) - start)) s" >&2
done
echo "$out"
