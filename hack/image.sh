#!/usr/bin/env bash
# Builds the container images with ko into OCI layouts below bin/images, without
# network and without pushing, and checks them: platforms, user, entry point, labels,
# static binary, certificate authorities.
#
#   hack/image.sh [-twice] [NAME...]     interceptor, scaler, operator; all of them by default
#
# PLATFORMS is a list separated by commas (default: those of .ko.yaml, amd64 and arm64),
# OUT another folder. With -twice each is built again and must come out the same.
#
# The first build for a platform compiles the Kubernetes libraries for it, which takes
# 4 to 10 minutes on two cores; with a warm cache three images take 20 s for a platform.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
case ${1-} in
-h | --help)
	sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "hack/image.sh"
	exit
	;;
esac
options=(-out "${OUT:-bin/images}" -platform "${PLATFORMS:-all}")
options+=(-version "$(sed -n 's/^appVersion: *//p' charts/keda-add-ons-http/Chart.yaml)")
while [[ ${1-} = -* ]]; do
	options+=("$1")
	shift
done
[ $# -gt 0 ] || set -- interceptor scaler operator
tools=$(hack/tools/install.sh images image)
exec "$tools/image" "${options[@]}" "$@"
