//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

// Scenario i: helm upgrade of a release of 0.16 with an HTTPScaledObject that its
// operator looked after, and with the values file that it had. Then helm rollback, and upgrade again.

func TestUpgradeFrom016(t *testing.T) {
	s := begin(t, "i-upgrade")
	const host = "i.example.com"
	const values = "tests/charts/testdata/values/snake-case-tls.yaml"
	release := func(args ...string) {
		t.Helper()
		_, err := s.Helm(s.ctx, args...)
		s.must(err)
	}
	chart := s.Chart()
	t.Cleanup(func() { // put back
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
		defer cancel()
		if _, err := s.Helm(ctx, "upgrade", "--install", "--reset-values", cluster.Release, chart); err != nil {
			t.Error(err)
		}
		if err := s.AwaitInstalled(ctx); err != nil {
			t.Error(err)
		}
	})

	// First the processes, which would go on without their roles.
	_, err := s.Kubectl(s.ctx, "", "delete", "deployments", "--namespace="+cluster.Namespace,
		"--selector=app.kubernetes.io/part-of=keda-add-ons-http", "--cascade=foreground", "--timeout=2m")
	s.must(err)
	release("uninstall", cluster.Release)
	release("install", cluster.Release, s.path("tests/charts/testdata/release-0.16"), "--set-string=replicas=0")
	s.apply(model("llm", 0))
	s.leftBehind("llm", host)
	old, templates := s.deployments(), s.templates()
	s.edgeCertificate()

	release("upgrade", cluster.Release, chart, "--values", s.path(values))
	s.must(s.AwaitInstalled(s.ctx))
	if upgraded := s.deployments(); upgraded != old {
		t.Errorf("other Deployments: %s, before %s", upgraded, old)
	}
	s.awaitReady("HTTPScaledObject/llm", "ScaledObject/llm")
	if got := s.send(call{url: "http://" + host + "/v1/models"}); got.err != nil || got.status != http.StatusOK || got.header.Get("X-KEDA-HTTP-Cold-Start") != "true" {
		t.Errorf("a request to a target that sleeps: %+v", got)
	}
	s.checkTLS()

	release("rollback", cluster.Release, "1", "--timeout=2m")
	if back := s.deployments(); back != old {
		t.Errorf("other Deployments after a rollback: %s, before %s", back, old)
	}
	if back := s.templates(); back != templates {
		t.Errorf("the pods after a rollback: %s, before %s", back, templates)
	}
	s.kubectl("get", "httpscaledobject/llm", "scaledobject/llm") // the definitions are not the release's to delete
	release("upgrade", cluster.Release, chart, "--values", s.path(values))
	s.must(s.AwaitInstalled(s.ctx))
	s.awaitReady("HTTPScaledObject/llm", "ScaledObject/llm")
	s.awaitReplicas("llm", 0)
	if got := s.send(call{url: "http://" + host + "/v1/models"}); got.err != nil || got.status != http.StatusOK {
		t.Errorf("a request after a rollback and another upgrade: %+v", got)
	}
	s.kubectl("delete", "httpso", "llm", "--timeout=60s") // nothing holds it
	s.kubectl("wait", "--for=delete", "scaledobject/llm", "--timeout=60s")
}

// path is that of a file of the repository.
func (s *scenario) path(file string) string { return filepath.Join("..", "..", file) }

// deployments are those of the add-on, with their identities.
func (s *scenario) deployments() string {
	s.Helper()
	text, err := s.Kubectl(s.ctx, "", "get", "deployments", "--namespace="+cluster.Namespace, "--selector=app.kubernetes.io/part-of!=keda-operator",
		`--output=jsonpath={range .items[*]}{.metadata.name}={.metadata.uid} {end}`)
	s.must(err)
	return text
}

// templates are those of the add-on's pods.
func (s *scenario) templates() string {
	s.Helper()
	text, err := s.Kubectl(s.ctx, "", "get", "deployments", "--namespace="+cluster.Namespace, "--selector=app.kubernetes.io/part-of!=keda-operator",
		`--output=jsonpath={range .items[*]}{.metadata.name}={.spec.template} {end}`)
	s.must(err)
	return text
}

// leftBehind is an HTTPScaledObject and its ScaledObject as the operator of 0.16 left
// them.
func (s *scenario) leftBehind(name, host string) {
	s.Helper()
	s.apply(strings.Replace(oldRoute(name, host, "scaledownPeriod: 300"), "metadata: {name: "+name+"}",
		fmt.Sprintf("metadata: {name: %s, finalizers: [%s]}", name, api.Finalizer), 1))
	owner := &v1alpha1.HTTPScaledObject{}
	s.must(s.Client.Get(s.ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, owner))
	_, err := s.Kubectl(s.ctx, fmt.Sprintf(`
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: %[1]s
  ownerReferences:
    - {apiVersion: http.keda.sh/v1alpha1, kind: HTTPScaledObject, name: %[1]s, uid: %[2]s, controller: true, blockOwnerDeletion: true}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: %[1]s}
  pollingInterval: 15
  minReplicaCount: 0
  maxReplicaCount: 3
  cooldownPeriod: 300
  advanced: {restoreToOriginalReplicaCount: true}
  triggers:
    - type: external-push
      metadata: {scalerAddress: "keda-add-ons-http-external-scaler.keda:9090", httpScaledObject: %[1]s}
`, name, owner.UID), "create", "--namespace="+s.Namespace, "--field-manager=operator", "--filename=-")
	s.must(err)
}

// edgeCertificate is the Secret that the values name: with KEDA's certificate, of an
// authority that checkTLS reads.
func (s *scenario) edgeCertificate() {
	s.Helper()
	var keda corev1.Secret
	s.must(s.Client.Get(s.ctx, client.ObjectKey{Namespace: cluster.Namespace, Name: "kedaorg-certs"}, &keda))
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Namespace, Name: "edge-certs"},
		Data:       map[string][]byte{"server.pem": keda.Data["tls.crt"], "server-key.pem": keda.Data["tls.key"], "ca.crt": keda.Data["ca.crt"]},
	}
	s.must(client.IgnoreAlreadyExists(s.Client.Create(s.ctx, secret)))
	s.Cleanup(func() { s.try(client.IgnoreNotFound(s.Client.Delete(context.WithoutCancel(s.ctx), secret))) })
}

// checkTLS asks the TLS port for a host without a route.
func (s *scenario) checkTLS() {
	s.Helper()
	var secret corev1.Secret
	s.must(s.Client.Get(s.ctx, client.ObjectKey{Namespace: cluster.Namespace, Name: "edge-certs"}, &secret))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(secret.Data["ca.crt"])
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			host, _, _ := net.SplitHostPort(cluster.Proxy)
			return s.Dial(ctx, network, net.JoinHostPort(host, "8443"))
		},
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "keda-operator", MinVersion: tls.VersionTLS12},
	}
	defer transport.CloseIdleConnections()
	if got := s.send(call{by: &http.Client{Transport: transport}, url: "https://nobody.i.example.com/"}); got.err != nil || got.status != http.StatusNotFound {
		s.Errorf("a request over TLS for a host without a route: %+v", got)
	}
}
