package forward

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// places is how many connections are opened at a time to one address. The queue
// of a fresh server for connections that it has not accepted yet is short.
const places = 32

// errUnwanted ends a dial whose request needs no connection any more. Nobody
// receives it.
var errUnwanted = errors.New("the connection is not wanted any more")

// dialError says that there was no connection: the backend has seen nothing of
// the request, which can be tried again.
type dialError struct{ err error }

func (e *dialError) Error() string { return "connecting: " + e.err.Error() }

func (e *dialError) Unwrap() error { return e.err }

// dialFunc opens connections.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// connect returns dial with a bound; its errors are *dialErrors.
func connect(dial dialFunc, timeout time.Duration) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, &dialError{err}
		}
		return conn, nil
	}
}

// dialer opens connections for net/http's transport, a few at a time per address.
type dialer struct {
	places  int
	connect dialFunc

	mu    sync.Mutex
	lines map[string]*line
}

// line is the dials to one address. It exists while there are any.
type line struct {
	users  int
	places chan struct{}
	failed chan struct{} // closed and replaced with each failure
	err    error         // the last failure
}

// DialContext is for http.Transport. It dials on a goroutine of its own, with a
// context that has the values of the request but does not end with it, because a
// connection that comes too late for one request can serve another. While it only
// stands in line, there is nothing to save: it leaves as soon as its request got
// an idle connection, or is over. When a dial fails, all who stand in line for
// that address fail with it, instead of finding out one after the other.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var unwanted <-chan struct{}
	if w, ok := ctx.Value(wantKey{}).(*want); ok {
		unwanted = w.over()
	}
	l, err := d.enter(address, unwanted)
	if err != nil {
		return nil, err
	}
	conn, err := d.connect(ctx, network, address)
	<-l.places
	_ = d.leave(address, l, err) // err is our own
	return conn, err
}

// enter waits for a place.
func (d *dialer) enter(address string, unwanted <-chan struct{}) (*line, error) {
	d.mu.Lock()
	l := d.lines[address]
	if l == nil {
		l = &line{places: make(chan struct{}, d.places), failed: make(chan struct{})}
		d.lines[address] = l
	}
	l.users++
	failed := l.failed
	d.mu.Unlock()

	select {
	case l.places <- struct{}{}:
		return l, nil
	default:
	}
	select {
	case l.places <- struct{}{}:
		select {
		case <-unwanted:
			<-l.places
			return nil, d.leave(address, l, errUnwanted)
		default:
			return l, nil
		}
	case <-unwanted:
		return nil, d.leave(address, l, errUnwanted)
	case <-failed:
		return nil, d.leave(address, l, nil)
	}
}

// leave ends the use of a line, and tells those in it of a failure to connect. It
// returns that failure, or the last one.
func (d *dialer) leave(address string, l *line, err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(d.lines, address)
	}
	if err == nil {
		return l.err
	}
	if !errors.Is(err, errUnwanted) {
		l.err = err
		close(l.failed)
		l.failed = make(chan struct{})
	}
	return err
}

// want is the wish of one request for a connection. It travels in the context, because
// a transport gives its dial function nothing else.
type want struct {
	mu    sync.Mutex
	ended bool
	done  chan struct{} // made when somebody asks; closed when ended
}

// wantKey is the context key of a *want.
type wantKey struct{}

// begin is the GetConn hook of a trace: the transport looks for a connection,
// maybe again.
func (w *want) begin(string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		w.ended, w.done = false, nil
	}
}

// end says that no connection is wanted any more.
func (w *want) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	w.ended = true
	if w.done != nil {
		close(w.done)
	}
}

// over returns a channel that is closed when no connection is wanted any more.
func (w *want) over() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done == nil {
		w.done = make(chan struct{})
		if w.ended {
			close(w.done)
		}
	}
	return w.done
}
