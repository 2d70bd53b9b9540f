package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// reloadInterval is the time between two checks of the files. The kubelet takes up to a minute to
// bring a new Secret, so faster would gain nothing. Unlike a file system watch, polling works the
// same on every kind of mount.
const reloadInterval = 10 * time.Second

// CertificateFiles names the certificates of a TLS listener.
type CertificateFiles struct {
	// Cert and Key of the default certificate. They need not exist if there are Stores.
	Cert, Key string
	// Stores are folders, read with those in them, of pairs "x.crt" + "x.key" or
	// "x.pem" + "x-key.pem".
	Stores []string
}

// Certificates gives each client the certificate of the name that it asks for,
// and follows its files as they change. Safe for concurrent use.
type Certificates struct {
	files   CertificateFiles
	current atomic.Pointer[certificateSet]
}

// certificateSet is what the files held at one time; immutable.
type certificateSet struct {
	fallback *tls.Certificate
	byName   map[string]*tls.Certificate
	// content of every file, to see a change.
	content map[string]string
}

// LoadCertificates reads the files. A certificate without its key is an error.
func LoadCertificates(files CertificateFiles) (*Certificates, error) {
	c := &Certificates{files: files}
	if _, err := c.reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Get is for tls.Config.GetCertificate: the certificate that has exactly the
// name or IP address among its alternative names, else the default one.
func (c *Certificates) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	set := c.current.Load()
	if certificate, ok := set.byName[strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))]; ok {
		return certificate, nil
	}
	if set.fallback == nil {
		return nil, fmt.Errorf("no certificate for %q, and no default certificate", hello.ServerName)
	}
	return set.fallback, nil
}

// Run follows the files until ctx ends. While they cannot be read (half-written, say), it serves
// the last good certificates.
func (c *Certificates) Run(ctx context.Context, log logr.Logger) {
	ticker := time.NewTicker(reloadInterval)
	defer ticker.Stop()
	var told string
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		changed, err := c.reload()
		switch {
		case err == nil:
			told = ""
			if changed {
				log.Info("certificates reloaded")
			}
		case err.Error() != told:
			told = err.Error()
			log.Error(err, "reloading certificates")
		}
	}
}

// reload reads the files and, if they changed, serves what they hold.
func (c *Certificates) reload() (changed bool, err error) {
	old := c.current.Load()
	var pairs [][2]string
	// A default certificate that was there and is gone is an error: files are being replaced.
	byDefault := len(c.files.Stores) == 0 || exists(c.files.Cert) || exists(c.files.Key) || old != nil && old.fallback != nil
	if byDefault {
		pairs = append(pairs, [2]string{c.files.Cert, c.files.Key})
	}
	for _, dir := range c.files.Stores {
		found, err := findPairs(dir)
		if err != nil {
			return false, fmt.Errorf("reading certificate store %s: %w", dir, err)
		}
		pairs = append(pairs, found...)
	}
	if len(pairs) == 0 {
		return false, fmt.Errorf("there is no certificate: neither %s nor a pair in %s", c.files.Cert, strings.Join(c.files.Stores, ", "))
	}
	content := make(map[string]string, 2*len(pairs))
	for _, pair := range pairs {
		for _, path := range pair {
			data, err := os.ReadFile(path)
			if err != nil {
				return false, fmt.Errorf("reading certificate: %w", err)
			}
			content[path] = string(data)
		}
	}
	if old != nil && maps.Equal(old.content, content) {
		return false, nil
	}
	set := &certificateSet{byName: make(map[string]*tls.Certificate), content: content}
	for i, pair := range pairs {
		certificate, err := tls.X509KeyPair([]byte(content[pair[0]]), []byte(content[pair[1]]))
		if err != nil {
			return false, fmt.Errorf("reading certificate %s: %w", pair[0], err)
		}
		if i == 0 && byDefault {
			set.fallback = &certificate
		}
		names := slices.Clone(certificate.Leaf.DNSNames)
		for _, ip := range certificate.Leaf.IPAddresses {
			names = append(names, ip.String())
		}
		for _, name := range names {
			// The first one has a name; the order is that of the settings.
			if name = strings.ToLower(name); set.byName[name] == nil {
				set.byName[name] = &certificate
			}
		}
	}
	c.current.Store(set)
	return true, nil
}

// exists reports whether there is a file, or that is unknown.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// findPairs walks a folder in the order of names.
func findPairs(dir string) ([][2]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var pairs [][2]string
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		// A mounted Secret holds each file twice: "..data" and the folder that it
		// links to are the volume's own machinery.
		if strings.HasPrefix(entry.Name(), "..") {
			continue
		}
		if entry.IsDir() {
			found, err := findPairs(path)
			if err != nil {
				return nil, err
			}
			pairs = append(pairs, found...)
			continue
		}
		key, ok := keyOf(path)
		if !ok {
			continue
		}
		if _, err := os.Stat(key); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s has no key: %s does not exist", path, key)
		} else if err != nil {
			return nil, err
		}
		pairs = append(pairs, [2]string{path, key})
	}
	return slices.Clip(pairs), nil
}

// keyOf returns the path of a certificate's key; false if path is not a certificate.
func keyOf(path string) (string, bool) {
	if base, ok := strings.CutSuffix(path, ".crt"); ok {
		return base + ".key", true
	}
	if base, ok := strings.CutSuffix(path, ".pem"); ok && !strings.HasSuffix(base, "-key") {
		return base + "-key.pem", true
	}
	return "", false
}
