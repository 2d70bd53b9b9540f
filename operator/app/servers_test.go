package app

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"

	"github.com/kedacore/http-add-on/operator/config"
	"github.com/kedacore/http-add-on/pkg/lifecycle"
	"github.com/kedacore/http-add-on/tests/support/certificate"
)

// serve runs the servers until the test ends, and returns their addresses: probes, metrics, profiles.
func serve(t *testing.T, flags config.Flags) (addresses [3]string) {
	t.Helper()
	s, err := newServers(flags, nil, nil, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.listen()
	if err != nil {
		t.Fatal(err)
	}
	for i, server := range all {
		if server.Listener != nil {
			addresses[i] = server.Listener.Addr().String()
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- lifecycle.Process{
			Servers: all, Log: logr.Discard(), Ready: func(context.Context) {}, NotReady: func() {},
			Drain: func() error { return nil }, Close: func(context.Context) error { return nil },
		}.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return addresses
}

func TestServers(t *testing.T) {
	folder := t.TempDir()
	certificate.Write(t, filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key"), "metrics.test")
	for _, test := range []struct {
		reason, scheme, name string
		flags                config.Flags
	}{
		{"without TLS", "http", "", config.Flags{}},
		{"a certificate that is made up", "https", "localhost", config.Flags{MetricsSecure: true}},
		{"a folder without a certificate", "https", "localhost", config.Flags{MetricsSecure: true, MetricsCertDir: t.TempDir()}},
		{"a certificate of the flags", "https", "metrics.test", config.Flags{MetricsSecure: true, MetricsCertDir: folder}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			test.flags.ProbeAddress, test.flags.MetricsAddress, test.flags.ProfilingAddress = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
			addresses := serve(t, test.flags)
			transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // a test server's
			t.Cleanup(transport.CloseIdleConnections)
			for url, has := range map[string]string{
				"http://" + addresses[0] + "/healthz":             "ok",
				"http://" + addresses[0] + "/readyz/ping":         "ok",
				test.scheme + "://" + addresses[1] + "/metrics":   "go_goroutines",
				"http://" + addresses[2] + "/debug/pprof/cmdline": "test",
			} {
				for _, cookie := range []string{"", strings.Repeat("c", 100<<10)} {
					request, err := http.NewRequest(http.MethodGet, url, nil)
					if err != nil {
						t.Fatal(err)
					}
					request.Header.Set("Cookie", cookie)
					response, err := (&http.Client{Transport: transport}).Do(request)
					if cookie != "" {
						if err == nil && response.StatusCode == http.StatusOK {
							t.Errorf("%s: a head of 100 KiB is answered", url)
						}
						if err == nil {
							_ = response.Body.Close()
						}
						continue
					}
					if err != nil {
						t.Fatal(err)
					}
					body, err := io.ReadAll(response.Body)
					_ = response.Body.Close()
					if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), has) {
						t.Errorf("%s: %s %s (%v)", url, response.Status, body, err)
					}
					if response.TLS != nil && response.TLS.PeerCertificates[0].VerifyHostname(test.name) != nil {
						t.Errorf("%s: the certificate of %v", url, response.TLS.PeerCertificates[0].DNSNames)
					}
				}
			}
		})
	}
}

func TestServersThatAreOff(t *testing.T) {
	if addresses := serve(t, config.Flags{ProbeAddress: "0", MetricsAddress: "0"}); addresses != [3]string{} {
		t.Errorf("served at %q", addresses)
	}
}
