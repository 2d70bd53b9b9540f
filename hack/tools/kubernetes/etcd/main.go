// Command etcd is the etcd server, built from its Go module so that no machine
// needs a download site to run a real control plane.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
