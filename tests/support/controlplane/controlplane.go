// Package controlplane starts a real etcd and kube-apiserver for tests, with the
// CustomResourceDefinitions of this project installed. It downloads nothing but
// Go modules, and runs no controller: objects do what the test makes them do.
//
// One control plane serves a whole suite: it takes a few seconds to start.
package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/kedacore/http-add-on/config/crd"
)

// ControlPlane is a running etcd and kube-apiserver. It is safe for concurrent use.
type ControlPlane struct {
	// Config is that of an administrator, with generous client-side rate limits.
	Config *rest.Config
	// Kubeconfig is the path of a file with the same identity.
	Kubeconfig string
	// KubectlPath is the path of a kubectl of the same version.
	KubectlPath string

	environment *envtest.Environment
}

// Start starts a control plane and keeps its kubeconfig in the folder dir, which
// must exist. The binaries come from KUBEBUILDER_ASSETS if that is set, else
// from hack/tools, which builds those that the machine does not have yet. The
// caller must Stop it; ctx bounds building the binaries only.
func Start(ctx context.Context, dir string) (*ControlPlane, error) {
	assets, err := binaries(ctx)
	if err != nil {
		return nil, err
	}
	definitions, err := crd.Definitions()
	if err != nil {
		return nil, err
	}
	existing := false
	environment := &envtest.Environment{
		BinaryAssetsDirectory: assets,
		CRDs:                  definitions,
		UseExistingCluster:    &existing,
		// 20 seconds are too short on a machine that builds something else.
		ControlPlaneStartTimeout: 2 * time.Minute,
	}
	config, err := environment.Start()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the control plane: %w", err), environment.Stop())
	}
	cluster := &ControlPlane{
		Config:      config,
		Kubeconfig:  filepath.Join(dir, "kubeconfig"),
		KubectlPath: filepath.Join(assets, "kubectl"),
		environment: environment,
	}
	if err := os.WriteFile(cluster.Kubeconfig, environment.KubeConfig, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("writing the kubeconfig: %w", err), environment.Stop())
	}
	return cluster, nil
}

// Stop stops the control plane and removes its data.
func (c *ControlPlane) Stop() error {
	if err := c.environment.Stop(); err != nil {
		return fmt.Errorf("stopping the control plane: %w", err)
	}
	return nil
}

// Kubectl runs kubectl as the administrator with the given standard input, and returns its
// standard output. The error of a failed command contains its standard error.
func (c *ControlPlane) Kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, c.KubectlPath, append([]string{"--kubeconfig", c.Kubeconfig}, args...)...)
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := command.Run(); err != nil {
		return stdout.String(), fmt.Errorf("running kubectl %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// binaries returns the folder that holds etcd, kube-apiserver and kubectl.
func binaries(ctx context.Context) (string, error) {
	if assets := os.Getenv("KUBEBUILDER_ASSETS"); assets != "" {
		return assets, nil
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	command := exec.CommandContext(ctx, filepath.Join(root, "hack/tools/install.sh"), "kubernetes", "etcd", "kube-apiserver", "kubectl")
	command.Stderr = os.Stderr
	folder, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("installing the control plane's binaries: %w", err)
	}
	return strings.TrimSpace(string(folder)), nil
}

// Root returns the root folder of the repository that the working folder is in.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the root of the repository: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "hack/tools/install.sh")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("finding the root of the repository: the working folder is not inside it")
		}
		dir = parent
	}
}
