//go:build e2e

package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

//go:embed coredns.yaml
var coreDNS string

// namespace is where KEDA and the add-on are installed.
const namespace = "keda"

// installer fills the cluster of a node.
type installer struct {
	node  *node
	tools tools
}

// awaitAPI waits until the API server is ready.
func (i installer) awaitAPI(ctx context.Context) error {
	return i.await(ctx, "get", "--raw=/readyz")
}

// awaitNode waits until the kubelet is ready for pods.
func (i installer) awaitNode(ctx context.Context) error {
	return i.await(ctx, "wait", "--for=condition=Ready", "node/"+nodeName, "--timeout=1s")
}

// await repeats a command of kubectl until it succeeds.
func (i installer) await(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for {
		_, err := i.kubectl(ctx, "", args...)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// applyKEDA applies the manifests of CoreDNS, and those of KEDA's module as they are.
func (i installer) applyKEDA(ctx context.Context) error {
	keda, err := i.kubectl(ctx, "", "kustomize", filepath.Join(i.tools.KEDAModule, "config/default"))
	if err != nil {
		return err
	}
	for _, manifests := range []string{coreDNS, keda} {
		if _, err := i.kubectl(ctx, manifests, "apply", "--server-side", "--filename=-"); err != nil {
			return err
		}
	}
	_, err = i.kubectl(ctx, "", "wait", "--for=condition=Established", "crd/scaledobjects.keda.sh", "--timeout=30s")
	return err
}

// installAddOn is helm install, with default values.
func (i installer) installAddOn(ctx context.Context) error {
	_, err := i.run(ctx, filepath.Join(i.tools.Charts, "helm"), "", "install", "http-add-on", i.tools.Chart, "--namespace="+namespace, "--wait", "--timeout=5m")
	return err
}

// awaitAvailable waits for all Deployments, and for KEDA's metrics.
func (i installer) awaitAvailable(ctx context.Context) error {
	for _, args := range []string{
		"--for=condition=Available deployments --all --namespace=kube-system",
		"--for=condition=Available deployments --all --namespace=" + namespace,
		"--for=condition=Available apiservice/v1beta1.external.metrics.k8s.io",
	} {
		if _, err := i.kubectl(ctx, "", append([]string{"wait", "--timeout=5m"}, strings.Fields(args)...)...); err != nil {
			return err
		}
	}
	return nil
}

func (i installer) kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	return i.run(ctx, filepath.Join(i.tools.Kubernetes, "kubectl"), stdin, args...)
}

func (i installer) run(ctx context.Context, program, stdin string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, program, args...)
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(stdin), &stdout, &stderr
	command.Env = append(os.Environ(), "KUBECONFIG="+i.node.kubeconfig(), "KUBECACHEDIR="+i.node.file("kubectl"), "HELM_CACHE_HOME="+i.node.file("helm"))
	if err := command.Run(); err != nil {
		return "", errors.Join(fmt.Errorf("running %s %s: %w", filepath.Base(program), strings.Join(args, " "), err), errors.New(stderr.String()))
	}
	return stdout.String(), nil
}
