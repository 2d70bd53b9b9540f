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

// tlsVersion reads a version; not set is 0, Go's default.
func (e *environment) tlsVersion(name string) uint16 {
	switch value := e.text(name, ""); value {
	case "":
		return 0
	case "1.2", "TLS12":
		return tls.VersionTLS12
	case "1.3", "TLS13":
		return tls.VersionTLS13
	default:
		e.fail(name, "%q is none of 1.2, 1.3, TLS12, TLS13", value)
		return 0
	}
}

// cipherSuites reads names as crypto/tls spells them.
func (e *environment) cipherSuites(name string) []uint16 {
	known := make(map[string]uint16)
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		known[suite.Name] = suite.ID
	}
	var suites []uint16
	for _, item := range e.list(name) {
		id, ok := known[item]
		if !ok {
			e.fail(name, "%q is no cipher suite that Go knows", item)
			continue
		}
		suites = append(suites, id)
	}
	return suites
}

// curves reads key exchanges by the names of crypto/tls, with or without
// "Curve" and a hyphen, in any case: CurveP256, P256, P-256.
func (e *environment) curves(name string) []tls.CurveID {
	known := make(map[string]tls.CurveID)
	for _, id := range []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521} {
		known[curveKey(id.String())] = id
	}
	var curves []tls.CurveID
	for _, item := range e.list(name) {
		id, ok := known[curveKey(item)]
		if !ok {
			e.fail(name, "%q is no curve that is known (%s)", item, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
			continue
		}
		curves = append(curves, id)
	}
	return curves
}

func curveKey(name string) string {
	return strings.TrimPrefix(strings.ReplaceAll(strings.ToUpper(name), "-", ""), "CURVE")
}
