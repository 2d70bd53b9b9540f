//go:build e2e

package main

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
)

// Addresses. Those of the kubelet, of pods and of the DNS Service are in etc.
const (
	nodeName       = "node"
	nodeAddress    = "172.31.255.2"
	nobodyAddress  = "172.31.255.1"
	apiPort        = "6443"
	agentPort      = "30950" // of the Service in tests/e2e/cluster/agent.yaml
	serviceNetwork = "10.96.0.0/16"
	apiServiceIP   = "10.96.0.1"
)

// wall is the end of the cable that nobody is at.
const wall = "wall"

// doors are what this machine reaches, each at a port of its loopback address.
var doors = []string{net.JoinHostPort(nodeAddress, apiPort), net.JoinHostPort(nodeAddress, agentPort)}

// setUpNetwork makes eth0, a cable whose other end nobody is at, with the default route that the
// kubelet wants. The CNI plugin makes the pods' bridge.
func setUpNetwork() error {
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding the loopback device: %w", err)
	}
	address, err := netlink.ParseAddr(nodeAddress + "/24")
	if err != nil {
		return fmt.Errorf("reading the address of the node: %w", err)
	}
	eth0 := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: wall}
	eth0.Name = "eth0"
	if err := netlink.LinkAdd(eth0); err != nil {
		return fmt.Errorf("making eth0: %w", err)
	}
	end, err := netlink.LinkByName(wall)
	if err != nil {
		return fmt.Errorf("making eth0: %w", err)
	}
	err = errors.Join(netlink.LinkSetUp(loopback), netlink.AddrAdd(eth0, address), netlink.LinkSetUp(eth0), netlink.LinkSetUp(end))
	if err == nil {
		err = netlink.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: net.ParseIP(nobodyAddress)})
	}
	if err != nil {
		return fmt.Errorf("setting up the network: %w", err)
	}
	for _, setting := range []string{"net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables"} {
		if err := os.WriteFile("/proc/sys/"+setting, []byte("1"), 0o644); err != nil {
			return fmt.Errorf("setting up the network: %w", err)
		}
	}
	return nil
}
