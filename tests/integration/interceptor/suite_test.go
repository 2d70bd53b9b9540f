// Package interceptor_test runs the interceptor against a real kube-apiserver: it serves what is
// applied.
package interceptor_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/kedacore/http-add-on/tests/support/controlplane"
	"github.com/kedacore/http-add-on/tests/support/suite"
)

var cluster *controlplane.ControlPlane

func TestInterceptor(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Interceptor on a cluster")
}

var _ = BeforeSuite(func(ctx SpecContext) { cluster = suite.ControlPlane(ctx) }, suite.Timeout)
