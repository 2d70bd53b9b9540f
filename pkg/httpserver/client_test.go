//go:build linux

package httpserver

import (
	"net"
	"testing"
	"time"
)

// pair returns both ends of a TCP connection.
func pair(t *testing.T) (ours, theirs *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = dialled.Close(), accepted.Close() })
	return accepted.(*net.TCPConn), dialled.(*net.TCPConn)
}

func TestLookAsksAboutBothSockets(t *testing.T) {
	type ends struct{ client, backend, ourBackend *net.TCPConn }
	for name, test := range map[string]struct {
		happen       func(ends) error
		left, unread bool
	}{
		"quiet":                {func(ends) error { return nil }, false, false},
		"client closes":        {func(e ends) error { return e.client.Close() }, true, false},
		"client closes half":   {func(e ends) error { return e.client.CloseWrite() }, true, false},
		"backend sends":        {func(e ends) error { _, err := e.backend.Write([]byte("x")); return err }, false, true},
		"backend closes":       {func(e ends) error { return e.backend.Close() }, false, true},
		"backend closes half":  {func(e ends) error { return e.backend.CloseWrite() }, false, true},
		"backend closed by us": {func(e ends) error { return e.ourBackend.Close() }, false, true},
		"both close": {func(e ends) error {
			_ = e.client.Close()
			return e.backend.Close()
		}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			ourClient, client := pair(t)
			ourBackend, backend := pair(t)
			socket, err := ourClient.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			other, err := ourBackend.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			c := &Client{socket: socket}
			if err := test.happen(ends{client, backend, ourBackend}); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) { // for the kernel
				left, unread := c.Look(other)
				if left == test.left && unread == test.unread {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("left %t, unread %t; want %t, %t", left, unread, test.left, test.unread)
				}
			}
			if c.Left() != test.left {
				t.Errorf("Left disagrees: %t", !test.left)
			}
		})
	}
	if left, unread := (*Client)(nil).Look(nil); left || !unread {
		t.Errorf("a client without socket: left %t, unread %t", left, unread)
	}
}
