//go:build e2e

package cluster

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// agentManifest is the agent of tests/e2e/agent, on each node.
//
//go:embed agent.yaml
var agentManifest string

const agentNamespace = "http-add-on-e2e"

// connect takes the cluster of tools.Kubeconfig as it is: KEDA must be installed, and the add-on
// is if it is not. Tests reach into it through its agents.
func (c *Cluster) connect(ctx context.Context, values []string) error {
	c.Kubeconfig = c.tools.Kubeconfig
	var err error
	if c.Config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	c.Config.QPS = -1
	if c.Client, err = newClient(c.Config); err != nil {
		return err
	}
	if c.clientset, err = kubernetes.NewForConfig(c.Config); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if _, err := c.Helm(ctx, "status", Release); err != nil {
		if err := c.installAddOn(ctx, values); err != nil {
			return err
		}
	}
	if err := c.Apply(ctx, agentNamespace, agentManifest); err != nil {
		return err
	}
	_, err = c.Kubectl(ctx, "", "rollout", "status", "--namespace="+agentNamespace, "daemonset/agent", "--timeout=2m")
	if err != nil {
		return err
	}
	c.agents = &agents{cluster: c, tunnels: map[string]*tunnel{}}
	return nil
}

// Dial connects to an address inside the cluster: that of a pod, or the name of a Service.
func (c *Cluster) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if c.agents == nil {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	return c.agents.dial(ctx, address)
}

// agents are ways into a cluster. Methods are safe for concurrent use.
type agents struct {
	cluster *Cluster
	tunnels map[string]*tunnel // by node; guarded by the cluster's lock
}

// on returns the tunnel to the agent of a node; an empty name is any node.
func (a *agents) on(ctx context.Context, node string) (*tunnel, error) {
	a.cluster.mu.Lock()
	defer a.cluster.mu.Unlock()
	if t := a.tunnels[node]; t != nil && t.open() {
		return t, nil
	}
	pods, err := a.cluster.Pods(ctx, agentNamespace, "app=agent")
	if err != nil {
		return nil, err
	}
	for _, pod := range pods {
		if node != "" && pod.Spec.NodeName != node || pod.Status.Phase != corev1.PodRunning {
			continue
		}
		t, err := newTunnel(a.cluster, pod.Name)
		if err != nil {
			return nil, err
		}
		a.tunnels[node] = t
		return t, nil
	}
	return nil, fmt.Errorf("no agent runs on the node %q", node)
}

// dial connects to an address by CONNECT.
func (a *agents) dial(ctx context.Context, address string) (net.Conn, error) {
	t, err := a.on(ctx, "")
	if err != nil {
		return nil, err
	}
	conn, err := t.dial()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := fmt.Fprintf(conn, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", address); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	r := bufio.NewReader(conn)
	response, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		if ctx.Err() == nil {
			_ = t.connection.Close() // it leads to an agent that is gone, such as one before a power cut
		}
		return nil, errors.Join(fmt.Errorf("connecting to %s through an agent: %w", address, err), context.Cause(ctx), conn.Close())
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("connecting to %s through an agent: %s", address, response.Status), conn.Close())
	}
	return &buffered{Conn: conn, r: r}, nil
}

// buffered is a connection whose first bytes have been read.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// client sends every request to the agent of a node.
func (a *agents) client(ctx context.Context, node string) (*http.Client, error) {
	t, err := a.on(ctx, node)
	if err != nil {
		return nil, err
	}
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return t.dial() },
	}}, nil
}

// ask sends a request about the first container of a pod to the agent of its node.
func (a *agents) ask(ctx context.Context, pod *corev1.Pod, method, path string) (*http.Response, error) {
	if len(pod.Status.ContainerStatuses) == 0 {
		return nil, fmt.Errorf("%s/%s has no container", pod.Namespace, pod.Name)
	}
	client, err := a.client(ctx, pod.Spec.NodeName)
	if err != nil {
		return nil, err
	}
	// containerd://ID
	id := filepath.Base(pod.Status.ContainerStatuses[0].ContainerID)
	request, err := http.NewRequestWithContext(ctx, method, "http://agent/containers/"+id+path, nil)
	if err != nil {
		return nil, fmt.Errorf("asking an agent: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking an agent: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		_ = response.Body.Close()
		return nil, fmt.Errorf("the agent answers %s for %s of %s/%s", response.Status, path, pod.Namespace, pod.Name)
	}
	return response, nil
}

// KillKubelet ends the kubelet of a node by SIGKILL. The node must start it again.
func (c *Cluster) KillKubelet(ctx context.Context) error {
	return c.agents.strike(ctx, "/kubelet/kill")
}

// CutPower ends every process of a node except its first one, which must start everything again.
func (c *Cluster) CutPower(ctx context.Context) error { return c.agents.strike(ctx, "/cut") }

// strike asks an agent for what may cost the connection to it.
func (a *agents) strike(ctx context.Context, path string) error {
	client, err := a.client(ctx, "")
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://agent"+path, nil)
	if err != nil {
		return fmt.Errorf("asking an agent: %w", err)
	}
	response, err := client.Do(request)
	if err == nil { // else what passes the answer on has ended too
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("the agent answers %s for %s", response.Status, path)
		}
	}
	return nil
}
