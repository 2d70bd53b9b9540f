package contender

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

// values are what the templates of configurations see.
type values struct {
	Setup
	Ports    map[string]string
	Workers  int
	PEM      string // certificate and key in one file
	Upstream func(port string) string
}

func (s Setup) write(name string, tmpl string, ports map[string]string) (string, error) {
	v := values{Setup: s, Ports: ports, Workers: max(len(s.Cores), 1), PEM: filepath.Join(s.Dir, "both.pem"), Upstream: s.upstream}
	t, err := template.New(name).Parse(tmpl)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	if err := t.Execute(&text, v); err != nil {
		return "", err
	}
	path := filepath.Join(s.Dir, name)
	return path, os.WriteFile(path, []byte(text.String()), 0o600)
}

// StartNginx starts nginx with a separate configuration and folder, not as Debian's service. It
// returns exec.ErrNotFound if nginx is not installed. nginx speaks no HTTP/2 to backends.
func StartNginx(s Setup) (*Contender, error) {
	path, err := find("nginx")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(Fast, HTTP, Closing, TLS, H2CIn)
	if err != nil {
		return nil, err
	}
	file, err := s.write("nginx.conf", `
daemon off;
worker_processes {{.Workers}};
pid {{.Dir}}/nginx.pid;
error_log stderr error;
events { worker_connections 16000; }
http {
  access_log off;
  client_body_temp_path {{.Dir}}/body; proxy_temp_path {{.Dir}}/proxy;
  fastcgi_temp_path {{.Dir}}/fastcgi; uwsgi_temp_path {{.Dir}}/uwsgi; scgi_temp_path {{.Dir}}/scgi;
  keepalive_requests 1000000000; keepalive_timeout 620s; http2_max_concurrent_streams 1000;
  client_max_body_size 0; proxy_request_buffering off; proxy_max_temp_file_size 0;
  proxy_http_version 1.1; proxy_ssl_protocols TLSv1.3;
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
  proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host;
  {{range $name, $address := .Ports}}
  upstream {{$name}} { server {{call $.Upstream $name}}; keepalive 4000; keepalive_requests 1000000000; }
  server {
    listen {{$address}}{{if eq $name "tls"}} ssl{{else if eq $name "h2c-in"}} http2{{end}};
    {{if eq $name "tls"}}ssl_certificate {{$.Certificate}}; ssl_certificate_key {{$.Key}}; ssl_protocols TLSv1.3;{{end}}
    location / { proxy_pass {{if eq $name "tls"}}https{{else}}http{{end}}://{{$name}}; }
  }{{end}}
}
`, ports)
	if err != nil {
		return nil, err
	}
	c := &Contender{Name: Nginx, Version: version(path, "-v"), ports: ports}
	return c.start(s, path, "-c", file, "-p", s.Dir)
}

// StartHAProxy starts HAProxy in the same way.
func StartHAProxy(s Setup) (*Contender, error) {
	path, err := find("haproxy")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(Fast, HTTP, H2COut, Closing, TLS)
	if err != nil {
		return nil, err
	}
	var both []byte
	for _, name := range []string{s.Certificate, s.Key} {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		both = append(both, text...)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "both.pem"), both, 0o600); err != nil {
		return nil, err
	}
	file, err := s.write("haproxy.cfg", `
global
  maxconn 8000
  nbthread {{.Workers}}
  ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
  mode http
  timeout connect 5s
  timeout client 620s
  timeout server 620s
  timeout tunnel 1h
  option forwardfor
  http-reuse always
{{range $name, $address := .Ports}}
frontend {{$name}}
  bind {{$address}}{{if eq $name "tls"}} ssl crt {{$.PEM}} alpn http/1.1{{end}}
  http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  default_backend {{$name}}
backend {{$name}}
  server one {{call $.Upstream $name}} pool-max-conn -1{{if eq $name "h2c"}} proto h2{{else if eq $name "tls"}} ssl verify none{{end}}
{{end}}
`, ports)
	if err != nil {
		return nil, err
	}
	ports[H2CIn] = ports[Fast] // it recognizes HTTP/2 by its preface
	c := &Contender{Name: HAProxy, Version: version(path, "-v"), ports: ports}
	return c.start(s, path, "-db", "-f", file)
}

// StartTraefik starts a Traefik that was built from its Go module, with its
// experimental fast proxy.
func StartTraefik(s Setup, path string) (*Contender, error) {
	ports, err := freePorts(Fast, HTTP, H2COut, Closing, TLS)
	if err != nil {
		return nil, err
	}
	routes, err := s.write("traefik-routes.yaml", `
http:
  routers:
{{- range $name, $address := .Ports}}
    {{$name}}: {rule: "PathPrefix(`+"`/`"+`)", entryPoints: ["{{$name}}"], service: "{{$name}}"{{if eq $name "tls"}}, tls: {}{{end}}}
{{- end}}
  services:
{{- range $name, $address := .Ports}}
    {{$name}}: {loadBalancer: {passHostHeader: true, servers: [{url: "{{if eq $name "h2c"}}h2c{{else if eq $name "tls"}}https{{else}}http{{end}}://{{call $.Upstream $name}}"}]}}
{{- end}}
tls:
  stores: {default: {defaultCertificate: {certFile: "{{.Certificate}}", keyFile: "{{.Key}}"}}}
`, ports)
	if err != nil {
		return nil, err
	}
	file, err := s.write("traefik.yaml", `
global: {checkNewVersion: false, sendAnonymousUsage: false}
log: {level: ERROR}
experimental: {fastProxy: {}}
serversTransport: {maxIdleConnsPerHost: 20000, insecureSkipVerify: true}
providers: {file: {filename: "`+routes+`", watch: false}}
entryPoints:
{{- range $name, $address := .Ports}}
  {{$name}}: {address: "{{$address}}", transport: {respondingTimeouts: {readTimeout: 0s, idleTimeout: 620s}}}
{{- end}}
`, ports)
	if err != nil {
		return nil, err
	}
	ports[H2CIn] = ports[Fast]
	c := &Contender{Name: Traefik, Version: version(path, "version"), ports: ports}
	return c.start(s, path, "--configFile="+file)
}

// find looks for a program where Debian installs daemons, too.
func find(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/" + name)
}
