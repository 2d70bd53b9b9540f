package conformance

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kedacore/http-add-on/tests/support/certificate"
	"github.com/kedacore/http-add-on/tests/support/listen"
)

// What comes in by TLS goes on by TLS, with the Service's name as SNI although a
// pod is dialled; what comes in plain goes on plain. Both ports serve.
func TestTLSThroughAColdStart(t *testing.T) {
	front, frontKey := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	certificate.Write(t, front, frontKey, "app.test")
	back, backKey := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	certificate.Write(t, back, backKey, "app.default")
	pair, err := tls.LoadX509KeyPair(back, backKey)
	if err != nil {
		t.Fatal(err)
	}
	secure := listen.Loopback(t)
	w := newWorldWith(t, plainRoute, listeners{tls: secure},
		"KEDA_HTTP_PROXY_TLS_ENABLED", "true", "KEDA_HTTP_PROXY_TLS_PORT", "0",
		"KEDA_HTTP_PROXY_TLS_CERT_PATH", front, "KEDA_HTTP_PROXY_TLS_KEY_PATH", frontKey,
		"KEDA_HTTP_TLS_CA_DIRS", filepath.Dir(back))

	names := make(chan string, 1)
	backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s over %s", r.Host, r.Proto)
	}))
	backend.TLS = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		select {
		case names <- hello.ServerName:
		default:
		}
		return &pair, nil
	}}
	backend.EnableHTTP2 = true
	backend.StartTLS()
	t.Cleanup(backend.Close)

	pool := x509.NewCertPool()
	pem, err := os.ReadFile(front)
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatal("reading the certificate", err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "app.test"}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	w.client = &http.Client{Transport: transport}
	w.url = strings.Replace("https://"+secure.Addr().String(), "[::]", "127.0.0.1", 1)
	pending := w.later(w.request(http.MethodGet, "app.test", "/", ""))
	w.held("default/app", 1)
	w.ready("app", backend.Listener.Addr().String())
	(<-pending).expect(t, "a cold request over TLS", http.StatusOK, "app.test over HTTP/2.0")
	if name := <-names; name != "app.default" {
		t.Errorf("SNI: %q", name)
	}
}

// listeners are those that a test brings itself.
type listeners struct{ tls, metrics net.Listener }
