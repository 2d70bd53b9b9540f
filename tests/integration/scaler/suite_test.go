// Package scaler_test runs the scaler against a real kube-apiserver: routes and
// EndpointSlices that are applied are what KEDA is told about.
package scaler_test

import (
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/kedacore/http-add-on/tests/support/controlplane"
)

var cluster *controlplane.ControlPlane

func TestScaler(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Scaler on a cluster")
}

// The first run on a machine builds the control plane's binaries.
var _ = BeforeSuite(func(ctx SpecContext) {
	var err error
	cluster, err = controlplane.Start(ctx, GinkgoT().TempDir())
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(cluster.Stop)
}, NodeTimeout(30*time.Minute))
