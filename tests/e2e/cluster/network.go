//go:build e2e

package cluster

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Addresses. The node (this side of the bridge) has apiAddress, and pods follow it. Cluster IPs
// are local to the node, which all pods use as their gateway.
const (
	apiAddress     = "10.250.0.1"
	podNetworkBits = 16
	serviceNetwork = "10.251.0.0/16"
	apiServiceIP   = "10.251.0.1"
	dnsServiceIP   = "10.251.0.10"
	bridgeName     = "cluster"
)

// firstPodAddress is that of the first pod: no address is given out twice.
func firstPodAddress() netip.Addr { return netip.AddrFrom4([4]byte{10, 250, 1, 1}) }

// setUpNetwork makes the node's side of the network, in the namespace of this process. It also
// makes names resolve by the cluster's DNS, in this process too.
func setUpNetwork(folder string) error {
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding the loopback device: %w", err)
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
	bridge.Name = bridgeName
	// Without an address, it takes the lowest of its ports': neighbors would lose it when pods
	// come and go.
	bridge.HardwareAddr = net.HardwareAddr{0x02, 0, 10, 250, 0, 1}
	services, err := netlink.ParseIPNet(serviceNetwork)
	if err != nil {
		return fmt.Errorf("reading the network of Services: %w", err)
	}
	address, err := netlink.ParseAddr(fmt.Sprintf("%s/%d", apiAddress, podNetworkBits))
	if err != nil {
		return fmt.Errorf("reading the address of the node: %w", err)
	}
	err = errors.Join(
		netlink.LinkSetUp(loopback),
		netlink.LinkAdd(bridge),
		netlink.AddrAdd(bridge, address),
		netlink.LinkSetUp(bridge),
		netlink.RouteAdd(&netlink.Route{
			LinkIndex: loopback.Attrs().Index, Dst: services,
			Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST,
		}),
	)
	if err != nil {
		return fmt.Errorf("setting up the network: %w", err)
	}
	resolver := filepath.Join(folder, "resolv.conf")
	if err := os.WriteFile(resolver, resolvConf("default"), 0o644); err != nil {
		return fmt.Errorf("writing resolv.conf: %w", err)
	}
	target, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil {
		return fmt.Errorf("finding resolv.conf: %w", err)
	}
	if err := unix.Mount(resolver, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting resolv.conf: %w", err)
	}
	return nil
}

// podNetwork is the network namespace of one pod.
type podNetwork struct {
	address   netip.Addr
	namespace netns.NsHandle
	link      string // the node's end of the cable
}

// newPodNetwork connects a new network namespace to the bridge.
func newPodNetwork(address netip.Addr) (*podNetwork, error) {
	p := &podNetwork{address: address, namespace: netns.None()}
	bytes := address.As4()
	p.link = fmt.Sprintf("pod%d-%d", bytes[2], bytes[3])
	err := onOwnThread(func() (err error) {
		p.namespace, err = netns.New()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("making a network namespace: %w", err)
	}
	if err := p.connect(); err != nil {
		return nil, errors.Join(fmt.Errorf("connecting a network namespace: %w", err), p.close())
	}
	return p, nil
}

func (p *podNetwork) connect() error {
	bridge, err := netlink.LinkByName(bridgeName)
	if err != nil {
		return err
	}
	cable := &netlink.Veth{
		LinkAttrs:     netlink.NewLinkAttrs(),
		PeerName:      "eth0",
		PeerNamespace: netlink.NsFd(p.namespace),
	}
	cable.Name, cable.MasterIndex = p.link, bridge.Attrs().Index
	if err := errors.Join(netlink.LinkAdd(cable), netlink.LinkSetUp(cable)); err != nil {
		return err
	}
	pod, err := netlink.NewHandleAt(p.namespace)
	if err != nil {
		return err
	}
	defer pod.Close()
	loopback, err := pod.LinkByName("lo")
	if err != nil {
		return err
	}
	eth0, err := pod.LinkByName("eth0")
	if err != nil {
		return err
	}
	address, err := netlink.ParseAddr(fmt.Sprintf("%s/%d", p.address, podNetworkBits))
	if err != nil {
		return err
	}
	return errors.Join(
		pod.LinkSetUp(loopback),
		pod.AddrAdd(eth0, address),
		pod.LinkSetUp(eth0),
		pod.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: net.ParseIP(apiAddress)}),
	)
}

// close removes the namespace and the cable, once no process is left in it.
func (p *podNetwork) close() error {
	var err error
	if cable, notFound := netlink.LinkByName(p.link); notFound == nil {
		err = netlink.LinkDel(cable) // first: the end of the namespace would be the end of it
	}
	err = errors.Join(err, p.namespace.Close())
	if err != nil {
		return fmt.Errorf("removing the network of %s: %w", p.address, err)
	}
	return nil
}

// onOwnThread calls f on a thread that ends with it. Namespaces that f enters affect no other
// thread, and a process that f starts inherits them.
func onOwnThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot end, and its namespaces are those of the process.
			result <- onOwnThread(f)
			runtime.UnlockOSThread()
			return
		}
		result <- f() // still locked: the thread ends
	}()
	return <-result
}
