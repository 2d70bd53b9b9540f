//go:build e2e

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// Crash kills a part of the control plane, such as "kube-apiserver", and starts it again
// after a pause.
func (c *Cluster) Crash(ctx context.Context, name string, pause time.Duration) error {
	for _, p := range c.processes {
		if p.name == name {
			return p.crash(ctx, pause)
		}
	}
	return fmt.Errorf("no %s runs", name)
}

// Unplug takes a running pod off the network: packets from and to it vanish until plug is called.
// A pod that is over by then needs no plug.
func (c *Cluster) Unplug(namespace, pod string) (plug func() error, err error) {
	p := c.kubelet.find(namespace, pod)
	if p == nil {
		return nil, fmt.Errorf("unplugging: no pod %s/%s runs", namespace, pod)
	}
	set := func(link func(netlink.Link) error) error {
		return p.onNetwork(func(n *podNetwork) error {
			cable, err := netlink.LinkByName(n.link)
			if err != nil {
				return err
			}
			return link(cable)
		})
	}
	if err := set(netlink.LinkSetDown); err != nil {
		return nil, fmt.Errorf("unplugging %s: %w", pod, err)
	}
	return func() error {
		if c.kubelet.find(namespace, pod) != p {
			return nil
		}
		return set(netlink.LinkSetUp)
	}, nil
}

// nowhere is the address of no network card.
var nowhere = net.HardwareAddr{0x02, 0, 0, 0, 0, 1}

// Partition has all that one pod sends to others vanish until heal is called, on
// connections that are open too. What they send arrives.
func (c *Cluster) Partition(from corev1.Pod, to ...corev1.Pod) (heal func() error, err error) {
	p := c.kubelet.find(from.Namespace, from.Name)
	if p == nil {
		return nil, fmt.Errorf("partitioning: no pod %s/%s runs", from.Namespace, from.Name)
	}
	each := func(change func(*netlink.Handle, *netlink.Neigh) error) error {
		return p.onNetwork(func(n *podNetwork) error {
			inside, err := netlink.NewHandleAt(n.namespace)
			if err != nil {
				return err
			}
			defer inside.Close()
			eth0, err := inside.LinkByName("eth0")
			if err != nil {
				return err
			}
			var errs error
			for _, pod := range to {
				errs = errors.Join(errs, change(inside, &netlink.Neigh{
					LinkIndex: eth0.Attrs().Index, State: netlink.NUD_PERMANENT,
					IP: net.ParseIP(pod.Status.PodIP), HardwareAddr: nowhere,
				}))
			}
			return errs
		})
	}
	if err := each((*netlink.Handle).NeighSet); err != nil {
		return nil, fmt.Errorf("partitioning %s: %w", from.Name, err)
	}
	return func() error { return each((*netlink.Handle).NeighDel) }, nil
}

// Loopback is a client of what a pod serves on its own loopback address.
func (c *Cluster) Loopback(namespace, pod string) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			p := c.kubelet.find(namespace, pod)
			if p == nil {
				return nil, fmt.Errorf("connecting to %s: no pod %s/%s runs", address, namespace, pod)
			}
			var namespace netns.NsHandle
			err = p.onNetwork(func(n *podNetwork) error {
				// A copy: connecting may take long, and the pod may end meanwhile.
				copied, err := unix.FcntlInt(uintptr(n.namespace), unix.F_DUPFD_CLOEXEC, 0)
				namespace = netns.NsHandle(copied)
				return err
			})
			if err != nil {
				return nil, err
			}
			defer func() { _ = namespace.Close() }()
			err = onOwnThread(func() error {
				if err := netns.Set(namespace); err != nil {
					return err
				}
				conn, err = (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, network, address)
				return err
			})
			return conn, err
		},
	}}
}
