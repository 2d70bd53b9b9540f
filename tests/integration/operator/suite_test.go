// Package operator_test runs the operator against a real kube-apiserver: what it
// makes of HTTPScaledObjects, and what it says about routes. No KEDA runs; its
// definition of ScaledObjects is installed while the operator is running.
package operator_test

import (
	"context"
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
	"github.com/kedacore/http-add-on/tests/support/controlplane"
	"github.com/kedacore/http-add-on/tests/support/kedacrd"
)

// patience is how long anything may take on a busy machine.
const patience = 20 * time.Second

var (
	cluster *controlplane.ControlPlane
	api     client.Client
	// said is what the operator that begins logs.
	said = &journal{}
	// acting is the operator of all specs; the specs of handovers replace it.
	acting *process
)

func TestOperator(t *testing.T) {
	RegisterFailHandler(Fail)
	ctrl.SetLogger(logr.Discard())
	RunSpecs(t, "Operator")
}

// The first run on a machine builds the control plane's binaries.
var _ = BeforeSuite(func(ctx SpecContext) {
	var err error
	cluster, err = controlplane.Start(ctx, GinkgoT().TempDir())
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(cluster.Stop)
	api, err = client.New(cluster.Config, client.Options{Scheme: clientgoscheme.Scheme})
	Expect(err).NotTo(HaveOccurred())

	grant(ctx, chartRole(Default)...)
	acting = start(settings(), said, account("keda", "keda-add-ons-http"))
	DeferCleanup(func() { acting.end() })
	withoutKEDA(ctx)
	installKEDA(ctx)
	withKEDA(ctx)
}, NodeTimeout(30*time.Minute))

// settings are those of the chart.
func settings() config.Config {
	GinkgoHelper()
	cfg, err := config.Load(func(name string) (string, bool) {
		value, ok := map[string]string{
			config.EnvScalerService: "scaler", config.EnvScalerPort: "9090", config.EnvNamespace: "keda",
		}[name]
		return value, ok
	})
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
