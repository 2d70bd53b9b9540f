//go:build e2e

// Package cluster is a Kubernetes cluster that tests use: that of a kubeconfig. A node of tests/e2e/node
// is one, and any other with KEDA may be.
//
//	cluster.go   Connect
//	addon.go     the add-on's release, kubectl, helm
//	scenario.go  what a scenario does with a cluster: apply, wait, ask
//	agents.go    the way into the cluster, through a pod on each node (tests/e2e/agent)
//	tunnel.go    port-forward, the way to an agent
//	disturb.go   signals, killed programs of a node, partitions, pods without a network
//
// The package must not know scenarios.
package cluster
