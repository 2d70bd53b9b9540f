// Package contender starts the proxies that a comparison measures, each as one process in front
// of the same backend. All have the same task: pass everything on, stream, keep connections, add
// X-Forwarded headers, log nothing.
package contender

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/kedacore/http-add-on/tests/bench/harness"
	"github.com/kedacore/http-add-on/tests/bench/role"
)

// The ports of a contender: the protocol of clients → the port of the backend.
const (
	Fast   = "fast" // HTTP/1.1 → a cheap backend
	HTTP   = "http" // HTTP/1.1 → net/http
	H2COut = "h2c"  // HTTP/1.1 → HTTP/2 without TLS

	Closing = "closing" // HTTP/1.1 → a backend that closes idle connections
	TLS     = "tls"     // HTTP/1.1 over TLS → the same
	H2CIn   = "h2c-in"  // HTTP/2 without TLS → HTTP/1.1
)

// The names of the contenders.
const (
	Us      = "interceptor"
	Bare    = "ReverseProxy"
	Nginx   = "nginx"
	HAProxy = "HAProxy"
	Traefik = "Traefik"
)

// Contender is a running proxy.
type Contender struct {
	*harness.Process
	Name, Version string
	// Profiles is the profiling port of our Go processes, otherwise empty.
	Profiles string
	ports    map[string]string
}

// Port returns where a port is and the Host to send there; false if the contender
// cannot do that.
func (c *Contender) Port(name string) (address, host string, ok bool) {
	address, ok = c.ports[name]
	host = name
	if name == H2CIn {
		host = Fast
	}
	return address, host, ok
}

// Setup is what all contenders share.
type Setup struct {
	// Dir is for configuration files.
	Dir string
	// Backend is a role.Backend.
	Backend *role.Server
	// Certificate and Key are files in PEM.
	Certificate, Key string
	// Cores of the proxy; empty means all.
	Cores []int
	// Log receives what the processes write.
	Log io.Writer
}

// upstream returns the backend's address behind a port.
func (s Setup) upstream(port string) string {
	switch port {
	case H2COut:
		port = HTTP
	case H2CIn:
		port = Fast
	}
	return s.Backend.Addresses[port]
}

// StartUs starts the interceptor: its real chain in a separate process, with metrics on, and with
// objects from memory instead of a cluster.
func StartUs(s Setup) (*Contender, error) {
	services := []string{Fast, HTTP, H2COut, Closing, TLS}
	server, err := role.Start(role.Interceptor, role.InterceptorOptions{
		Services:    services,
		Certificate: s.Certificate, Key: s.Key, Metrics: true, Profiles: true,
	}, s.Cores...)
	if err != nil {
		return nil, err
	}
	if err := server.Wait("/started", 1); err != nil {
		server.Stop()
		return nil, err
	}
	c := &Contender{Process: server.Process, Name: Us, Version: "this commit", Profiles: server.Addresses["profiles"], ports: map[string]string{
		TLS: server.Addresses["tls"], H2CIn: server.Proxy(),
	}}
	for _, service := range services {
		if err := server.Ready(service, s.upstream(service)); err != nil {
			server.Stop()
			return nil, err
		}
		if service != TLS {
			c.ports[service] = server.Proxy()
		}
	}
	return c, nil
}

// StartBare starts the program of tests/bench/bare.
func StartBare(s Setup, program string) (*Contender, error) {
	ports, err := freePorts(Fast, HTTP, H2COut, Closing, TLS, "profiles")
	if err != nil {
		return nil, err
	}
	args := []string{"-certificate", s.Certificate, "-key", s.Key, "-profiles", ports["profiles"], "-tls-listen", ports[TLS] + "=https://" + s.upstream(TLS)}
	for _, name := range []string{Fast, HTTP, Closing} {
		args = append(args, "-listen", ports[name]+"=http://"+s.upstream(name))
	}
	args = append(args, "-listen", ports[H2COut]+"=h2c://"+s.upstream(H2COut))
	c := &Contender{Name: Bare, Version: "net/http/httputil", Profiles: ports["profiles"], ports: ports}
	delete(ports, "profiles")
	ports[H2CIn] = ports[Fast]
	return c.start(s, program, args...)
}

func freePorts(names ...string) (map[string]string, error) {
	ports := make(map[string]string)
	for _, name := range names {
		address, err := harness.FreePort()
		if err != nil {
			return nil, err
		}
		ports[name] = address
	}
	return ports, nil
}

// start starts the process and waits until every port listens.
func (c *Contender) start(s Setup, path string, args ...string) (*Contender, error) {
	p, err := harness.Start(harness.Command{Path: path, Args: args, Cores: s.Cores, Output: s.Log})
	if err != nil {
		return nil, err
	}
	c.Process = p
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for name, address := range c.ports {
		if err := harness.Listening(ctx, address); err != nil {
			p.Stop()
			return nil, fmt.Errorf("%s does not listen on %s for %s: %w", c.Name, address, name, err)
		}
	}
	address, host, _ := c.Port(Fast)
	if err := harness.Answering(ctx, "http://"+address+"/b/0", host); err != nil {
		p.Stop()
		return nil, fmt.Errorf("%s does not answer: %w", c.Name, err)
	}
	return c, nil
}

// version is the first word with a digit and a dot in what a program writes.
func version(path string, args ...string) string {
	text, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		return "unknown"
	}
	for _, word := range strings.FieldsFunc(string(text), func(r rune) bool { return strings.ContainsRune(" \n\t/", r) }) {
		if strings.Contains(word, ".") && word[0] >= '0' && word[0] <= '9' {
			return word
		}
	}
	return "unknown"
}
