#!/usr/bin/env bash
# Generates the stubs of externalscaler.proto, beside it or into another folder.
#
#   generate.sh [OUT_DIRECTORY]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$(cd "${1-$here}" && pwd)
tools=$("$here/../../../hack/tools/install.sh" protobuf compile protoc-gen-go protoc-gen-go-grpc)
for plugin in protoc-gen-go protoc-gen-go-grpc; do
	"$tools/compile" "$tools/$plugin" "$here/externalscaler.proto" "$out"
done
