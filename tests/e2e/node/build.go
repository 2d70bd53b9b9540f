//go:build e2e

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/kedacore/http-add-on/tests/chaos/defect"
	"github.com/kedacore/http-add-on/tests/support/kedacrd"
	"github.com/kedacore/http-add-on/tests/support/release"
)

// tools are folders with what a node needs.
type tools struct {
	Kubernetes string            // the control plane, kubelet, kube-proxy, kubectl
	Containerd string            // containerd and its shim
	CoreDNS    string            // the DNS server.
	KEDA       string            // operator, adapter and webhooks.
	Images     string            // registry.
	Charts     string            // helm.
	Bin        string            // modelsim, webapp, greeter, agent and pause.
	Curl       string            // this machine's, and its sleep
	Traefik    string            // empty if it was not built
	Layouts    string            // of our images, as make image builds them.
	Defective  map[string]string // paths of our programs with a defect, by name
	Version    string            // of our images
	Chart      string
	KEDAModule string // KEDA's sources, with its manifests
}

// path are the folders in which the programs find each other.
func (t tools) path() []string { return []string{t.Kubernetes, t.Containerd} }

// images are the arguments of the registry.
func (t tools) images() []string {
	var all []string
	for _, component := range []string{"interceptor", "scaler", "operator"} {
		content := filepath.Join(t.Layouts, component)
		if program, ok := t.Defective[component]; ok {
			content = program + ":/ko-app/" + component
		}
		all = append(all, fmt.Sprintf("ghcr.io/kedacore/http-add-on-%s:%s=%s", component, t.Version, content))
	}
	for _, binary := range [][3]string{
		{"registry.k8s.io/pause:3.10.1", filepath.Join(t.Bin, "pause"), "/pause"},
		{"registry.k8s.io/coredns/coredns:v1.14.7", filepath.Join(t.CoreDNS, "coredns"), "/coredns"},
		{"ghcr.io/kedacore/keda:main", filepath.Join(t.KEDA, "operator"), "/keda"},
		{"ghcr.io/kedacore/keda-metrics-apiserver:main", filepath.Join(t.KEDA, "adapter"), "/keda-adapter"},
		{"ghcr.io/kedacore/keda-admission-webhooks:main", filepath.Join(t.KEDA, "webhooks"), "/keda-admission-webhooks"},
		{"webapp:latest", filepath.Join(t.Bin, "webapp"), "/webapp"},
		{"modelsim:latest", filepath.Join(t.Bin, "modelsim"), "/modelsim"},
		{"greeter:latest", filepath.Join(t.Bin, "greeter"), "/greeter"},
		{"agent:latest", filepath.Join(t.Bin, "agent"), "/agent"},
		// The images of the pages and examples. Ours stand in for servers; after "--", they ignore the arguments.
		{"nginxinc/nginx-unprivileged:stable", filepath.Join(t.Bin, "webapp"), "/webapp -listen=:8080"},
		{"vllm/vllm-openai:latest", filepath.Join(t.Bin, "modelsim"), "/modelsim -listen-late --"},
		{"registry.k8s.io/e2e-test-images/agnhost:2.63.0", filepath.Join(t.Bin, "greeter"), "/agnhost -listen=:5000 --"},
		{"curlimages/curl:latest", t.Curl, "/usr/bin/curl"},
		{"traefik:v3.6", t.Traefik, "/traefik"},
	} {
		if binary[1] != "" {
			all = append(all, binary[0]+"="+binary[1]+":"+binary[2])
		}
	}
	return all
}

// run runs a program in the repository, and returns what it prints.
func (n *node) run(ctx context.Context, name string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir, command.Stderr = n.root, os.Stderr
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false") // as in the Makefile
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("running %s %s: %w", filepath.Base(name), strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// install builds the tools of other projects that are missing, and prints that, because it takes a while
// with a cold cache.
func (n *node) install(ctx context.Context) (tools, error) {
	var t tools
	var err error
	for _, module := range []struct {
		folder *string
		args   []string
	}{
		{&t.Kubernetes, []string{"kubernetes", "etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "kube-scheduler", "kubelet", "kube-proxy"}},
		{&t.Containerd, []string{"containerd", "containerd", "containerd-shim-runc-v2"}},
		{&t.CoreDNS, []string{"coredns", "coredns"}},
		{&t.KEDA, []string{"keda", "operator", "adapter", "webhooks"}},
		{&t.Images, []string{"images", "image", "registry"}},
		{&t.Charts, []string{"charts", "helm"}},
	} {
		if *module.folder, err = n.run(ctx, filepath.Join(n.root, "hack/tools/install.sh"), module.args...); err != nil {
			return tools{}, err
		}
	}
	t.KEDAModule, err = kedacrd.Module(ctx)
	return t, err
}

// build builds all that is missing.
func (n *node) build(ctx context.Context) (tools, error) {
	var d defect.Defect
	if n.defect != "" {
		var err error
		if d, err = defect.Named(n.defect); err != nil {
			return tools{}, err
		}
	}
	root := n.root
	if n.defect != "" && os.Getenv("E2E_RELEASE") != "" {
		return tools{}, errors.New("a release has no defect: unset E2E_RELEASE")
	}
	run := func(name string, args ...string) (string, error) { return n.run(ctx, name, args...) }
	t, err := n.install(ctx)
	if err != nil {
		return tools{}, err
	}
	t.Bin, t.Layouts, t.Chart = filepath.Join(root, "bin/e2e-images"), filepath.Join(root, "bin/images"), filepath.Join(root, "charts/keda-add-ons-http")
	_, err = run("go", "build", "-tags=e2e", "-ldflags=-s -w", "-o", t.Bin+"/", "./examples/modelsim", "./examples/webapp", "./tests/e2e/agent", "./tests/e2e/greeter", "./tests/e2e/pause")
	if err != nil {
		return tools{}, err
	}
	var clients []string
	for _, name := range []string{"curl", "sleep"} {
		path, err := exec.LookPath(name)
		if err != nil {
			return tools{}, fmt.Errorf("finding what commands of the guides run in pods: %w", err)
		}
		clients = append(clients, path)
	}
	t.Curl = strings.Join(clients, ",")
	if traefik := filepath.Join(root, "bin/traefik"); exists(traefik) { // make bench-traefik builds it
		t.Traefik = traefik
	}
	t.Version, err = run("sed", "-n", "s/^appVersion: *//p", filepath.Join(t.Chart, "Chart.yaml"))
	if err != nil {
		return tools{}, err
	}
	folder, chart, err := release.Folder(root)
	if folder != "" || err != nil {
		t.Layouts, t.Chart = filepath.Join(folder, "images"), chart
		return t, err
	}
	platform, err := run("go", "env", "GOARCH")
	if err != nil {
		return tools{}, err
	}
	if _, err := run("env", "PLATFORMS=linux/"+platform, "hack/image.sh"); err != nil || n.defect == "" {
		return t, err
	}
	program := filepath.Join(t.Bin, "defect", d.Program)
	t.Defective = map[string]string{d.Program: program}
	return t, d.Build(ctx, root, program)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
