//go:build e2e

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Chart returns the path of the add-on's chart.
func (c *Cluster) Chart() string { return c.chart }

// Root returns the path of the repository.
func (c *Cluster) Root() string { return c.root }

// Path returns the folders of kubectl and helm, as in the environment variable PATH.
func (c *Cluster) Path() string { return filepath.Dir(c.kubectl) + ":" + filepath.Dir(c.helm) }

// Release is the name of the add-on's release.
const Release = "http-add-on"

// install installs the add-on, or gives it other values.
func (c *Cluster) install(ctx context.Context, values []string) error {
	if _, err := c.Helm(ctx, "status", Release); err == nil && len(values) == 0 {
		return nil
	}
	args := []string{"upgrade", "--install", "--reset-values", Release, c.chart}
	for _, value := range values {
		args = append(args, "--set", value)
	}
	_, err := c.Helm(ctx, args...)
	return err
}

// Reset gives the add-on its default values.
func (c *Cluster) Reset(ctx context.Context) error {
	_, err := c.Helm(ctx, "upgrade", "--install", "--reset-values", Release, c.chart)
	if err != nil {
		return err
	}
	return c.AwaitInstalled(ctx)
}

// AwaitInstalled waits until the Deployments of KEDA and the add-on are rolled out and
// available, and KEDA's metrics too.
func (c *Cluster) AwaitInstalled(ctx context.Context) error {
	err := c.Eventually(ctx, "the Deployments of "+Namespace, 2*time.Minute, func(ctx context.Context) (bool, error) {
		var list appsv1.DeploymentList
		if err := c.Client.List(ctx, &list, client.InNamespace(Namespace)); err != nil {
			return false, err
		}
		for _, d := range list.Items {
			want, have := *d.Spec.Replicas, d.Status
			if have.ObservedGeneration != d.Generation || have.Replicas != want || have.UpdatedReplicas != want || have.AvailableReplicas != want {
				return false, fmt.Errorf("%s: %d of %d available", d.Name, have.AvailableReplicas, want)
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	_, err = c.Kubectl(ctx, "", "wait", "--for=condition=Available", "apiservice/v1beta1.external.metrics.k8s.io", "--timeout=60s")
	return err
}

// Helm runs helm as the administrator, in the add-on's namespace, and returns what it
// wrote to its standard output.
func (c *Cluster) Helm(ctx context.Context, args ...string) (string, error) {
	args = append(args, "--namespace", Namespace, "--kubeconfig", c.Kubeconfig)
	return c.command(ctx, "", c.helm, args...)
}

// Kubectl runs kubectl as the administrator with the given standard input, and returns
// what it wrote to its standard output.
func (c *Cluster) Kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	return c.command(ctx, stdin, c.kubectl, append([]string{"--kubeconfig", c.Kubeconfig}, args...)...)
}

// command runs a program; the error of a failed one has what it wrote to its standard
// error.
func (c *Cluster) command(ctx context.Context, stdin, program string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, program, args...)
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(stdin), &stdout, &stderr
	command.Env = append(os.Environ(), "HELM_CACHE_HOME="+filepath.Join(c.Folder, "helm"), "KUBECACHEDIR="+filepath.Join(c.Folder, "kubectl"))
	if err := command.Run(); err != nil {
		return stdout.String(), fmt.Errorf("running %s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}
