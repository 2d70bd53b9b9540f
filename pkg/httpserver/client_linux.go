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

// maxUnsent is how much of what was written may wait in the kernel for the peer to read. Without a bound it is 4 MB, which
// count as the container's memory. A peer that reads does not notice: what its window allows is sent at once.
const maxUnsent = 64 << 10

// BoundUnsent bounds what waits in a socket of TCP to be sent (tcp(7), TCP_NOTSENT_LOWAT).
func BoundUnsent(socket syscall.RawConn) {
	_ = socket.Control(func(fd uintptr) { // only a socket that is closed has no such bound
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
	})
}

// look asks about two sockets in one system call. If left is set, the peer of the first has hung
// up. If unread is set, a read of the second would not wait, even if it only reads its end.
func look(first, second syscall.RawConn) (left, unread bool) {
	q := questions.Get().(*question)
	defer questions.Put(q)
	q.second = second
	events, err := q.poll(first, unix.POLLRDHUP)
	left = err != nil || events&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	unread = q.err != nil || q.fds[1].Revents != 0
	q.second = nil
	return left, unread
}

// question is what poll asks, with the functions that ask: they would be allocated each time.
type question struct {
	fds    [2]unix.PollFd
	second syscall.RawConn // nil for none
	err    error           // of the second socket

	askFirst, askSecond func(fd uintptr)
}

var questions = sync.Pool{New: func() any {
	q := new(question)
	q.askFirst = func(fd uintptr) {
		q.fds[0].Fd = int32(fd)
		if q.second == nil {
			_, _ = unix.Poll(q.fds[:1], 0) // a failure leaves no events
			return
		}
		q.err = q.second.Control(q.askSecond)
	}
	q.askSecond = func(fd uintptr) {
		q.fds[1] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN | unix.POLLRDHUP}
		_, _ = unix.Poll(q.fds[:], 0)
	}
	return q
}}

// poll asks the kernel which of the events, and failures, a socket has.
func (q *question) poll(socket syscall.RawConn, events int16) (int16, error) {
	q.fds[0] = unix.PollFd{Events: events}
	err := socket.Control(q.askFirst)
	return q.fds[0].Revents, err
}

// poll asks the kernel which of the events, and failures, a socket has.
func poll(socket syscall.RawConn, events int16) (int16, error) {
	q := questions.Get().(*question)
	defer questions.Put(q)
	return q.poll(socket, events)
}
