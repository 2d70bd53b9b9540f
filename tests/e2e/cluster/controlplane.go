//go:build e2e

package cluster

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// adminToken is that of the administrator: the server is not reachable from elsewhere.
const adminToken = "admin"

// auditPolicy keeps what our components ask for, for a look at their roles.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    users:
      - system:serviceaccount:keda:keda-add-ons-http
      - system:serviceaccount:keda:keda-add-ons-http-interceptor
      - system:serviceaccount:keda:keda-add-ons-http-external-scaler
  - level: None
`

// startControlPlane starts etcd, kube-apiserver and kube-controller-manager.
func (c *Cluster) startControlPlane(ctx context.Context) error {
	secrets := filepath.Join(c.Folder, "pki")
	if err := os.MkdirAll(secrets, 0o700); err != nil {
		return fmt.Errorf("making the folder of the keys: %w", err)
	}
	if err := writeCertificates(c.authority, secrets); err != nil {
		return err
	}
	for name, content := range map[string]string{
		"tokens.csv": adminToken + ",admin,admin,system:masters\n",
		"audit.yaml": auditPolicy,
	} {
		if err := os.WriteFile(filepath.Join(secrets, name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	c.Config = &rest.Config{
		Host:            "https://" + net.JoinHostPort(apiAddress, "6443"),
		BearerToken:     adminToken,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.authority.PEM()},
		QPS:             -1,
	}
	if err := c.writeKubeconfig(); err != nil {
		return err
	}
	if err := c.run("etcd", filepath.Join(c.tools.Kubernetes, "etcd"),
		"--data-dir="+filepath.Join(c.Folder, "etcd"), "--unsafe-no-fsync",
		"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
		"--listen-peer-urls=http://127.0.0.1:2380", "--log-level=warn",
	); err != nil {
		return err
	}
	file := func(name string) string { return filepath.Join(secrets, name) }
	if err := c.run("kube-apiserver", filepath.Join(c.tools.Kubernetes, "kube-apiserver"),
		"--etcd-servers=http://127.0.0.1:2379",
		"--advertise-address="+apiAddress, "--secure-port=6443", "--service-cluster-ip-range="+serviceNetwork,
		"--tls-cert-file="+file("apiserver.crt"), "--tls-private-key-file="+file("apiserver.key"),
		"--token-auth-file="+file("tokens.csv"), "--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+file("sa.key"), "--service-account-signing-key-file="+file("sa.key"),
		// Aggregation, for KEDA's metrics.
		"--requestheader-client-ca-file="+file("ca.crt"), "--requestheader-allowed-names=front-proxy",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file="+file("front-proxy.crt"), "--proxy-client-key-file="+file("front-proxy.key"),
		"--audit-policy-file="+file("audit.yaml"), "--audit-log-path="+c.AuditLog(),
	); err != nil {
		return err
	}
	var err error
	if c.clientset, err = kubernetes.NewForConfig(c.Config); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if err := c.Eventually(ctx, "the API server to be ready", time.Minute, func(ctx context.Context) (bool, error) {
		_, err := c.clientset.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err == nil, err
	}); err != nil {
		return err
	}
	return c.run("kube-controller-manager", filepath.Join(c.tools.Kubernetes, "kube-controller-manager"),
		"--kubeconfig="+c.Kubeconfig, "--leader-elect=false", "--use-service-account-credentials",
		"--root-ca-file="+file("ca.crt"), "--service-account-private-key-file="+file("sa.key"), "--cert-dir="+secrets,
		"--controllers=deployment-controller,replicaset-controller,endpointslice-controller,"+
			"horizontal-pod-autoscaler-controller,serviceaccount-controller,serviceaccount-token-controller,"+
			"root-ca-certificate-publisher-controller,namespace-controller,garbage-collector-controller,"+
			"clusterrole-aggregation-controller",
		// A cluster waits 15 seconds and 5 minutes.
		"--horizontal-pod-autoscaler-sync-period=1s", "--horizontal-pod-autoscaler-downscale-stabilization=5s",
		"--kube-api-qps=200", "--kube-api-burst=400",
	)
}

// writeKubeconfig writes the administrator's kubeconfig.
func (c *Cluster) writeKubeconfig() error {
	config := clientcmdapi.NewConfig()
	config.Clusters["e2e"] = &clientcmdapi.Cluster{Server: c.Config.Host, CertificateAuthorityData: c.authority.PEM()}
	config.AuthInfos["admin"] = &clientcmdapi.AuthInfo{Token: adminToken}
	config.Contexts["e2e"] = &clientcmdapi.Context{Cluster: "e2e", AuthInfo: "admin"}
	config.CurrentContext = "e2e"
	if err := clientcmd.WriteToFile(*config, c.Kubeconfig); err != nil {
		return fmt.Errorf("writing the kubeconfig: %w", err)
	}
	return nil
}

// startNode starts the kubelet, the proxy of Services and the name server.
func (c *Cluster) startNode(ctx context.Context) error {
	compiler := &compiler{client: c.clientset, ca: c.authority.PEM(), images: images(c.tools, c.programs)}
	var err error
	if c.kubelet, err = newKubelet(c.background, c.clientset, compiler, c.Folder, c.out); err != nil {
		return err
	}
	if err := c.kubelet.register(); err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(c.clientset, 0)
	services, slices := factory.Core().V1().Services(), factory.Discovery().V1().EndpointSlices()
	proxy := newServiceProxy(services.Lister(), slices.Lister(), c.out)
	names := &nameServer{services: services.Lister(), slices: slices.Lister()}
	for _, follow := range []func() error{
		func() error {
			_, err := factory.Core().V1().Pods().Informer().AddEventHandler(c.kubelet.handler())
			return err
		},
		func() error { _, err := services.Informer().AddEventHandler(proxy.handler()); return err },
		func() error { _, err := slices.Informer().AddEventHandler(proxy.handler()); return err },
	} {
		if err := follow(); err != nil {
			return fmt.Errorf("following the cluster: %w", err)
		}
	}
	conn, err := net.ListenPacket("udp", net.JoinHostPort(dnsServiceIP, "53"))
	if err != nil {
		return fmt.Errorf("starting the name server: %w", err)
	}
	context.AfterFunc(c.background, func() { _ = conn.Close() })
	go names.serve(conn)
	go proxy.run(c.background)
	factory.Start(c.background.Done())
	factory.WaitForCacheSync(ctx.Done())
	return c.Eventually(ctx, "the API server's own Service", time.Minute, func(ctx context.Context) (bool, error) {
		_, err := c.clientset.CoreV1().Services("default").Get(ctx, "kubernetes", metav1.GetOptions{})
		return err == nil, err
	})
}

// images are all that a pod can run. Those of the add-on have no registry here: a release
// may be for any.
func images(tools Tools, programs map[string]string) map[string]image {
	ours := func(name string) image {
		return image{program: cmp.Or(programs[name], filepath.Join(tools.Bin, name)), entrypoint: "/ko-app/" + name}
	}
	example := func(name string) image {
		return image{program: filepath.Join(tools.Examples, name), entrypoint: "/ko-app/" + name}
	}
	return map[string]image{
		"http-add-on-interceptor":                 ours("interceptor"),
		"http-add-on-scaler":                      ours("scaler"),
		"http-add-on-operator":                    ours("operator"),
		"modelsim":                                example("modelsim"),
		"webapp":                                  example("webapp"),
		"ghcr.io/kedacore/keda":                   {program: filepath.Join(tools.KEDA, "operator"), entrypoint: "/keda"},
		"ghcr.io/kedacore/keda-metrics-apiserver": {program: filepath.Join(tools.KEDA, "adapter"), entrypoint: "/keda-adapter"},
	}
}
