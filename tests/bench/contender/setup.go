package contender

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/kedacore/http-add-on/tests/bench/harness"
	"github.com/kedacore/http-add-on/tests/bench/role"
)

// Field is a backend and the contenders in front of it.
type Field struct {
	Setup
	All []*Contender
	// Missing lists the contenders that are missing, and why.
	Missing []string
}

// Start starts a backend and the named contenders, each pinned by the plan. dir is a folder for
// files; traefik is the path of its binary, or empty. Start skips contenders that are not
// installed.
func Start(dir string, plan harness.Plan, traefik string, log io.Writer, names ...string) (*Field, error) {
	f := &Field{Setup: Setup{Dir: dir, Cores: plan.Proxy, Log: log}}
	if err := f.certify(); err != nil {
		return nil, err
	}
	bare := filepath.Join(dir, "bare")
	build := exec.Command("go", "build", "-o", bare, "github.com/kedacore/http-add-on/tests/bench/bare")
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the bare proxy: %w: %s", err, text)
	}
	var err error
	if f.Backend, err = role.Start(role.Backend, role.BackendOptions{Certificate: f.Certificate, Key: f.Key}, plan.Load...); err != nil {
		return nil, err
	}
	for _, name := range names {
		var c *Contender
		switch name {
		case Us:
			c, err = StartUs(f.Setup)
		case Bare:
			c, err = StartBare(f.Setup, bare)
		case Nginx:
			c, err = StartNginx(f.Setup)
		case HAProxy:
			c, err = StartHAProxy(f.Setup)
		case Traefik:
			if traefik == "" {
				f.Missing = append(f.Missing, name+" was not built (make bench-traefik)")
				continue
			}
			c, err = StartTraefik(f.Setup, traefik)
		default:
			err = fmt.Errorf("no contender %q", name)
		}
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			f.Missing = append(f.Missing, name+" is not installed")
			continue
		}
		if err != nil {
			f.Stop()
			return nil, fmt.Errorf("starting %s: %w", name, err)
		}
		f.All = append(f.All, c)
	}
	return f, nil
}

// Stop ends all processes.
func (f *Field) Stop() {
	for _, c := range f.All {
		c.Stop()
	}
	f.Backend.Stop()
}

// certify writes a certificate that signs itself.
func (f *Field) certify() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{TLS, "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	f.Certificate, f.Key = filepath.Join(f.Dir, "tls.crt"), filepath.Join(f.Dir, "tls.key")
	return errors.Join(
		os.WriteFile(f.Certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600),
		os.WriteFile(f.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
	)
}
