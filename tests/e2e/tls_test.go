//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedacore/http-add-on/tests/e2e/cluster"
	"github.com/kedacore/http-add-on/tests/e2e/pki"
)

// Scenario r: a gRPC client reaches a server that sleeps by TLS on both ways, and each side checks
// the certificate of the next one.
func TestGRPCOverTLS(t *testing.T) {
	s := begin(t, "r-tls")
	const host, secret = "tls.r.example.com", "r-tls"
	authority, err := pki.NewAuthority()
	s.must(err)
	s.certificate(authority, cluster.Namespace, secret, host)
	s.certificate(authority, s.Namespace, secret, "greeter."+s.Namespace)
	t.Cleanup(func() {
		_, err := s.Kubectl(context.WithoutCancel(s.ctx), "", "delete", "secret", secret, "--namespace="+cluster.Namespace)
		s.try(err)
	})
	s.setValues("--set=interceptor.tls.enabled=true", "--set=interceptor.tls.certSecret="+secret, "--set=interceptor.tls.caDirs={/certs}")

	server := strings.Replace(workload("greeter", "greeter", []string{"-certs=/certs"}), "httpGet: {path: /healthz, port: http}", "tcpSocket: {port: http}", 1)
	server = strings.Replace(server, "          readinessProbe:", "          volumeMounts: [{name: certs, mountPath: /certs}]\n          readinessProbe:", 1)
	server = strings.Replace(server, "      containers:", "      volumes: [{name: certs, secret: {secretName: "+secret+"}}]\n      containers:", 1)
	s.apply(server, patient(scaledObject("greeter")), interceptorRoute("greeter", host, concurrencyTen))
	s.awaitReady("InterceptorRoute/greeter", "ScaledObject/greeter")
	s.eventually("greeter asleep", func() (bool, error) { return s.replicas("greeter") == 0, nil })

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.PEM())
	name, _, err := net.SplitHostPort(cluster.Proxy)
	s.must(err)
	address := net.JoinHostPort(name, "8443")
	for _, state := range []string{"cold", "warm"} {
		asked := time.Now()
		if err := s.callGRPCBy(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12}), address, host); err != nil {
			t.Errorf("%s: %v", state, err)
		}
		s.Progress("gRPC over TLS, %s: %s", state, time.Since(asked).Round(time.Millisecond))
	}
}

// certificate makes a Secret with a certificate for a host, and that of its authority.
func (s *scenario) certificate(authority *pki.Authority, namespace, name, host string) {
	s.Helper()
	certificate, key, err := authority.Issue(pkix.Name{CommonName: host}, host)
	s.must(err)
	s.must(s.Client.Create(s.ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Data:       map[string][]byte{"tls.crt": certificate, "tls.key": key, "ca.crt": authority.PEM()},
	}))
}
