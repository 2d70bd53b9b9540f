package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// TLS of the proxy and towards targets.
type TLS struct {
	// Enabled serves TLS on Port beside the plain port.
	Enabled bool
	// Port is a TCP port; 0 is one that the system picks.
	Port int
	// CertPath and KeyPath of the default certificate.
	CertPath, KeyPath string
	// CertStorePaths are folders with further certificates, picked by SNI.
	CertStorePaths []string

	// MinVersion and MaxVersion as in crypto/tls; 0 is Go's default.
	MinVersion, MaxVersion uint16
	// CipherSuites up to TLS 1.2; nil is Go's default.
	CipherSuites []uint16
	// Curves for the key exchange; nil is Go's default.
	Curves []tls.CurveID
	// SkipVerify accepts any certificate of a target.
	SkipVerify bool
	// CADirs are folders of CA certificates that are trusted for targets beside
	// the system's.
	CADirs []string
}

// Server is what the proxy's TLS listener speaks. Its certificates come from
// certificate, which is asked for every handshake.
func (t TLS) Server(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	c := t.base()
	c.GetCertificate = certificate
	return c
}

// Client is the template of connections to targets.
func (t TLS) Client() (*tls.Config, error) {
	c := t.base()
	c.InsecureSkipVerify = t.SkipVerify
	if len(t.CADirs) == 0 {
		return c, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("loading the system's CA certificates: %w", err)
	}
	for _, dir := range t.CADirs {
		if err := addCAs(pool, dir); err != nil {
			return nil, fmt.Errorf("loading CA certificates: %w", err)
		}
	}
	c.RootCAs = pool
	return c, nil
}

func (t TLS) base() *tls.Config {
	return &tls.Config{
		MinVersion:       t.MinVersion,
		MaxVersion:       t.MaxVersion,
		CipherSuites:     t.CipherSuites,
		CurvePreferences: t.Curves,
	}
}

// addCAs adds every certificate in the files of a folder. Files without one
// are passed over: mounted volumes carry keys and markers too. A folder that
// gives none at all is a mistake.
func addCAs(pool *x509.CertPool, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	found := false
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		// Stat, not the entry: files of a mounted Secret are symbolic links.
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			continue
		}
		pem, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		found = pool.AppendCertsFromPEM(pem) || found
	}
	if !found {
		return fmt.Errorf("no certificate in %s", dir)
	}
	return nil
}

// tlsVersion parses a version.
func tlsVersion(value string) (uint16, error) {
	switch value {
	case "1.2", "TLS12":
		return tls.VersionTLS12, nil
	case "1.3", "TLS13":
		return tls.VersionTLS13, nil
	}
	return 0, fmt.Errorf("%q is not one of 1.2, 1.3, TLS12, TLS13", value)
}

// cipherSuite parses a name as crypto/tls spells it.
func cipherSuite(name string) (uint16, error) {
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if suite.Name == name {
			return suite.ID, nil
		}
	}
	return 0, fmt.Errorf("%q is not a cipher suite that Go supports", name)
}

// curve parses the name of a key exchange as crypto/tls spells it, with or
// without "Curve" and a hyphen, in any case: CurveP256, P256, P-256.
func curve(name string) (tls.CurveID, error) {
	known := make(map[string]tls.CurveID)
	for _, id := range []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521} {
		known[curveKey(id.String())] = id
	}
	id, ok := known[curveKey(name)]
	if !ok {
		return 0, fmt.Errorf("%q is not a supported curve (%s)", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	return id, nil
}

func curveKey(name string) string {
	return strings.TrimPrefix(strings.ReplaceAll(strings.ToUpper(name), "-", ""), "CURVE")
}
