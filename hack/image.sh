#!/usr/bin/env bash
# Builds the container images with ko into OCI layouts below bin/images, without
# network and without pushing, and checks them: user, entry point, static binary,
# certificate authorities.
#
#   hack/image.sh [NAME...]     interceptor, scaler, operator; all of them by default
#
# PLATFORMS is a list separated by commas (default: linux on this machine's
# architecture; all: those of .ko.yaml), OUT another folder.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=$(hack/tools/install.sh images image)
[ $# -gt 0 ] || set -- interceptor scaler operator
exec "$tools/image" -out "${OUT:-bin/images}" ${PLATFORMS:+-platform "$PLATFORMS"} "$@"
