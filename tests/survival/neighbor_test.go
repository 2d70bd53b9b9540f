package survival

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/rpc"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// neighborVariable makes this executable the process of a neighbor.
const neighborVariable = "HTTP_ADD_ON_SURVIVAL_NEIGHBOR"

// neighbor is another tenant, with a backend and clients. They have a process of their own, so that the attackers,
// who would run elsewhere, do not delay their goroutines.
type neighbor struct {
	client *rpc.Client
	port   int // of its backend
}

func startNeighbor(t *testing.T) *neighbor {
	t.Helper()
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), neighborVariable+"=1")
	process.Stderr = os.Stderr
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	n := &neighbor{client: rpc.NewClient(pipes{out, in})}
	t.Cleanup(func() {
		_ = n.client.Close() // it ends with its standard input
		_ = process.Wait()
	})
	if err := n.client.Call("Neighbor.Backend", empty{}, &n.port); err != nil {
		t.Fatalf("starting the bystanders: %v", err)
	}
	return n
}

// pipes are a connection to a process.
type pipes struct {
	io.ReadCloser
	io.WriteCloser
}

func (p pipes) Close() error { return errors.Join(p.WriteCloser.Close(), p.ReadCloser.Close()) }

// serveNeighbor serves a Neighbor on standard input and output, until they end.
func serveNeighbor() int {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	defer backend.Close()
	if err := rpc.Register(&Neighbor{backend: portOf(backend.Listener.Addr().String()), bystanders: []*bystander{newBystander(false), newBystander(true)}}); err != nil {
		fmt.Fprintln(os.Stderr, "serving the bystanders:", err)
		return 1
	}
	rpc.ServeConn(pipes{os.Stdin, os.Stdout})
	return 0
}

// Neighbor is what its process does; net/rpc wants it exported.
type Neighbor struct {
	backend    int
	bystanders []*bystander
	proxy      string
	stop       context.CancelFunc
	running    sync.WaitGroup
}

// empty stands for arguments or results of a method without them.
type empty = struct{}

// report is how a bystander fared.
type report struct {
	Name           string
	Before, During time.Duration // the 99th percentile
	Answered       int64
	Failed         string
}

// Backend returns the port of the backend.
func (n *Neighbor) Backend(_ empty, port *int) error {
	*port = n.backend
	return nil
}

// Calm waits until the proxy serves the bystanders, and measures while nothing else happens.
func (n *Neighbor) Calm(proxy string, _ *empty) error {
	n.proxy = proxy
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for n.bystanders[0].request(ctx, proxy) != nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	for _, b := range n.bystanders {
		for range 200 {
			b.measure(ctx, proxy, &b.calm)
		}
	}
	return nil
}

// Hectic measures until End.
func (n *Neighbor) Hectic(empty, *empty) error {
	var ctx context.Context
	ctx, n.stop = context.WithCancel(context.Background())
	for _, b := range n.bystanders {
		n.running.Go(func() { b.during(ctx, n.proxy) })
	}
	return nil
}

// Others returns when each bystander was answered that asked from now on.
func (n *Neighbor) Others(empty, *empty) error {
	deadline := time.Now().Add(patience) // an end of this process waits for its calls
	for _, b := range n.bystanders {
		enough := b.answered.Load() + 2 // the second one from here began later
		for b.answered.Load() < enough {
			if time.Now().After(deadline) {
				return fmt.Errorf("%s waits in vain", b)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return nil
}

// End stops the bystanders.
func (n *Neighbor) End(_ empty, reports *[]report) error {
	n.stop()
	n.running.Wait()
	for _, b := range n.bystanders {
		*reports = append(*reports, b.report())
	}
	return nil
}

// bystander is a client with a warm target and a usual head. It uses one connection that it
// keeps, or a new one for each request.
type bystander struct {
	client   http.Client
	fresh    bool
	answered atomic.Int64

	mu           sync.Mutex
	failed       error
	calm, hectic []time.Duration
}

func newBystander(fresh bool) *bystander {
	return &bystander{client: http.Client{Transport: &http.Transport{DisableKeepAlives: fresh}}, fresh: fresh}
}

func (b *bystander) String() string {
	if b.fresh {
		return "a bystander with new connections"
	}
	return "a bystander with one connection"
}

func (b *bystander) request(ctx context.Context, proxy string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+proxy+"/", nil)
	if err != nil {
		return err
	}
	r.Host = "bystander.test"
	r.Header.Set("Cookie", strings.Repeat("c", 2<<10))
	response, err := b.client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("answered with %s", response.Status)
	}
	return nil
}

// during measures until ctx ends.
func (b *bystander) during(ctx context.Context, proxy string) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.measure(ctx, proxy, &b.hectic)
		}
	}
}

func (b *bystander) measure(ctx context.Context, proxy string, into *[]time.Duration) {
	start := time.Now()
	err := b.request(ctx, proxy)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err == nil:
		b.answered.Add(1)
	case ctx.Err() == nil:
		b.failed = errors.Join(b.failed, err)
	}
	*into = append(*into, time.Since(start))
}

func (b *bystander) report() report {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := report{Name: b.String(), Before: p99(b.calm), During: p99(b.hectic), Answered: b.answered.Load()}
	if b.failed != nil {
		r.Failed = b.failed.Error()
	}
	return r
}

func p99(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)*99/100]
}
