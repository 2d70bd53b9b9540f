//go:build e2e

package cluster

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// agentManifest is the agent of tests/e2e/agent, on each node.
//
//go:embed agent.yaml
var agentManifest string

const agentNamespace = "http-add-on-e2e"

// startAgents runs an agent on each node. Tests reach into the cluster through them.
func (c *Cluster) startAgents(ctx context.Context) error {
	if err := c.Apply(ctx, agentNamespace, agentManifest); err != nil {
		return err
	}
	_, err := c.Kubectl(ctx, "", "rollout", "status", "--namespace="+agentNamespace, "daemonset/agent", "--timeout=2m")
	if err != nil {
		return err
	}
	address, err := os.ReadFile(filepath.Join(filepath.Dir(c.Kubeconfig), "agent"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the address of the agent: %w", err)
	}
	c.agents = &agents{cluster: c, address: strings.TrimSpace(string(address)), tunnels: map[string]*tunnel{}}
	return nil
}

// Dial connects to an address inside the cluster: that of a pod, or the name of a Service.
func (c *Cluster) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.agents.reach(ctx, "")
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
			c.agents.forget("") // it leads to an agent that is gone, such as one before a power cut
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

// agents are ways into a cluster. Methods are safe for concurrent use.
type agents struct {
	cluster *Cluster
	// address is where this machine reaches the only agent. The node that make e2e starts has one, in
	// the file agent beside its kubeconfig. It serves while the API server is away.
	address string
	mu      sync.Mutex
	tunnels map[string]*tunnel // by node; guarded by mu
}

// reach opens a connection to the agent of a node; an empty name is any node.
func (a *agents) reach(ctx context.Context, node string) (net.Conn, error) {
	if a.address != "" {
		return (&net.Dialer{}).DialContext(ctx, "tcp", a.address)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if t := a.tunnels[node]; t != nil && t.open() {
		return t.dial()
	}
	pods, err := a.cluster.Pods(ctx, agentNamespace, "app=agent")
	if err != nil {
		return nil, err
	}
	for _, pod := range pods {
		if node != "" && pod.Spec.NodeName != node || pod.Status.Phase != corev1.PodRunning {
			continue
		}
		t, err := newTunnel(a.cluster, agentNamespace, pod.Name, agentPort)
		if err != nil {
			return nil, err
		}
		a.tunnels[node] = t
		return t.dial()
	}
	return nil, fmt.Errorf("no agent runs on the node %q", node)
}

// forget closes the tunnel to the agent of a node.
func (a *agents) forget(node string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t := a.tunnels[node]; t != nil {
		_ = t.connection.Close()
	}
}

// errNoAnswer is that of an agent that was asked.
var errNoAnswer = errors.New("no answer")

// ask sends a request to the agent of a node. Any status except 200 is an error.
func (a *agents) ask(ctx context.Context, node, method, path string) (*http.Response, error) {
	conn, err := a.reach(ctx, node)
	if err != nil {
		return nil, fmt.Errorf("asking an agent: %w", err)
	}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}}
	request, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, nil)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("asking an agent: %w", err), conn.Close())
	}
	response, err := client.Do(request)
	if err != nil {
		a.forget(node)
		return nil, errors.Join(fmt.Errorf("asking an agent: %w: %w", errNoAnswer, err), conn.Close())
	}
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10)) // the status says enough
		_ = response.Body.Close()
		return nil, fmt.Errorf("the agent answers %s for %s %s: %s", response.Status, method, path, text)
	}
	return response, nil
}

// do is ask without a use for the answer.
func (a *agents) do(ctx context.Context, node, method, path string) error {
	response, err := a.ask(ctx, node, method, path)
	if err != nil {
		return err
	}
	return response.Body.Close()
}
