package httpserver

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// hungUp reports whether the peer of a socket has closed it, or shut it down for writing
// (poll(2), POLLRDHUP). It does not read: a read would wait behind that of net/http.
func hungUp(socket syscall.RawConn) bool {
	poll := []unix.PollFd{{Events: unix.POLLRDHUP}}
	err := socket.Control(func(fd uintptr) {
		poll[0].Fd = int32(fd)
		_, _ = unix.Poll(poll, 0) // a failure leaves no events
	})
	// Control fails on a connection that is closed on this side.
	return err != nil || poll[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
}
