// Package listen makes the listeners that tests serve on: on loopback, and in memory
// for tests in a synctest bubble. It knows no protocol.
package listen

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
)

// Loopback listens on a free TCP port of 127.0.0.1. The caller closes the listener, or
// hands it to a server that does.
func Loopback(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Refusing returns a loopback address that refuses connections: no one listens there. Until the
// test ends no other process gets it as a free port, and a server that names it may listen there.
func Refusing(t testing.TB) string {
	t.Helper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(socket) })
	if err := syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	address, err := syscall.Getsockname(socket)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint("127.0.0.1:", address.(*syscall.SockaddrInet4).Port)
}

// Memory is a listener whose connections are net.Pipes: a synctest bubble counts a
// goroutine that waits for one as durably blocked. It is safe for concurrent use.
type Memory struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewMemory returns an open listener.
func NewMemory() *Memory {
	return &Memory{accept: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept returns the server's end of the next connection, or net.ErrClosed.
func (m *Memory) Accept() (net.Conn, error) {
	select {
	case conn := <-m.accept:
		return conn, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

// Close makes Accept and Dial fail. It may be called again.
func (m *Memory) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

// Addr returns an address without meaning.
func (m *Memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// Dial blocks until the connection is accepted and returns the client's end, or
// net.ErrClosed. It fits http.Transport.DialContext, and ignores the address.
func (m *Memory) Dial(context.Context, string, string) (net.Conn, error) {
	server, client := net.Pipe()
	select {
	case m.accept <- server:
		return client, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}
