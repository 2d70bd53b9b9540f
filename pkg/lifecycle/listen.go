package lifecycle

import (
	"errors"
	"fmt"
	"net"
	"strconv"
)

// Port is a TCP port of a process.
type Port struct {
	// Name is for the error.
	Name string
	// Address to listen on, such as ":8080"; a port without one stays closed.
	Address string
	// Listener is set by Listen, unless it is set already.
	Listener *net.Listener
}

// Numbered is the address of a port on an IP address, on all if that is empty; or none if
// the port is not served.
func Numbered(address string, port int, served bool) string {
	if !served {
		return ""
	}
	return net.JoinHostPort(address, strconv.Itoa(port))
}

// Listen opens all ports or none: a process that finds a port taken fails before
// it serves anything. Connections wait until they are accepted.
func Listen(ports ...Port) error {
	for i, p := range ports {
		if *p.Listener != nil || p.Address == "" {
			continue
		}
		opened, err := net.Listen("tcp", p.Address)
		if err != nil {
			err = fmt.Errorf("opening the %s port: %w", p.Name, err)
			for _, before := range ports[:i] {
				if *before.Listener != nil {
					err = errors.Join(err, (*before.Listener).Close())
				}
			}
			return err
		}
		*p.Listener = opened
	}
	return nil
}
