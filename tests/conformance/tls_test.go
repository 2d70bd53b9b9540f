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

// A TLS request goes on by TLS, with the Service's name as SNI although the interceptor dials a
// pod. A plain request goes on plain. Both ports serve.
func TestTLSThroughAColdStart(t *testing.T) {
	back, backKey := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	certificate.Write(t, back, backKey, "app.default")
	pair, err := tls.LoadX509KeyPair(back, backKey)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorldTLS(t, plainRoute, "KEDA_HTTP_TLS_CA_DIRS", filepath.Dir(back))

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

	pending := w.later(w.request(http.MethodGet, "app.test", "/", ""))
	w.held("default/app", 1)
	w.ready("app", backend.Listener.Addr().String())
	(<-pending).expect(t, "a cold request over TLS", http.StatusOK, "app.test over HTTP/2.0")
	if name := <-names; name != "app.default" {
		t.Errorf("SNI: %q", name)
	}
}

// newWorldTLS is a world whose client comes by TLS.
func newWorldTLS(t *testing.T, objects string, env ...string) *world {
	t.Helper()
	front, frontKey := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	certificate.Write(t, front, frontKey, "app.test")
	secure := listen.Loopback(t)
	w := newWorldWith(t, objects, listeners{tls: secure}, append([]string{
		"KEDA_HTTP_PROXY_TLS_ENABLED", "true", "KEDA_HTTP_PROXY_TLS_PORT", "0",
		"KEDA_HTTP_PROXY_TLS_CERT_PATH", front, "KEDA_HTTP_PROXY_TLS_KEY_PATH", frontKey,
	}, env...)...)
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(front)
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatal("reading the certificate", err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "app.test"}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	w.client = &http.Client{Transport: transport}
	w.url = strings.Replace("https://"+secure.Addr().String(), "[::]", "127.0.0.1", 1)
	return w
}

// A backend that speaks plain HTTP answers behind the TLS listener if its Service port declares
// that. Otherwise the interceptor uses TLS, as in 0.16.
func TestAnHTTPBackendBehindTheTLSListener(t *testing.T) {
	for protocol, want := range map[string]int{"http": http.StatusOK, "kubernetes.io/ws": http.StatusOK, "https": http.StatusBadGateway, "": http.StatusBadGateway} {
		t.Run(protocol, func(t *testing.T) {
			port := "port: 80"
			if protocol != "" {
				port += ", appProtocol: " + protocol
			}
			w := newWorldTLS(t, strings.Replace(plainRoute, "port: 80", port, 1))
			w.ready("app", w.backend(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("X-Forwarded-Proto")) }))
			got := w.do(w.request(http.MethodPost, "app.test", "/", "a body"))
			if got.status != want || want == http.StatusOK && got.body != "https" {
				t.Errorf("got %d %q (%v), want %d", got.status, got.body, got.err, want)
			}
		})
	}
}

// listeners are those that a test brings itself.
type listeners struct{ tls, metrics net.Listener }
