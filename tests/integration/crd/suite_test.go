// Package crd_test applies objects to a real kube-apiserver: what the
// CustomResourceDefinitions accept, refuse, default and print.
package crd_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/kedacore/http-add-on/tests/support/controlplane"
	"github.com/kedacore/http-add-on/tests/support/suite"
)

var cluster *controlplane.ControlPlane

func TestCustomResourceDefinitions(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "CustomResourceDefinitions")
}

var _ = BeforeSuite(func(ctx SpecContext) { cluster = suite.ControlPlane(ctx) }, suite.Timeout)
