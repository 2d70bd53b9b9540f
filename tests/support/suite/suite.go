// Package suite starts what a Ginkgo suite of integration tests shares.
package suite

import (
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/kedacore/http-add-on/tests/support/controlplane"
)

// Timeout is how long a BeforeSuite may take. A suite that runs alone on a machine without the
// control plane's binaries builds them first, about 9 minutes on two cores.
const Timeout = ginkgo.NodeTimeout(30 * time.Minute)

// ControlPlane starts a control plane that ends with the suite:
//
//	var cluster *controlplane.ControlPlane
//
//	var _ = BeforeSuite(func(ctx SpecContext) { cluster = suite.ControlPlane(ctx) }, suite.Timeout)
func ControlPlane(ctx ginkgo.SpecContext) *controlplane.ControlPlane {
	ginkgo.GinkgoHelper()
	cluster, err := controlplane.Start(ctx, ginkgo.GinkgoT().TempDir())
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	ginkgo.DeferCleanup(cluster.Stop)
	return cluster
}
