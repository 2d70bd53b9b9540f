package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// inNetwork calls do with the links of a process's network.
func inNetwork(pid int, do func(*netlink.Handle) error) error {
	network, err := netns.GetFromPid(pid)
	if err != nil {
		return fmt.Errorf("opening the network of process %d: %w", pid, err)
	}
	defer func() { _ = network.Close() }()
	links, err := netlink.NewHandleAt(network)
	if err != nil {
		return fmt.Errorf("opening the network of process %d: %w", pid, err)
	}
	defer links.Close()
	return do(links)
}

// inPod calls do with the links of a pod's network. Its pause container holds that for the pod's life.
func inPod(uid string, do func(*netlink.Handle) error) error {
	pid, err := process(uid, func(int) bool { return true })
	if err != nil {
		return err
	}
	return inNetwork(pid, do)
}

// plug sets the node's end of a pod's cable up or down. On the pod's own end, routes would be lost.
func plug(uid string, up bool) error {
	var end int
	err := inPod(uid, func(pod *netlink.Handle) error {
		eth0, err := pod.LinkByName("eth0")
		if err == nil {
			end = eth0.Attrs().ParentIndex
		}
		return err
	})
	if err != nil {
		return err
	}
	return inNetwork(1, func(node *netlink.Handle) error {
		cable, err := node.LinkByIndex(end)
		if err != nil {
			return err
		}
		if up {
			return node.LinkSetUp(cable)
		}
		return node.LinkSetDown(cable)
	})
}

// nowhere is the address of no network card.
var nowhere = net.HardwareAddr{0x02, 0, 0, 0, 0, 1}

// blackhole sends a pod's packets for some addresses to nowhere, on connections that are open too.
func blackhole(r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return err
	}
	return inPod(r.PathValue("uid"), func(pod *netlink.Handle) error {
		eth0, err := pod.LinkByName("eth0")
		if err != nil {
			return err
		}
		change := pod.NeighSet
		if r.Method == http.MethodDelete {
			change = pod.NeighDel
		}
		var neighbors []*netlink.Neigh
		for _, to := range r.Form["to"] {
			neighbors = append(neighbors, &netlink.Neigh{
				LinkIndex: eth0.Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.ParseIP(to), HardwareAddr: nowhere,
			})
		}
		var errs error
		for _, neighbor := range neighbors {
			errs = errors.Join(errs, change(neighbor))
		}
		if errs != nil && r.Method == http.MethodPut { // all or none
			for _, neighbor := range neighbors {
				_ = pod.NeighDel(neighbor)
			}
		}
		return errs
	})
}
