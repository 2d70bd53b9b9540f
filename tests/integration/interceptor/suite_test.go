// Package interceptor_test runs the interceptor against a real kube-apiserver:
// what is applied is what is served.
package interceptor_test

import (
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/kedacore/http-add-on/tests/support/controlplane"
)

var cluster *controlplane.ControlPlane

func TestInterceptor(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Interceptor on a cluster")
}

// The first run on a machine builds the control plane's binaries.
var _ = BeforeSuite(func(ctx SpecContext) {
	var err error
	cluster, err = controlplane.Start(ctx, GinkgoT().TempDir())
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(cluster.Stop)
}, NodeTimeout(30*time.Minute))
