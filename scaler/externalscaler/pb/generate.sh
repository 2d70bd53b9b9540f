#!/usr/bin/env bash
# Generates the stubs beside externalscaler.proto.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
tools=$(../../../hack/tools/install.sh protobuf compile protoc-gen-go protoc-gen-go-grpc)
for plugin in protoc-gen-go protoc-gen-go-grpc; do
	"$tools/compile" "$tools/$plugin" externalscaler.proto .
done
