// Package agreement_test runs interceptor, scaler and operator side by side against a real
// kube-apiserver: what they conclude of the same objects must not contradict. Where two of
// them need a fact, one package holds it, and these specs fail when one goes its own way.
package agreement_test

import (
	"context"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	interceptor "github.com/kedacore/http-add-on/interceptor/app"
	interceptorconfig "github.com/kedacore/http-add-on/interceptor/config"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/routesync"
	operator "github.com/kedacore/http-add-on/operator/app"
	operatorconfig "github.com/kedacore/http-add-on/operator/config"
	"github.com/kedacore/http-add-on/pkg/telemetry"
	scaler "github.com/kedacore/http-add-on/scaler/app"
	scalerconfig "github.com/kedacore/http-add-on/scaler/config"
	"github.com/kedacore/http-add-on/scaler/externalscaler/pb"
	"github.com/kedacore/http-add-on/tests/support/capture"
	"github.com/kedacore/http-add-on/tests/support/controlplane"
	"github.com/kedacore/http-add-on/tests/support/kedacrd"
	"github.com/kedacore/http-add-on/tests/support/listen"
	"github.com/kedacore/http-add-on/tests/support/settings"
	"github.com/kedacore/http-add-on/tests/support/suite"
)

// patience is how long anything may take on a busy machine.
const patience = time.Minute

var (
	cluster *controlplane.ControlPlane
	api     client.Client
	// gate is between the interceptor and the scaler and their API server.
	gate controlplane.Gate

	proxy, admin string // addresses of the interceptor
	said         = &capture.Log{}
	keda         pb.ExternalScalerClient
)

func TestAgreement(t *testing.T) {
	RegisterFailHandler(Fail)
	ctrl.SetLogger(logr.Discard())
	RunSpecs(t, "Agreement")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	cluster = suite.ControlPlane(ctx)
	path, err := kedacrd.ScaledObject(ctx)
	Expect(err).NotTo(HaveOccurred())
	_, err = envtest.InstallCRDs(cluster.Config, envtest.CRDInstallOptions{Paths: []string{path}})
	Expect(err).NotTo(HaveOccurred())
	scheme := runtime.NewScheme()
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(apiextensionsv1.AddToScheme(scheme)).To(Succeed())
	api, err = client.New(cluster.Config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())

	gate.Set(true)
	startInterceptor()
	startScaler()
	startOperator(ctx)
}, suite.Timeout)

// run runs a component until the suite ends. It must not end before.
func run(component func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- component(ctx) }()
	DeferCleanup(func() {
		Expect(done).NotTo(Receive())
		cancel()
		Eventually(done, patience).Should(Receive(BeNil()))
	})
}

func startInterceptor() {
	GinkgoHelper()
	cfg, err := interceptorconfig.Load(settings.Lookup(
		interceptorconfig.EnvProxyPort, "0", interceptorconfig.EnvAdminPort, "0", telemetry.EnvPrometheusEnabled, "false",
		interceptorconfig.EnvShutdownDelay, "0s", interceptorconfig.EnvDrainTimeout, "1s",
	))
	Expect(err).NotTo(HaveOccurred())
	store := endpoints.NewStore()
	source, err := routesync.NewClusterSource(gate.Through(cluster.Config), routesync.ClusterOptions{Resync: time.Hour, Store: store})
	Expect(err).NotTo(HaveOccurred())
	proxyListener, adminListener := listen.Loopback(GinkgoTB()), listen.Loopback(GinkgoTB())
	proxy, admin = "http://"+proxyListener.Addr().String(), "http://"+adminListener.Addr().String()
	a, err := interceptor.New(cfg, interceptor.Deps{
		Source: source, Store: store, Proxy: proxyListener, Admin: adminListener, Log: said.Logger(0, nil),
	})
	Expect(err).NotTo(HaveOccurred())
	run(a.Run)
}

func startScaler() {
	GinkgoHelper()
	cfg, err := scalerconfig.Load(settings.Lookup(
		scalerconfig.EnvTargetNamespace, "default", scalerconfig.EnvTargetService, "interceptor-admin",
		scalerconfig.EnvTargetDeployment, "interceptor", scalerconfig.EnvTargetPort, "9090",
		telemetry.EnvPrometheusEnabled, "false", scalerconfig.EnvShutdownDelay, "0s",
	))
	Expect(err).NotTo(HaveOccurred())
	source, err := scaler.NewClusterSource(gate.Through(cluster.Config), cfg.Target, cfg.ResyncPeriod)
	Expect(err).NotTo(HaveOccurred())
	listener := listen.Loopback(GinkgoTB())
	a, err := scaler.New(cfg, scaler.Deps{Source: source, GRPC: listener, Log: logr.Discard()})
	Expect(err).NotTo(HaveOccurred())
	run(a.Run)
	connection, err := grpc.NewClient("passthrough:///"+listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(connection.Close)
	keda = pb.NewExternalScalerClient(connection)
}

func startOperator(ctx context.Context) {
	GinkgoHelper()
	cfg, err := operatorconfig.Load(settings.Lookup(
		operatorconfig.EnvScalerService, "scaler", operatorconfig.EnvScalerPort, "9090", operatorconfig.EnvNamespace, "default"))
	Expect(err).NotTo(HaveOccurred())
	cfg.Flags = operatorconfig.Flags{ProbeAddress: "0", MetricsAddress: "0"}
	a, err := operator.New(ctx, cfg, cluster.Config, logr.Discard())
	Expect(err).NotTo(HaveOccurred())
	run(a.Run)
}
