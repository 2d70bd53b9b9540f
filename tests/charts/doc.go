// Package charts_test holds the manifests to their contract. testdata/golden contains what the
// chart and kustomize render. A change of a template thus shows up in review, and the checks of
// the rendered objects need no tool. The tests that render have the build tag charts:
//
//	go test -tags charts ./tests/charts            compares
//	go test -tags charts ./tests/charts -update    rewrites testdata/golden and config/
package charts_test
