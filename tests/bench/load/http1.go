package load

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// grace is how long answers may take after the end of a run.
const grace = 20 * time.Second

// http1 repeats one plain HTTP/1.1 request, on one thread and by epoll. A generator that costs
// more than the proxy that it loads measures itself.
type http1 struct {
	address  syscall.Sockaddr
	request  []byte
	epoll    int
	conns    map[int32]*conn
	idle     []*conn
	buffer   []byte
	inFlight int
}

type conn struct {
	answer
	fd      int
	sent    int // bytes of the request; all of it unless the socket is full
	waiting bool
	due     time.Time
	busy    bool
}

// NewHTTP1 returns a Generator that sends request over so many connections to
// address, an IPv4 address with a port.
func NewHTTP1(address string, request []byte, connections int) (Generator, error) {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	h := &http1{
		address: &syscall.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()},
		request: request, epoll: epoll, conns: make(map[int32]*conn), buffer: make([]byte, 256<<10),
	}
	for range connections {
		c := &conn{}
		if err := h.dial(c); err != nil {
			h.Close()
			return nil, err
		}
		h.idle = append(h.idle, c)
	}
	return h, nil
}

// dial connects c, blocking, for the first time or again.
func (h *http1) dial(c *conn) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(
		syscall.Connect(fd, h.address), syscall.SetNonblock(fd, true),
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1),
		unix.EpollCtl(h.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}),
	); err != nil {
		_ = syscall.Close(fd)
		return fmt.Errorf("connecting: %w", err)
	}
	*c = conn{fd: fd}
	h.conns[int32(fd)] = c
	return nil
}

// Run implements Generator.
func (h *http1) Run(d time.Duration, rate float64) Result {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0) // else sleeps are 50 µs too long

	var r Result
	var interval time.Duration
	if rate > 0 {
		interval = time.Duration(float64(time.Second) / rate)
	}
	begun := time.Now()
	next := begun
	events := make([]unix.EpollEvent, 512)
	for {
		now := time.Now()
		sending := now.Sub(begun) < d
		for sending && len(h.idle) > 0 && !next.After(now) {
			c := h.idle[0]
			h.idle = h.idle[1:]
			c.due = next
			if interval == 0 {
				c.due = time.Now()
			}
			next = next.Add(interval)
			h.send(c, &r)
		}
		if !sending && (h.inFlight == 0 || now.Sub(begun) > d+grace) {
			break
		}
		wait := time.Second
		if sending {
			wait = d - now.Sub(begun)
			if interval > 0 && len(h.idle) > 0 {
				wait = min(wait, next.Sub(now))
			}
		}
		n, err := pollFor(h.epoll, events, max(wait, 0))
		if err != nil && !errors.Is(err, unix.EINTR) {
			r.fail(err)
			break
		}
		for _, e := range events[:max(n, 0)] {
			c := h.conns[e.Fd]
			if c == nil {
				continue
			}
			if e.Events&unix.EPOLLOUT != 0 {
				h.send(c, &r)
			}
			if e.Events&^unix.EPOLLOUT != 0 {
				h.receive(c, &r)
			}
		}
	}
	if h.inFlight > 0 {
		r.Failed += int64(h.inFlight)
		r.Err = errors.New("not answered in time")
	}
	r.finish(begun)
	return r
}

// send writes what the socket takes of the request.
func (h *http1) send(c *conn, r *Result) {
	if !c.busy {
		c.busy = true
		h.inFlight++
	}
	for c.sent < len(h.request) {
		n, err := syscall.Write(c.fd, h.request[c.sent:])
		if errors.Is(err, syscall.EAGAIN) {
			h.await(c, true)
			return
		}
		if err != nil {
			h.lost(c, r, err)
			return
		}
		c.sent += n
	}
	h.await(c, false)
}

// await says whether the end of a full socket is waited for.
func (h *http1) await(c *conn, writable bool) {
	if c.waiting == writable {
		return
	}
	c.waiting = writable
	events := uint32(unix.EPOLLIN)
	if writable {
		events |= unix.EPOLLOUT
	}
	_ = unix.EpollCtl(h.epoll, unix.EPOLL_CTL_MOD, c.fd, &unix.EpollEvent{Events: events, Fd: int32(c.fd)}) // it is there
}

// receive reads what there is.
func (h *http1) receive(c *conn, r *Result) {
	for {
		n, err := syscall.Read(c.fd, h.buffer)
		if errors.Is(err, syscall.EAGAIN) {
			return
		}
		if err == nil && n == 0 {
			err = io.EOF
		}
		if err == nil && !c.busy {
			err = errors.New("an answer without a request")
		}
		var whole bool
		if err == nil {
			whole, err = c.take(h.buffer[:n])
		}
		if err != nil {
			h.lost(c, r, err)
			return
		}
		if whole {
			r.done(time.Since(c.due))
			c.sent, c.busy = 0, false
			h.inFlight--
			h.idle = append(h.idle, c)
			return
		}
		if n < len(h.buffer) {
			return
		}
	}
}

// lost replaces a connection that is closed or useless.
func (h *http1) lost(c *conn, r *Result, err error) {
	delete(h.conns, int32(c.fd))
	_ = syscall.Close(c.fd)
	idle := !c.busy
	if c.busy {
		r.fail(err)
		h.inFlight--
	}
	if err := h.dial(c); err != nil {
		r.fail(err)
		if idle { // it is among the idle ones
			h.idle = removed(h.idle, c)
		}
		return
	}
	if !idle {
		h.idle = append(h.idle, c)
	}
}

func removed(all []*conn, c *conn) []*conn {
	kept := make([]*conn, 0, len(all))
	for _, other := range all {
		if other != c {
			kept = append(kept, other)
		}
	}
	return kept
}

// Close implements Generator.
func (h *http1) Close() {
	for _, c := range h.conns {
		_ = syscall.Close(c.fd)
	}
	_ = syscall.Close(h.epoll)
}

// pollFor is epoll_pwait2, whose time-out has nanoseconds. The number is the same
// on all platforms.
func pollFor(epoll int, events []unix.EpollEvent, d time.Duration) (int, error) {
	const epollPwait2 = 441
	timeout := unix.NsecToTimespec(d.Nanoseconds())
	n, _, errno := syscall.Syscall6(epollPwait2, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
		uintptr(unsafe.Pointer(&timeout)), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
