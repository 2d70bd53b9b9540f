//go:build e2e

// Command node runs a real Kubernetes node on this machine, with everything that a cluster has. There
// is a control plane with all its controllers, and a scheduler. There are kubelet, containerd, runc, a
// CNI bridge, kube-proxy and CoreDNS. KEDA comes with its own manifests, and the add-on by its chart.
// "node up" starts it and leaves it running, "node down" ends it. "node tools" builds what is not ours.
//
// The node is in Linux namespaces (mount, PID, network, IPC, UTS, cgroup) and in a control group
// of its own. Its network leads nowhere, its writes to system folders go to memory, and everything
// else is in one folder. So nothing stays behind when its first process is killed. The API server and
// the tests' agent are reachable on ports of the machine's loopback address: the first process inside
// passes these connections on.
//
//	main.go      up and down
//	build.go     the tools and images that a node needs
//	machine.go   what this machine must have; control groups
//	files.go     configuration, keys and kubeconfigs, written before the start
//	inside.go    the first process inside: mounts, programs, the ways in
//	network.go   addresses inside
//	install.go   CoreDNS, KEDA and the add-on
//	etc          configuration files of the programs
package main
