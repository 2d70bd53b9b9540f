//go:build e2e

package cluster

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509/pkix"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kedacore/http-add-on/tests/e2e/pki"
)

// writeCertificates writes what the control plane needs into the folder: ca.crt, apiserver.crt
// and .key, front-proxy.crt and .key, and sa.key, which signs service account tokens.
func writeCertificates(a *pki.Authority, folder string) error {
	files := map[string][]byte{"ca.crt": a.PEM()}
	for name, hosts := range map[string][]string{
		"apiserver":   {apiAddress, apiServiceIP, "127.0.0.1", "localhost", "kubernetes.default.svc"},
		"front-proxy": nil,
	} {
		certificate, key, err := a.Issue(pkix.Name{CommonName: name}, hosts...)
		if err != nil {
			return err
		}
		files[name+".crt"], files[name+".key"] = certificate, key
	}
	signer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("generating the key for tokens: %w", err)
	}
	if files["sa.key"], err = pki.EncodeKey(signer); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}
