package app

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"

	"github.com/kedacore/http-add-on/operator/config"
	"github.com/kedacore/http-add-on/pkg/httpserver"
	"github.com/kedacore/http-add-on/pkg/lifecycle"
)

// maxScrapes is how many requests of metrics are answered at a time.
const maxScrapes = 8

// servers serve probes, metrics and profiles, with the bounds of auxiliary servers.
// controller-runtime's own have no bounds, and a few large heads end a process of 64Mi.
type servers struct {
	flags config.Flags
	// metrics is the handler of /metrics.
	metrics http.Handler
	// tls serves metrics by TLS; nil serves them without. certificates are followed if it
	// has any from files.
	tls          *tls.Config
	certificates *httpserver.Certificates
}

// newServers prepares the servers. The client asks the API server who may read metrics.
func newServers(flags config.Flags, cluster *rest.Config, client *http.Client, log logr.Logger) (*servers, error) {
	s := &servers{flags: flags}
	s.metrics = promhttp.HandlerFor(metrics.Registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError, MaxRequestsInFlight: maxScrapes})
	if !flags.MetricsSecure {
		return s, nil
	}
	if flags.MetricsAuth {
		filter, err := filters.WithAuthenticationAndAuthorization(cluster, client)
		if err != nil {
			return nil, fmt.Errorf("preparing the authentication of metrics: %w", err)
		}
		if s.metrics, err = filter(log.WithName("metrics"), s.metrics); err != nil {
			return nil, fmt.Errorf("preparing the authentication of metrics: %w", err)
		}
	}
	return s, s.secure()
}

// secure takes the certificate from the folder of the flags, or makes one up.
func (s *servers) secure() error {
	if s.flags.MetricsCertDir != "" {
		files := httpserver.CertificateFiles{Cert: filepath.Join(s.flags.MetricsCertDir, "tls.crt"), Key: filepath.Join(s.flags.MetricsCertDir, "tls.key")}
		_, noCert := os.Stat(files.Cert)
		_, noKey := os.Stat(files.Key)
		if !errors.Is(noCert, fs.ErrNotExist) && !errors.Is(noKey, fs.ErrNotExist) { // as in 0.16
			var err error
			if s.certificates, err = httpserver.LoadCertificates(files); err != nil {
				return fmt.Errorf("loading the certificate of metrics: %w", err)
			}
			s.tls = &tls.Config{GetCertificate: s.certificates.Get}
			return nil
		}
	}
	cert, key, err := certutil.GenerateSelfSignedCertKey("localhost", []net.IP{{127, 0, 0, 1}}, nil)
	if err != nil {
		return fmt.Errorf("creating a certificate for metrics: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("creating a certificate for metrics: %w", err)
	}
	s.tls = &tls.Config{Certificates: []tls.Certificate{pair}}
	return nil
}

// listen opens the ports.
func (s *servers) listen() ([]lifecycle.Server, error) {
	probes := http.NewServeMux()
	for _, path := range []string{"/healthz", "/readyz"} {
		handler := http.StripPrefix(path, &healthz.Handler{Checks: map[string]healthz.Checker{"ping": healthz.Ping}})
		probes.Handle(path, handler)
		probes.Handle(path+"/", handler)
	}
	scrapes := http.NewServeMux()
	scrapes.Handle("/metrics", s.metrics)
	all := []lifecycle.Server{
		{Name: "probes", Handler: probes},
		{Name: "metrics", Handler: scrapes, TLS: s.tls},
		{Name: "pprof", Handler: lifecycle.Profiles()},
	}
	var ports []lifecycle.Port
	for i, address := range []string{s.flags.ProbeAddress, s.flags.MetricsAddress, s.flags.ProfilingAddress} {
		if address == "0" { // controller-runtime's word for off
			address = ""
		}
		ports = append(ports, lifecycle.Port{Name: all[i].Name, Address: address, Listener: &all[i].Listener})
	}
	return all, lifecycle.Listen(ports...)
}
