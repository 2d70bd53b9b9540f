//go:build e2e

package cluster

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kedacore/http-add-on/operator/apis/http/v1alpha1"
	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
	"github.com/kedacore/http-add-on/tests/e2e/pki"
)

// Namespace is where KEDA and the add-on are installed.
const Namespace = "keda"

// Proxy is the host and port at which requests enter the cluster: the interceptors'
// Service.
const Proxy = "keda-add-ons-http-interceptor-proxy.keda.svc.cluster.local:8080"

// Options of a cluster.
type Options struct {
	// Folder keeps everything: logs, audit.log, kubeconfig. It must exist.
	Folder string
	// Values are settings of the chart, as for helm --set.
	Values []string
	// Programs replaces our programs of the same name, such as "scaler".
	Programs map[string]string
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
	// Folder keeps what the run writes, and of a cluster of processes logs, audit.log and kubeconfig.
	Folder string

	tools      Tools
	programs   map[string]string
	out        io.Writer
	authority  *pki.Authority
	clientset  kubernetes.Interface
	kubelet    *kubelet
	processes  []*process
	agents     *agents // of a cluster that is not made of processes, else nil
	mu         sync.Mutex
	background context.Context // of everything that runs in this process
	cancel     context.CancelFunc
}

// Start starts a cluster with KEDA and the add-on in it and returns when all is
// available. It must be called inside (see [Run]), and once. If the tools name a kubeconfig, it
// starts nothing, and connects to that cluster.
func Start(ctx context.Context, tools Tools, options Options) (*Cluster, error) {
	authority, err := pki.NewAuthority()
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		Folder: options.Folder, Kubeconfig: filepath.Join(options.Folder, "kubeconfig"),
		tools: tools, programs: options.Programs, out: options.Out, authority: authority,
	}
	c.HTTP = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return c.Dial(ctx, network, Proxy)
		},
		DisableCompression: true,
	}}
	c.background, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	type step struct {
		name string
		do   func(context.Context) error
	}
	steps := []step{
		{"network", func(context.Context) error { return setUpNetwork(c.Folder) }},
		{"control plane", c.startControlPlane},
		{"node", c.startNode},
		{"KEDA's objects", c.installKEDA},
		{"the add-on's chart", func(ctx context.Context) error { return c.installAddOn(ctx, options.Values) }},
		{"everything available", c.AwaitInstalled},
	}
	if tools.Kubeconfig != "" {
		steps = []step{
			{"connected", func(ctx context.Context) error { return c.connect(ctx, options.Values) }},
			{"everything available", c.AwaitInstalled},
		}
	}
	for _, step := range steps {
		started := time.Now()
		if err := step.do(ctx); err != nil {
			c.Stop()
			return nil, fmt.Errorf("starting the cluster: %s: %w", step.name, err)
		}
		c.Progress("%-22s %5.1f s", step.name, time.Since(started).Seconds())
	}
	return c, nil
}

// Stop ends everything, at once.
func (c *Cluster) Stop() {
	c.cancel()
	c.HTTP.CloseIdleConnections()
	if c.kubelet != nil {
		c.kubelet.running.Wait()
	}
	for i := len(c.processes) - 1; i >= 0; i-- {
		c.processes[i].stop()
	}
}

// Progress prints a line.
func (c *Cluster) Progress(format string, args ...any) {
	_, _ = fmt.Fprintf(c.out, "  "+format+"\n", args...)
}

// run starts a program of the control plane.
func (c *Cluster) run(name, program string, args ...string) error {
	logs := filepath.Join(c.Folder, "logs")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return fmt.Errorf("making the folder of the logs: %w", err)
	}
	p, err := start(logs, name, program, args...)
	if err != nil {
		return err
	}
	c.processes = append(c.processes, p)
	return nil
}

// healthy is an error if a part of the control plane has ended.
func (c *Cluster) healthy() error {
	for _, p := range c.processes {
		if err := p.failure(); err != nil {
			return err
		}
	}
	return nil
}

// AuditLog is the path of what our components asked the API server for, a JSON object a line. Only
// a cluster that we started has it, beside its kubeconfig.
func (c *Cluster) AuditLog() string { return filepath.Join(filepath.Dir(c.Kubeconfig), "audit.log") }

func newClient(config *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, v1beta1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("registering kinds: %w", err)
		}
	}
	made, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return made, nil
}
