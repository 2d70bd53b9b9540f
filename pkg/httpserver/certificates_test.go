package httpserver

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/testr"

	"github.com/kedacore/http-add-on/tests/support/certificate"
)

// names returns the alternative names of the certificate that a client gets.
func names(t *testing.T, c *Certificates, serverName string) string {
	t.Helper()
	certificate, err := c.Get(&tls.ClientHelloInfo{ServerName: serverName})
	if err != nil {
		t.Fatalf("getting the certificate for %q: %v", serverName, err)
	}
	return strings.Join(certificate.Leaf.DNSNames, ",")
}

func TestCertificateIsPickedByName(t *testing.T) {
	dir := t.TempDir()
	certificate.Write(t, dir+"/tls.crt", dir+"/tls.key", "default.test")
	store := filepath.Join(dir, "store")
	certificate.Write(t, store+"/a.crt", store+"/a.key", "a.test", "Upper.test")
	certificate.Write(t, store+"/deep/b.pem", store+"/deep/b-key.pem", "b.test", "*.wild.test")
	// As a Secret is mounted: the files are links to links.
	certificate.Write(t, store+"/secret/..2026/tls.crt", store+"/secret/..2026/tls.key", "c.test")
	for _, link := range [][2]string{{"..2026", "..data"}, {"..data/tls.crt", "tls.crt"}, {"..data/tls.key", "tls.key"}} {
		if err := os.Symlink(link[0], filepath.Join(store, "secret", link[1])); err != nil {
			t.Fatal(err)
		}
	}
	c, err := LoadCertificates(CertificateFiles{Cert: dir + "/tls.crt", Key: dir + "/tls.key", Stores: []string{store}})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ reason, serverName, want string }{
		{"an alternative name", "a.test", "a.test,Upper.test"},
		{"names compare without case, on either side", "uPPER.test", "a.test,Upper.test"},
		{"a pair of .pem files in a folder below", "b.test", "b.test,*.wild.test"},
		{"a mounted Secret", "c.test", "c.test"},
		{"a wildcard is no exact match", "x.wild.test", "default.test"},
		{"an unknown name", "unknown.test", "default.test"},
		{"no name at all", "", "default.test"},
	} {
		if got := names(t, c, test.serverName); got != test.want {
			t.Errorf("%s: %q gets the certificate of %s, want %s", test.reason, test.serverName, got, test.want)
		}
	}
}

// 0.16 needs no default certificate beside a store.
func TestAStoreIsEnough(t *testing.T) {
	dir := t.TempDir()
	files := CertificateFiles{Cert: dir + "/tls.crt", Key: dir + "/tls.key", Stores: []string{dir + "/store"}}
	if err := os.Mkdir(dir+"/store", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCertificates(files); err == nil || !strings.Contains(err.Error(), "there is no certificate") {
		t.Errorf("an empty store: %v", err)
	}
	certificate.Write(t, dir+"/store/a.crt", dir+"/store/a.key", "a.test")
	c, err := LoadCertificates(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.test", "127.0.0.1"} {
		if got := names(t, c, name); got != "a.test" {
			t.Errorf("%s gets the certificate of %s", name, got)
		}
	}
	if _, err := c.Get(&tls.ClientHelloInfo{ServerName: "b.test"}); err == nil || !strings.Contains(err.Error(), "b.test") {
		t.Errorf("an unknown name: %v", err)
	}
	certificate.Write(t, dir+"/tls.crt", dir+"/tls.key", "default.test")
	if changed, err := c.reload(); !changed || err != nil {
		t.Errorf("a default certificate that comes: %v, %v", changed, err)
	}
	if got := names(t, c, "b.test"); got != "default.test" {
		t.Errorf("an unknown name gets the certificate of %s", got)
	}
	remove(t, dir+"/tls.crt")
	remove(t, dir+"/tls.key")
	if _, err := c.reload(); err == nil {
		t.Error("no error after the default certificate has disappeared")
	}
}

func TestCertificateFilesThatAreWrong(t *testing.T) {
	for _, test := range []struct {
		reason string
		spoil  func(t *testing.T, dir string)
		want   string
	}{
		{"no default certificate", func(t *testing.T, dir string) { remove(t, dir+"/tls.crt") }, "tls.crt"},
		{"a .crt without its key", func(t *testing.T, dir string) { remove(t, dir+"/store/a.key") }, "a.crt has no key"},
		{"a .pem without its key", func(t *testing.T, dir string) { write(t, dir+"/store/b.pem", "x") }, "b.pem has no key"},
		{"a key that is not one", func(t *testing.T, dir string) { write(t, dir+"/store/a.key", "x") }, "a.crt"},
		{"no store", func(t *testing.T, dir string) {
			if err := os.RemoveAll(dir + "/store"); err != nil {
				t.Fatal(err)
			}
		}, "certificate store"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			dir := t.TempDir()
			certificate.Write(t, dir+"/tls.crt", dir+"/tls.key", "default.test")
			certificate.Write(t, dir+"/store/a.crt", dir+"/store/a.key", "a.test")
			test.spoil(t, dir)
			_, err := LoadCertificates(CertificateFiles{Cert: dir + "/tls.crt", Key: dir + "/tls.key", Stores: []string{dir + "/store"}})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error that names %q", err, test.want)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func TestCertificatesFollowTheirFiles(t *testing.T) {
	dir := t.TempDir()
	certificate.Write(t, dir+"/tls.crt", dir+"/tls.key", "old.test")
	c, err := LoadCertificates(CertificateFiles{Cert: dir + "/tls.crt", Key: dir + "/tls.key"})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.Run(ctx, testr.New(t)) }()
		defer func() { cancel(); <-done }()

		// A writer is between the two files: the pair does not fit.
		good, err := os.ReadFile(dir + "/tls.key")
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir+"/tls.key", "half")
		tick()
		if got := names(t, c, ""); got != "old.test" {
			t.Errorf("while the files are broken the certificate is %s, want the last good one", got)
		}
		write(t, dir+"/tls.key", string(good))
		certificate.Write(t, dir+"/tls.crt", dir+"/tls.key", "new.test")
		tick()
		if got := names(t, c, ""); got != "new.test" {
			t.Errorf("after the files changed the certificate is %s, want new.test", got)
		}
	})
}

// tick lets the files be looked at once, in a synctest bubble.
func tick() {
	<-time.After(reloadInterval)
	synctest.Wait()
}
