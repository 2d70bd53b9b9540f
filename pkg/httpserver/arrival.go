package httpserver

import (
	"errors"
	"io"
	"syscall"
)

// arrival reads the byte that net/http reads while it serves a request of HTTP/1.1, only to
// notice that the client leaves. It waits first: there is hardly ever anything yet, and a
// read costs a system call to find that out. What has arrived between the head of the
// request and the wait is read with the next request, and a client that left then is
// noticed by connections.look.
type arrival struct {
	try   func(fd uintptr) bool // made by the first wait
	err   error
	late  bool // something has arrived since the wait began
	empty bool // nothing more comes
	b     [1]byte
}

// wait reads one byte into b.
func (a *arrival) wait(socket syscall.RawConn, b []byte) (int, error) {
	if a.try == nil {
		a.try = a.read
	}
	a.err, a.late, a.empty = nil, false, false
	err := socket.Read(a.try)
	switch {
	case err != nil:
		return 0, err
	case a.err != nil:
		return 0, a.err
	case a.empty:
		return 0, io.EOF
	}
	return copy(b, a.b[:]), nil
}

// read reads, except the first time. It reports whether the wait is over.
func (a *arrival) read(fd uintptr) bool {
	if !a.late {
		a.late = true
		return false
	}
	for {
		n, err := syscall.Read(int(fd), a.b[:])
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return false
		}
		a.err, a.empty = err, n == 0
		return true
	}
}
