//go:build e2e

// Package cluster runs a whole Kubernetes cluster as a tree of ordinary processes in new Linux
// namespaces. It needs no root, no container runtime, no image and no download. The components
// are real. These are etcd, kube-apiserver, kube-controller-manager, KEDA with its own manifests,
// and our components. The Helm chart installs ours, each with its own service account. Only the
// work of a node is simulated, and small:
//
//	enter.go     namespaces: the process starts itself again inside of them
//	network.go   a bridge; each pod has an address and a network namespace
//	sandbox.go   how a container's process is started: root file system, mounts
//	kubelet.go   binds pods to the one node, runs them, reports their status
//	pod.go       the life of one pod: start, probes, restarts, termination
//	podstatus.go what the API server records of it
//	probe.go     httpGet, tcpSocket and grpc probes
//	podspec.go   what a pod's specification means here: environment, volumes, images
//	services.go  cluster IPs: one TCP proxy for each port (kube-proxy)
//	dns.go       names of Services
//	controlplane.go, pki.go, process.go, keda.go, addon.go: what is started, and how
//	cluster.go   Start and Stop
//	scenario.go  what a scenario does with a cluster: apply, wait, kill, ask
//	disturb.go   crashes of the control plane, partitions, pods without a network
//
// A pod is one container. The simulation ignores resource limits (but see [Usage]), users and
// capabilities (everything is root in a user namespace). It has no exec probes, hooks, init
// containers, changes of mounted Secrets, nor kubectl logs, exec and port-forward. Logs are files
// in the run's folder.
//
// The package must not know scenarios.
package cluster
