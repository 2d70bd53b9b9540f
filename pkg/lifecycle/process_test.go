package lifecycle

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// steps records what happened, in order.
type steps struct {
	mu   sync.Mutex
	done []string
}

func (s *steps) add(step string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, step)
}

// process records its steps; its part runs until it is stopped.
func process(s *steps) Process {
	return Process{
		Parts: []func(context.Context) error{func(ctx context.Context) error {
			<-ctx.Done()
			s.add("part")
			return nil
		}},
		Ready:    func(context.Context) { s.add("ready") },
		NotReady: func() { s.add("not ready") },
		Drain:    func() error { s.add("drain"); return nil },
		Close:    func(context.Context) error { s.add("close"); return nil },
		Log:      logr.Discard(),
	}
}

func TestProcessStopsInOrder(t *testing.T) {
	var s steps
	p := process(&s)
	l := listen(t)
	get := func() error {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Get("http://" + l.Addr().String())
		if err == nil {
			err = response.Body.Close()
		}
		return err
	}
	p.Servers = []Server{{Name: "metrics", Handler: http.NotFoundHandler(), Listener: l}, {Name: "pprof"}}
	ctx, stop := context.WithCancel(t.Context())
	p.Ready = func(ctx context.Context) {
		s.add("ready")
		stop()
		<-ctx.Done()
	}
	p.Delay = 20 * time.Millisecond
	var notReady time.Time
	p.NotReady = func() { notReady = time.Now(); s.add("not ready") }
	p.Drain = func() error {
		if waited := time.Since(notReady); waited < p.Delay {
			t.Errorf("the drain began %s after the readiness ended, want %s", waited, p.Delay)
		}
		if err := get(); err != nil {
			t.Errorf("auxiliary servers must answer during the drain: %v", err)
		}
		s.add("drain")
		return nil
	}
	if err := p.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if want := []string{"ready", "not ready", "drain", "part", "close"}; !slices.Equal(s.done, want) {
		t.Errorf("order %q, want %q", s.done, want)
	}
	if get() == nil {
		t.Error("an auxiliary server answers after the end")
	}
}

func TestFailedPartStopsTheProcess(t *testing.T) {
	var s steps
	p := process(&s)
	failure, closing := errors.New("no routes"), errors.New("no collector")
	p.Parts = append(p.Parts, func(context.Context) error { return failure })
	p.Delay = time.Hour // is not waited for
	p.Close = func(ctx context.Context) error {
		if ctx.Err() != nil {
			t.Error("Close has no time")
		}
		return closing
	}
	err := p.Run(t.Context())
	if !errors.Is(err, failure) || !errors.Is(err, closing) {
		t.Errorf("%v, want both errors", err)
	}
	if !slices.Contains(s.done, "drain") {
		t.Errorf("not drained: %q", s.done)
	}
}

func TestListenOpensAllOrNone(t *testing.T) {
	taken := listen(t)
	defer taken.Close()
	var first, given, closed, second net.Listener
	given = listen(t)
	defer given.Close()
	was := given
	err := Listen(
		Port{Name: "proxy", Address: "127.0.0.1:0", Listener: &first},
		Port{Name: "given", Address: "127.0.0.1:0", Listener: &given},
		Port{Name: "off", Listener: &closed},
		Port{Name: "admin", Address: taken.Addr().String(), Listener: &second},
	)
	if err == nil || !strings.Contains(err.Error(), "opening the admin port") {
		t.Fatalf("%v, want an error about the admin port", err)
	}
	if given != was || closed != nil || second != nil {
		t.Error("ports that are given or off must not be opened")
	}
	if _, err := first.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the first port is left open: %v", err)
	}
}

func TestNumbered(t *testing.T) {
	if got := Numbered("", 8080, true) + Numbered("::1", 0, true) + Numbered("", 8080, false); got != ":8080[::1]:0" {
		t.Error(got)
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
