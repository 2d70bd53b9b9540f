package process

import (
	"fmt"
	"hash/fnv"
	"net"
	"strconv"
)

// lease is the address that a replica has while it exists.
type lease struct {
	host  string
	ports map[int32]int32 // container port → port on host
	claim net.Listener    // nil where the ports alone tell replicas apart
}

func (l *lease) release() {
	if l.claim != nil {
		_ = l.claim.Close()
	}
}

// address is "host:port" of a container port.
func (l *lease) address(containerPort int32) string {
	port, ok := l.ports[containerPort]
	if !ok {
		port = containerPort
	}
	return net.JoinHostPort(l.host, strconv.Itoa(int(port)))
}

// leaser gives each replica an address.
type leaser func(replica string, containerPorts []int32) (*lease, error)

// leaserFor chooses by operating system: only Linux answers on all of
// 127.0.0.0/8 without set-up.
func leaserFor(goos string) leaser {
	if goos == "linux" {
		return leaseAddress
	}
	return leasePorts
}

const (
	firstThird = 16 // 127.0.16.1 … 127.0.254.254: systems use names below
	thirds     = 255 - firstThird
	fourths    = 254
)

// leaseAddress takes 127.0.x.y by the hash of the replica's name. It is the same one in every
// run, unless another replica of any program on this machine has it. The claim is an abstract
// Unix socket. It lives in the network namespace, as loopback addresses do, and ends with us
// however we end.
func leaseAddress(replica string, containerPorts []int32) (*lease, error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(replica))
	start := int(h.Sum32() % (thirds * fourths))
	var firstErr error
	for i := range 256 {
		n := (start + i) % (thirds * fourths)
		host := fmt.Sprintf("127.0.%d.%d", firstThird+n/fourths, 1+n%fourths)
		claim, err := net.Listen("unix", "@http-add-on/standalone/"+host)
		if err == nil {
			return &lease{host: host, ports: same(containerPorts), claim: claim}, nil
		}
		if firstErr == nil {
			firstErr = err
		}
	}
	return nil, fmt.Errorf("claiming a loopback address: %w", firstErr)
}

func same(containerPorts []int32) map[int32]int32 {
	ports := make(map[int32]int32, len(containerPorts))
	for _, port := range containerPorts {
		ports[port] = port
	}
	return ports
}

// leasePorts takes free ports of 127.0.0.1. Another program may take one before the replica's
// program listens. The replica then fails to start, and its next attempt has other ports.
func leasePorts(_ string, containerPorts []int32) (*lease, error) {
	ports := make(map[int32]int32, len(containerPorts))
	for _, port := range containerPorts {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("finding a free port: %w", err)
		}
		defer func() { _ = l.Close() }() // all at the end, so that they differ
		ports[port] = int32(l.Addr().(*net.TCPAddr).Port)
	}
	return &lease{host: "127.0.0.1", ports: ports}, nil
}
