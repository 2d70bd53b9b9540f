// Package operator_test runs the operator against a real kube-apiserver. It covers the objects
// made for HTTPScaledObjects and the conditions of routes. No KEDA runs; its definition of
// ScaledObjects is installed while the operator is running.
package operator_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/kedacore/http-add-on/operator/config"
	"github.com/kedacore/http-add-on/pkg/route"
	"github.com/kedacore/http-add-on/tests/support/capture"
	"github.com/kedacore/http-add-on/tests/support/controlplane"
	"github.com/kedacore/http-add-on/tests/support/kedacrd"
	"github.com/kedacore/http-add-on/tests/support/settings"
	"github.com/kedacore/http-add-on/tests/support/suite"
)

// patience is how long anything may take on a busy machine.
const patience = time.Minute

var (
	cluster *controlplane.ControlPlane
	api     client.Client
	// said is what the operator that begins logs.
	said = &capture.Log{}
	// acting is the operator of all specs; the specs of handovers replace it.
	acting *process
)

func TestOperator(t *testing.T) {
	RegisterFailHandler(Fail)
	ctrl.SetLogger(logr.Discard())
	RunSpecs(t, "Operator")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	cluster = suite.ControlPlane(ctx)
	var err error
	api, err = client.New(cluster.Config, client.Options{Scheme: clientgoscheme.Scheme})
	Expect(err).NotTo(HaveOccurred())

	grant(ctx, chartRole(Default)...)
	acting = start(chartSettings(), said, account("keda", "keda-add-ons-http"))
	DeferCleanup(func() { acting.end() })
	withoutKEDA(ctx)
	installKEDA(ctx)
	withKEDA(ctx)
}, suite.Timeout)

// namespaceLimit is few enough matches for a spec to fill a namespace.
const namespaceLimit = 100

// chartSettings are those of the chart, except for that limit.
func chartSettings() config.Config {
	GinkgoHelper()
	cfg, err := config.Load(settings.Lookup(
		config.EnvScalerService, "scaler", config.EnvScalerPort, "9090", config.EnvNamespace, "keda",
		route.EnvMaxMatchesPerNamespace, strconv.Itoa(namespaceLimit)))
	Expect(err).NotTo(HaveOccurred())
	cfg.Flags = config.Flags{LeaderElect: true, ProbeAddress: "0", MetricsAddress: "0"}
	return cfg
}

// installKEDA installs the definition of ScaledObjects.
func installKEDA(ctx context.Context) {
	GinkgoHelper()
	path, err := kedacrd.ScaledObject(ctx)
	Expect(err).NotTo(HaveOccurred())
	_, err = envtest.InstallCRDs(cluster.Config, envtest.CRDInstallOptions{Paths: []string{path}})
	Expect(err).NotTo(HaveOccurred())
}
