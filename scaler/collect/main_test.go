package collect

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/goleak"

	"github.com/kedacore/http-add-on/pkg/demand"
	"github.com/kedacore/http-add-on/pkg/queue"
	"github.com/kedacore/http-add-on/tests/support/counts"
	"github.com/kedacore/http-add-on/tests/support/listen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pass advances the time of a bubble, and waits for what happens in it.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// process simulates an interceptor's process: its admin port and its counts. The zero value
// behaves as our interceptor.
type process struct {
	old   bool // 0.16: no streams
	hangs bool // it takes connections and answers nothing
	// answers, if set, returns true if it has answered.
	answers func(w http.ResponseWriter, r *http.Request) bool

	counts   *counts.Source
	server   *http.Server
	listener *listen.Memory
	done     chan struct{}
	running  sync.WaitGroup
}

// set changes the count of a route, urgently.
func (p *process) set(route string, c queue.Count) { p.counts.Set(route, c) }

// ServeHTTP is the admin port.
func (p *process) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case p.answers != nil && p.answers(w, r):
	case r.URL.Path != queue.Path:
		http.NotFound(w, r)
	case p.hangs:
		<-p.done
	case p.old:
		r.URL.RawQuery = ""
		fallthrough
	default:
		queue.NewHandler(p.counts, p.done).ServeHTTP(w, r)
	}
}

// kill ends the process: connections break, and new ones are refused.
func (p *process) kill() {
	close(p.done)
	_ = p.server.Close()
	p.running.Wait()
}

// network holds processes at addresses, and a Collector that reads from them.
type network struct {
	t         *testing.T
	demand    *demand.Aggregate
	collector *Collector

	mu        sync.Mutex
	processes map[string]*process // by address
	dialled   map[string]int
	logged    []string
}

// newNetwork starts a Collector that ends with the test.
func newNetwork(t *testing.T, meters metric.MeterProvider) *network {
	t.Helper()
	if meters == nil {
		meters = noop.NewMeterProvider()
	}
	n := &network{t: t, demand: demand.New(), processes: make(map[string]*process), dialled: make(map[string]int)}
	n.demand.Begin()
	var err error
	n.collector, err = New(Options{
		Demand: n.demand, PollInterval: 500 * time.Millisecond, Timeout: 500 * time.Millisecond,
		DialContext: n.dial, Meters: meters, Log: funcr.New(n.log, funcr.Options{Verbosity: 1}),
		Service: "keda/admin", Deployment: "keda/interceptor",
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.collector.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for _, p := range n.processes {
			p.kill()
		}
	})
	return n
}

// log records each log line.
func (n *network) log(_, line string) {
	n.t.Log(line)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.logged = append(n.logged, line)
}

// logs returns the lines since the last call.
func (n *network) logs() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	lines := n.logged
	n.logged = nil
	return lines
}

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	p := n.processes[address]
	n.dialled[address]++
	n.mu.Unlock()
	if strings.HasPrefix(address, "void") { // packets vanish
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if p == nil {
		return nil, errors.New("connection refused")
	}
	return p.listener.Dial(ctx, "", address)
}

// start starts a process at an address.
func (n *network) start(address string, p *process) *process {
	if p.counts == nil {
		p.counts = counts.New(nil)
	}
	p.done = make(chan struct{})
	p.listener = listen.NewMemory()
	p.server = &http.Server{Handler: p}
	p.running.Go(func() { _ = p.server.Serve(p.listener) })
	n.mu.Lock()
	defer n.mu.Unlock()
	n.processes[address] = p
	return p
}

// kill ends the process at an address.
func (n *network) kill(address string) {
	n.mu.Lock()
	p := n.processes[address]
	delete(n.processes, address)
	n.mu.Unlock()
	p.kill()
}

// list lists addresses, each under itself.
func (n *network) list(addresses ...string) {
	all := make(map[string]string)
	for _, a := range addresses {
		all[a] = a
	}
	n.collector.List(all)
}

// tries returns how often the Collector has dialed an address.
func (n *network) tries(address string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dialled[address]
}

// ready says whether the Collector is.
func (n *network) ready() bool {
	select {
	case <-n.collector.Ready():
		return true
	default:
		return false
	}
}

// inFlight checks the demand of the only route.
func (n *network) inFlight(reason string, want int64) {
	n.t.Helper()
	if got := n.demand.State(llm).InFlight; got != want {
		n.t.Errorf("%s: %d in flight, want %d", reason, got, want)
	}
}

const llm = "apps/llm"

// busy returns a count of a route with some requests in flight, all new.
func busy(n int64) queue.Count { return queue.Count{Concurrency: n, RequestCount: n} }

func counting(n int64) *process { return &process{counts: counts.New(queue.Counts{llm: busy(n)})} }
