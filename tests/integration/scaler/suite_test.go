// Package scaler_test runs the scaler against a real kube-apiserver: it reports to KEDA the
// routes and EndpointSlices that are applied.
package scaler_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/kedacore/http-add-on/tests/support/controlplane"
	"github.com/kedacore/http-add-on/tests/support/suite"
)

var cluster *controlplane.ControlPlane

func TestScaler(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Scaler on a cluster")
}

var _ = BeforeSuite(func(ctx SpecContext) { cluster = suite.ControlPlane(ctx) }, suite.Timeout)
