package config

import (
	"crypto/tls"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTargetsAreTrustedByFurtherCAs(t *testing.T) {
	target := httptest.NewTLSServer(http.NotFoundHandler())
	defer target.Close()
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: target.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "README"), []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		reason string
		tls    TLS
		ok     bool
	}{
		{"an unknown CA", TLS{}, false},
		{"a CA of a folder", TLS{CADirs: []string{dir}}, true},
		{"no verification", TLS{SkipVerify: true}, true},
		{"a version that the target does not speak", TLS{CADirs: []string{dir}, MaxVersion: tls.VersionTLS11}, false},
	} {
		config, err := test.tls.Client()
		if err != nil {
			t.Fatalf("%s: %v", test.reason, err)
		}
		config.ServerName = "example.com"
		conn, err := tls.Dial("tcp", target.Listener.Addr().String(), config)
		if err == nil {
			conn.Close()
		}
		if (err == nil) != test.ok {
			t.Errorf("%s: connecting gives %v, want success %v", test.reason, err, test.ok)
		}
	}
}

func TestCAFoldersThatAreWrong(t *testing.T) {
	empty := t.TempDir()
	for _, dir := range []string{empty, filepath.Join(empty, "missing")} {
		_, err := TLS{CADirs: []string{dir}}.Client()
		if err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("got %v, want an error that names %s", err, dir)
		}
	}
}

func TestServerTakesItsSettings(t *testing.T) {
	got := TLS{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13, CipherSuites: []uint16{1}, Curves: []tls.CurveID{tls.X25519}}.
		Server(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil })
	if got.MinVersion != tls.VersionTLS12 || got.MaxVersion != tls.VersionTLS13 || len(got.CipherSuites) != 1 ||
		len(got.CurvePreferences) != 1 || got.GetCertificate == nil {
		t.Errorf("settings are lost: %+v", got)
	}
}
