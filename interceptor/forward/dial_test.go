package forward

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// wanting is the context of a request that looks for a connection.
func wanting() (*want, context.Context) {
	w := new(want)
	w.begin("")
	return w, context.WithValue(context.Background(), wantKey{}, w)
}

// gate is a network whose dials wait until they are let through.
type gate struct {
	dials int // begun
	let   chan error
}

func newGate() *gate { return &gate{let: make(chan error)} }

func (g *gate) dial(context.Context, string, string) (net.Conn, error) {
	g.dials++ // under synctest.Wait
	if err := <-g.let; err != nil {
		return nil, err
	}
	near, _ := net.Pipe()
	return near, nil
}

func TestDialsAreLimitedPerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		d := &dialer{places: 2, connect: connect(func(ctx context.Context, n, a string) (net.Conn, error) {
			if a == "other:80" {
				return nil, syscall.ECONNREFUSED // at once: nobody waits for another address
			}
			return g.dial(ctx, n, a)
		}, 0), lines: make(map[string]*line)}
		ended := make(chan error, 5)
		for range 5 {
			_, ctx := wanting()
			go func() {
				_, err := d.DialContext(ctx, "tcp", "one:80")
				ended <- err
			}()
			synctest.Wait()
		}
		_, ctx := wanting()
		if _, err := d.DialContext(ctx, "tcp", "other:80"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Error(err)
		}
		for _, want := range []int{2, 3, 4, 5, 5} {
			synctest.Wait()
			if g.dials != want {
				t.Errorf("%d dials instead of %d", g.dials, want)
			}
			g.let <- nil
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if len(d.lines) != 0 {
			t.Errorf("%d lines are left", len(d.lines))
		}
	})
}

func TestFailureIsSharedByTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		d := &dialer{places: 1, connect: connect(g.dial, 0), lines: make(map[string]*line)}
		ended := make(chan error, 100)
		for range 100 {
			_, ctx := wanting()
			go func() {
				_, err := d.DialContext(ctx, "tcp", "one:80")
				ended <- err
			}()
		}
		synctest.Wait()
		g.let <- syscall.ECONNREFUSED
		synctest.Wait()
		// A place and a failure may come at the same time, so a few may dial again.
		for len(ended) < 100 {
			g.let <- syscall.ECONNREFUSED
			synctest.Wait()
		}
		if g.dials > 10 {
			t.Errorf("%d dials to find out that nobody is there", g.dials)
		}
		for range 100 {
			if err := <-ended; !errors.As(err, new(*dialError)) {
				t.Fatal(err)
			}
		}
		if len(d.lines) != 0 {
			t.Errorf("%d lines are left", len(d.lines))
		}
	})
}

func TestUnwantedDialsLeaveTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		d := &dialer{places: 1, connect: connect(g.dial, 0), lines: make(map[string]*line)}
		ended := make(chan error, 3)
		var wants []*want
		for range 3 {
			w, ctx := wanting()
			wants = append(wants, w)
			go func() {
				_, err := d.DialContext(ctx, "tcp", "one:80")
				ended <- err
			}()
			synctest.Wait()
		}
		wants[1].end() // an idle connection came first
		wants[2].end() // the client has left
		for range 2 {
			if err := <-ended; !errors.Is(err, errUnwanted) {
				t.Error(err)
			}
		}
		g.let <- nil
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if g.dials != 1 {
			t.Errorf("%d dials", g.dials)
		}
	})
}

func TestWantCanBeginAgain(t *testing.T) {
	var w want
	w.begin("")
	first := w.over()
	w.end()
	w.end()
	<-first
	<-w.over()
	w.begin("") // the connection was closed already: the transport looks again
	select {
	case <-w.over():
		t.Error("it is over before it has begun")
	default:
	}
}

func TestConnectTimeoutIsPerAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dialer{places: 1, connect: connect(func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, time.Second), lines: make(map[string]*line)}
		for range 2 {
			start := time.Now()
			_, ctx := wanting()
			if _, err := d.DialContext(ctx, "tcp", "one:80"); !errors.As(err, new(*dialError)) || time.Since(start) != time.Second {
				t.Errorf("%v after %v", err, time.Since(start))
			}
		}
	})
}

func TestServerNameIsPartOfTheAddress(t *testing.T) {
	for _, address := range []string{"10.0.0.1:8443", "[fd00::1]:8443", "svc.ns:443"} {
		name, got, err := splitName(withName("svc.ns", address))
		if name != "svc.ns" || got != address || err != nil {
			t.Errorf("%s became %s, %s, %v", address, name, got, err)
		}
	}
	for _, joined := range []string{"10.0.0.1:8443", "10.0.0.1", ""} {
		if _, _, err := splitName(joined); err == nil {
			t.Errorf("%q has a server name", joined)
		}
	}
}
