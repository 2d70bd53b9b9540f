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

// Kill ends a program of a node by SIGKILL, such as "kubelet". The node must start it again.
func (c *Cluster) Kill(ctx context.Context, program string) error {
	return c.strike(ctx, "/programs/"+program+"/kill")
}

// CutPower ends every process of a node except its first one, which must start everything again.
func (c *Cluster) CutPower(ctx context.Context) error { return c.strike(ctx, "/cut") }

// strike asks an agent for what may end what passes its answer on.
func (c *Cluster) strike(ctx context.Context, path string) error {
	err := c.agents.do(ctx, "", http.MethodPost, path)
	if errors.Is(err, errNoAnswer) {
		return nil
	}
	return err
}

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
// connections that are open too. What they send arrives. The pods must be on one node.
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
