//go:build e2e

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/tests/support/controlplane"
	"github.com/kedacore/http-add-on/tests/support/release"
)

// KubeconfigVariable is the environment variable that names the kubeconfig of a cluster to test on.
const KubeconfigVariable = "E2E_KUBECONFIG"

// Namespace is where KEDA and the add-on are installed.
const Namespace = "keda"

// Proxy is the host and port at which requests enter the cluster: the interceptors'
// Service.
const Proxy = "keda-add-ons-http-interceptor-proxy.keda.svc.cluster.local:8080"

// Options of a cluster.
type Options struct {
	// Folder keeps what the run writes. It must exist.
	Folder string
	// Values are settings of the chart, as for helm --set. With any, a release that is there gets them.
	Values []string
	// Out gets a line for each step.
	Out io.Writer
}

// Cluster is a running cluster. It is safe for concurrent use.
type Cluster struct {
	// Client is the administrator's; it knows the kinds of Kubernetes and of this
	// project, and any other as unstructured.Unstructured.
	Client client.Client
	// Config is the administrator's.
	Config *rest.Config
	// Kubeconfig is the path of a file with the same identity.
	Kubeconfig string
	// HTTP sends each request to the interceptors, whatever host its URL names.
	HTTP *http.Client
	// Folder keeps what the run writes.
	Folder string

	root, chart   string // of the repository
	kubectl, helm string // paths
	out           io.Writer
	clientset     kubernetes.Interface
	agents        *agents
}

// Connect connects to the cluster of E2E_KUBECONFIG, which must have KEDA. It installs the add-on if
// it is not there, and returns when all is available.
func Connect(ctx context.Context, options Options) (*Cluster, error) {
	kubeconfig := os.Getenv(KubeconfigVariable)
	if kubeconfig == "" {
		return nil, errors.New(KubeconfigVariable + " does not name the kubeconfig of a cluster: make e2e and make chaos start one, see tests/e2e/README.md")
	}
	c := &Cluster{Folder: options.Folder, Kubeconfig: kubeconfig, out: options.Out}
	c.HTTP = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return c.Dial(ctx, network, Proxy)
		},
		DisableCompression: true,
	}}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"kubectl and helm", c.findTools},
		{"clients", func(context.Context) error { return c.makeClients() }},
		{"the add-on's chart", func(ctx context.Context) error { return c.install(ctx, options.Values) }},
		{"agents", c.startAgents},
		{"everything available", c.AwaitInstalled},
	} {
		started := time.Now()
		if err := step.do(ctx); err != nil {
			return nil, fmt.Errorf("connecting to the cluster: %s: %w", step.name, err)
		}
		c.Progress("%-22s %5.1f s", step.name, time.Since(started).Seconds())
	}
	return c, nil
}

// findTools builds kubectl and helm, if they are not built yet.
func (c *Cluster) findTools(ctx context.Context) error {
	var err error
	if c.root, err = controlplane.Root(); err != nil {
		return err
	}
	folder, chart, err := release.Folder(c.root)
	if err != nil {
		return err
	}
	if c.chart = chart; folder == "" {
		c.chart = filepath.Join(c.root, "charts/keda-add-ons-http")
	}
	for _, tool := range []struct {
		path         *string
		module, name string
	}{{&c.kubectl, "kubernetes", "kubectl"}, {&c.helm, "charts", "helm"}} {
		command := exec.CommandContext(ctx, filepath.Join(c.root, "hack/tools/install.sh"), tool.module, tool.name)
		command.Stderr = os.Stderr
		out, err := command.Output()
		if err != nil {
			return fmt.Errorf("building %s: %w", tool.name, err)
		}
		*tool.path = filepath.Join(strings.TrimSpace(string(out)), tool.name)
	}
	return nil
}

func (c *Cluster) makeClients() error {
	var err error
	if c.Config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	c.Config.QPS = -1
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, v1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			return fmt.Errorf("registering kinds: %w", err)
		}
	}
	if c.Client, err = client.New(c.Config, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if c.clientset, err = kubernetes.NewForConfig(c.Config); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	return nil
}

// Progress prints a line.
func (c *Cluster) Progress(format string, args ...any) {
	_, _ = fmt.Fprintf(c.out, "  "+format+"\n", args...)
}

// AuditLog is the path of what our components asked the API server for, a JSON object a line. Only
// the node that make e2e starts has it, beside its kubeconfig.
func (c *Cluster) AuditLog() string { return filepath.Join(filepath.Dir(c.Kubeconfig), "audit.log") }
