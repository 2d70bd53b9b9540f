package role

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kedacore/http-add-on/tests/bench/load"
)

// fast is an HTTP/1.1 server on one thread, by epoll. It reads requests with a
// Content-Length, or without a body, and answers what their path asks for. A
// backend that costs more than the proxy in front of it would measure itself.
type fast struct {
	epoll, listener int
	conns           map[int32]*fastConn
	buffer          []byte
	heads           map[int][]byte // of answers, by size
}

type fastConn struct {
	fd       int
	partial  []byte // of an incomplete head
	missing  int64  // bytes of the request's body
	answer   int    // size of the body to answer with
	reading  bool   // the body is incomplete
	out      [][]byte
	blocking bool // the socket was full
}

// serveFast serves until ctx ends.
func serveFast(ctx context.Context, l *net.TCPListener) error {
	file, err := l.File()
	if err != nil {
		return err
	}
	defer file.Close()
	defer l.Close()
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(epoll)
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return err
	}
	defer unix.Close(wake)
	stop := context.AfterFunc(ctx, func() { _, _ = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) })
	defer stop()
	f := &fast{epoll: epoll, listener: int(file.Fd()), conns: make(map[int32]*fastConn), buffer: make([]byte, 256<<10), heads: make(map[int][]byte)}
	if err := errors.Join(syscall.SetNonblock(f.listener, true), f.watch(f.listener), f.watch(wake)); err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	events := make([]unix.EpollEvent, 512)
	for ctx.Err() == nil {
		n, err := unix.EpollWait(epoll, events, -1)
		if err != nil && err != unix.EINTR {
			return err
		}
		for _, e := range events[:max(n, 0)] {
			switch c := f.conns[e.Fd]; {
			case e.Fd == int32(f.listener):
				f.accept()
			case c == nil: // the wake-up, or closed just now
			case f.serve(c, e.Events) != nil:
				delete(f.conns, e.Fd)
				_ = syscall.Close(c.fd)
			}
		}
	}
	return nil
}

func (f *fast) watch(fd int) error {
	return unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func (f *fast) accept() {
	for {
		fd, _, err := syscall.Accept4(f.listener, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
		if f.watch(fd) != nil {
			_ = syscall.Close(fd)
			continue
		}
		f.conns[int32(fd)] = &fastConn{fd: fd}
	}
}

// serve reads and writes what the connection allows; an error ends it.
func (f *fast) serve(c *fastConn, events uint32) error {
	if events&unix.EPOLLOUT != 0 {
		if err := f.flush(c); err != nil {
			return err
		}
	}
	if events&^unix.EPOLLOUT == 0 {
		return nil
	}
	for {
		n, err := syscall.Read(c.fd, f.buffer)
		switch {
		case err == syscall.EAGAIN:
			return nil
		case err != nil:
			return err
		case n == 0:
			return net.ErrClosed
		}
		if err := f.take(c, f.buffer[:n]); err != nil {
			return err
		}
		if n < len(f.buffer) {
			return nil
		}
	}
}

// take goes on with requests, of which b is the next piece.
func (f *fast) take(c *fastConn, b []byte) error {
	for len(b) > 0 {
		if !c.reading {
			if len(c.partial) > 0 {
				b = append(c.partial, b...)
				c.partial = nil
			}
			end, length, err := load.Head(b)
			if err != nil {
				return err
			}
			if end == 0 {
				c.partial = bytes.Clone(b)
				return nil
			}
			if c.answer, err = sizeAsked(b); err != nil {
				return err
			}
			c.reading, c.missing, b = true, length, b[end:]
		}
		n := min(c.missing, int64(len(b)))
		c.missing -= n
		b = b[n:]
		if c.missing > 0 {
			return nil
		}
		c.reading = false
		if err := f.respond(c); err != nil {
			return err
		}
	}
	return nil
}

// sizeAsked is the number at the end of the request's path.
func sizeAsked(head []byte) (int, error) {
	_, rest, _ := bytes.Cut(head, []byte(" /b/"))
	digits, _, _ := bytes.Cut(rest, []byte(" "))
	n, err := strconv.Atoi(string(digits))
	if err != nil || n < 0 || n > maxBody {
		return 0, fmt.Errorf("no size in %.40q", head)
	}
	return n, nil
}

func (f *fast) respond(c *fastConn) error {
	head := f.heads[c.answer]
	if head == nil {
		head = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", c.answer)
		f.heads[c.answer] = head
	}
	if c.answer <= 64<<10 { // one write
		c.out = append(c.out, append(head[:len(head):len(head)], zeros[:c.answer]...))
	} else {
		c.out = append(c.out, head, zeros[:c.answer])
	}
	return f.flush(c)
}

func (f *fast) flush(c *fastConn) error {
	for len(c.out) > 0 {
		n, err := syscall.Write(c.fd, c.out[0])
		if err == syscall.EAGAIN {
			return f.block(c, true)
		}
		if err != nil {
			return err
		}
		if c.out[0] = c.out[0][n:]; len(c.out[0]) == 0 {
			c.out = c.out[1:]
		}
	}
	c.out = nil
	return f.block(c, false)
}

// block sets whether the socket reports that it takes bytes again.
func (f *fast) block(c *fastConn, full bool) error {
	if c.blocking == full {
		return nil
	}
	c.blocking = full
	events := uint32(unix.EPOLLIN)
	if full {
		events |= unix.EPOLLOUT
	}
	return unix.EpollCtl(f.epoll, unix.EPOLL_CTL_MOD, c.fd, &unix.EpollEvent{Events: events, Fd: int32(c.fd)})
}
