//go:build e2e

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// container is the first container of a pod, as a path of its node's agent.
func container(pod *corev1.Pod) (string, error) {
	if len(pod.Status.ContainerStatuses) == 0 {
		return "", fmt.Errorf("%s/%s has no container", pod.Namespace, pod.Name)
	}
	return "/containers/" + filepath.Base(pod.Status.ContainerStatuses[0].ContainerID), nil // containerd://ID
}

// Signal sends a signal to the process of a pod's first container. One that ends is started again,
// as on any node.
func (c *Cluster) Signal(ctx context.Context, namespace, name string, signal syscall.Signal) error {
	pod := &corev1.Pod{}
	if err := c.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, pod); err != nil {
		return fmt.Errorf("sending %s: %w", signal, err)
	}
	path, err := container(pod)
	if err == nil {
		err = c.agents.do(ctx, pod.Spec.NodeName, http.MethodPost, path+fmt.Sprintf("/signal?number=%d", signal))
	}
	if err != nil {
		return fmt.Errorf("sending %s: %w", signal, err)
	}
	return nil
}

// Connections returns the text of /proc/net/tcp6 for the network of a pod.
func (c *Cluster) Connections(ctx context.Context, pod *corev1.Pod) (string, error) {
	path, err := container(pod)
	if err != nil {
		return "", err
	}
	response, err := c.agents.ask(ctx, pod.Spec.NodeName, http.MethodGet, path+"/proc/net/tcp6")
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return "", fmt.Errorf("reading the connections of %s: %w", pod.Name, err)
	}
	return string(text), nil
}

// Freeze stops the process of a pod's first container until thaw is called. It accepts connections
// then, and sends nothing.
func (c *Cluster) Freeze(ctx context.Context, pod *corev1.Pod) (thaw func() error, err error) {
	path, err := container(pod)
	if err != nil {
		return nil, err
	}
	signal := func(ctx context.Context, signal syscall.Signal) error {
		return c.agents.do(ctx, pod.Spec.NodeName, http.MethodPost, path+fmt.Sprintf("/signal?number=%d", signal))
	}
	if err := signal(ctx, syscall.SIGSTOP); err != nil {
		return nil, fmt.Errorf("freezing %s: %w", pod.Name, err)
	}
	return func() error { return signal(context.WithoutCancel(ctx), syscall.SIGCONT) }, nil
}

// Disposable reports whether the cluster is the node that make e2e-up starts. On any other, what an
// agent does to its node could end more than the cluster.
func (c *Cluster) Disposable() bool { return c.agents.address != "" }

// Kill ends a program of a disposable node by SIGKILL, such as "kubelet". The node starts it again.
func (c *Cluster) Kill(ctx context.Context, program string) error {
	if !c.Disposable() {
		return errNotDisposable
	}
	return c.agents.do(ctx, "", http.MethodPost, "/programs/"+program+"/kill")
}

// CutPower ends every process of a disposable node except its first one, which starts everything again.
func (c *Cluster) CutPower(ctx context.Context) error {
	if !c.Disposable() {
		return errNotDisposable
	}
	err := c.agents.do(ctx, "", http.MethodPost, "/cut")
	if errors.Is(err, errNoAnswer) { // the agent has ended too
		return nil
	}
	return err
}

var errNotDisposable = errors.New("the node is not that of make e2e-up")

// Unplug takes a running pod off the network: packets from and to it vanish until plug is called.
// A pod that is over by then needs no plug.
func (c *Cluster) Unplug(ctx context.Context, pod *corev1.Pod) (plug func() error, err error) {
	path := "/pods/" + string(pod.UID) + "/unplugged"
	if err := c.agents.do(ctx, pod.Spec.NodeName, http.MethodPut, path); err != nil {
		return nil, fmt.Errorf("unplugging %s: %w", pod.Name, err)
	}
	return func() error {
		return c.agents.do(context.WithoutCancel(ctx), pod.Spec.NodeName, http.MethodDelete, path)
	}, nil
}

// Partition has all that one pod sends to others vanish until heal is called, on
// connections that are open too. What they send arrives. The pods must be on one node, whose bridge
// connects them.
func (c *Cluster) Partition(ctx context.Context, from *corev1.Pod, to ...corev1.Pod) (heal func() error, err error) {
	query := url.Values{}
	for _, pod := range to {
		query.Add("to", pod.Status.PodIP)
	}
	path := "/pods/" + string(from.UID) + "/blackhole?" + query.Encode()
	if err := c.agents.do(ctx, from.Spec.NodeName, http.MethodPut, path); err != nil {
		return nil, fmt.Errorf("partitioning %s: %w", from.Name, err)
	}
	return func() error {
		return c.agents.do(context.WithoutCancel(ctx), from.Spec.NodeName, http.MethodDelete, path)
	}, nil
}

// Loopback sends a request to what a pod serves on its own loopback address, by port-forward.
func (c *Cluster) Loopback(namespace, pod string) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
			_, text, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			port, err := strconv.Atoi(text)
			if err != nil {
				return nil, err
			}
			t, err := newTunnel(c, namespace, pod, port)
			if err != nil {
				return nil, err
			}
			conn, err := t.dial()
			if err != nil {
				return nil, errors.Join(err, t.connection.Close())
			}
			return &only{conn, t}, nil
		},
	}}
}

// only is the one connection of a tunnel.
type only struct {
	net.Conn
	tunnel *tunnel
}

func (o *only) Close() error { return errors.Join(o.Conn.Close(), o.tunnel.connection.Close()) }
