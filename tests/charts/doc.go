// Package charts_test holds the manifests to their contract. What the chart and
// kustomize render is in testdata/golden, so that a change of a template shows up
// in review, and so that the checks of the rendered objects need no tool. The
// tests that render have the build tag charts:
//
//	go test -tags charts ./tests/charts            compares
//	go test -tags charts ./tests/charts -update    rewrites testdata/golden and config/
package charts_test
