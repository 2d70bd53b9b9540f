package httpserver

import (
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// hungUp reports whether the peer of a socket has closed it, or shut it down for writing
// (poll(2), POLLRDHUP). It does not read: a read would wait behind that of net/http.
func hungUp(socket syscall.RawConn) bool {
	events, err := poll(socket, unix.POLLRDHUP)
	// It fails on a connection that is closed on this side.
	return err != nil || events&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
}

// readable reports whether a read would return at once.
func readable(socket syscall.RawConn) bool {
	events, err := poll(socket, unix.POLLIN)
	return err == nil && events&unix.POLLIN != 0
}

// question is what poll asks, with the function that asks: they would be allocated each time.
type question struct {
	fds [1]unix.PollFd
	ask func(fd uintptr)
}

var questions = sync.Pool{New: func() any {
	q := new(question)
	q.ask = func(fd uintptr) {
		q.fds[0].Fd = int32(fd)
		_, _ = unix.Poll(q.fds[:], 0) // a failure leaves no events
	}
	return q
}}

// poll asks the kernel which of the events, and failures, a socket has.
func poll(socket syscall.RawConn, events int16) (int16, error) {
	q := questions.Get().(*question)
	defer questions.Put(q)
	q.fds[0] = unix.PollFd{Events: events}
	err := socket.Control(q.ask)
	return q.fds[0].Revents, err
}
