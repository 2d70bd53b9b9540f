// Package survival runs the interceptor's binary as the chart does, with a memory limit of 64Mi.
// It sends everything that a stranger, a tenant or a backend may send. The process must live, and
// another tenant's requests must be answered throughout.
package survival

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/pkg/queue"
	"github.com/kedacore/http-add-on/tests/support/apiserver"
	"github.com/kedacore/http-add-on/tests/support/certificate"
)

const (
	// chartLimit is the memory limit of the chart.
	chartLimit = 64 << 20
	// patience bounds what must happen; nothing waits for it when all is well.
	patience = 60 * time.Second
	// slack is what the bystanders' 99th percentile may be, however short it was before.
	slack = 2 * time.Second
)

// binary is the interceptor.
var binary string

func TestMain(m *testing.M) {
	if os.Getenv(neighborVariable) != "" {
		os.Exit(serveNeighbor())
	}
	folder, err := os.MkdirTemp("", "survival")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(folder, "interceptor")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", binary, "../../interceptor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the interceptor: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(folder)
	os.Exit(code)
}

// victim is an interceptor with a bystander: warm requests of another tenant.
type victim struct {
	t            *testing.T
	api          *apiserver.Server
	proxy, admin string
	tls          string // empty unless the environment sets it
	limit        int64  // of its memory
	pid          int
	exited       chan struct{}
	log          *tail
	peak         atomic.Int64 // anonymous memory, in bytes
	idle         int64
	stop         context.CancelFunc
	running      sync.WaitGroup
	neighbor     *neighbor
}

// tail keeps the end of a log.
type tail struct {
	mu    sync.Mutex
	lines []string
}

func (l *tail) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	if n := len(l.lines); n > 50 {
		l.lines = slices.Clone(l.lines[n-50:])
	}
}

// start starts an interceptor with a sleeping target "cold", warm ones "bystander" and "crowd", and
// more objects. env is name, value, name, value…
func start(t *testing.T, objects []apiserver.Object, env ...string) *victim {
	t.Helper()
	return startWithin(t, chartLimit, objects, env...)
}

// startWithin is start with another memory limit.
func startWithin(t *testing.T, limit int64, objects []apiserver.Object, env ...string) *victim {
	t.Helper()
	v := &victim{t: t, limit: limit, exited: make(chan struct{}), log: &tail{}, neighbor: startNeighbor(t)}
	v.api = apiserver.Start(t, append(objects,
		apiserver.Service("cold", ""), apiserver.Endpoints("cold", 0), apiserver.Route("cold", "cold.test", nil),
		apiserver.Service("bystander", ""), apiserver.Endpoints("bystander", v.neighbor.port),
		apiserver.Route("bystander", "bystander.test", nil),
		// A route is refused when it has more than its share (ADR 28). So crowds have one of their own.
		apiserver.Service("crowd", ""), apiserver.Endpoints("crowd", v.neighbor.port), apiserver.Route("crowd", "crowd.test", nil),
	)...)
	process := exec.Command(binary)
	process.Env = append(os.Environ(), "KUBECONFIG="+v.api.Kubeconfig(t), "GOMEMLIMIT="+strconv.FormatInt(limit/10*9, 10), // as the process derives it
		"KEDA_HTTP_PROXY_PORT=0", "KEDA_HTTP_ADMIN_PORT=0", "OTEL_PROM_EXPORTER_PORT=0", "KEDA_HTTP_SHUTDOWN_DELAY=0s", "KEDA_HTTP_DRAIN_TIMEOUT=1s")
	for i := 0; i+1 < len(env); i += 2 {
		process.Env = append(process.Env, env[i]+"="+env[i+1])
	}
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	group := newGroup(t, limit)
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	v.pid = process.Process.Pid
	group.add(t, v.pid)
	serving := make(chan struct{})
	v.running.Go(func() {
		for lines := bufio.NewScanner(log); lines.Scan(); {
			v.log.add(lines.Text())
			var line struct{ Msg, Address, Admin, TLS string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				v.proxy, v.admin, v.tls = loopback(line.Address), loopback(line.Admin), loopback(line.TLS)
				close(serving)
			}
		}
		_ = process.Wait()
		close(v.exited)
	})
	var ctx context.Context
	ctx, v.stop = context.WithCancel(context.Background())
	t.Cleanup(func() {
		v.stop()
		_ = process.Process.Signal(syscall.SIGTERM)
		v.running.Wait()
		if t.Failed() {
			t.Logf("the end of the log:\n%s", strings.Join(v.log.lines, "\n"))
		}
	})
	select {
	case <-serving:
	case <-v.exited:
		t.Fatal("the interceptor does not start")
	case <-time.After(patience):
		t.Fatal("the interceptor does not serve")
	}
	v.running.Go(func() { v.sample(ctx) })
	v.ask("the bystanders are served", "Calm", v.proxy, new(empty))
	v.idle = v.peak.Load()
	v.ask("the bystanders go on", "Hectic", empty{}, new(empty))
	return v
}

func portOf(address string) int {
	_, port, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	return n
}

func loopback(address string) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(portOf(address)))
}

// sample notes the most memory that the process had which the kernel cannot take back.
func (v *victim) sample(ctx context.Context) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		v.peak.Store(max(v.peak.Load(), v.memory()))
	}
}

// memory is the anonymous memory of the process, in bytes.
func (v *victim) memory() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "RssAnon:")
	kib, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, _ := strconv.ParseInt(kib, 10, 64)
	return n << 10
}

// others returns when each bystander was answered that asked after what was sent before.
func (v *victim) others() {
	v.t.Helper()
	v.ask("the bystanders are still answered", "Others", empty{}, new(empty))
}

// ask has the neighbor do something.
func (v *victim) ask(what, method string, args, reply any) {
	v.t.Helper()
	select {
	case call := <-v.neighbor.client.Go("Neighbor."+method, args, reply, nil).Done:
		if call.Error != nil {
			v.t.Fatalf("%s: %v", what, call.Error)
		}
	case <-v.exited:
		v.t.Fatalf("the interceptor was killed before this: %s", what)
	case <-time.After(patience):
		v.t.Fatalf("waited in vain: %s", what)
	}
}

// files is how many files the process has open, connections among them.
func (v *victim) files() int {
	all, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", v.pid)) // it may have ended
	return len(all)
}

// survived ends a test: the process lives, within its limit, and the bystanders were
// served, also at the end.
func (v *victim) survived() {
	v.t.Helper()
	v.others()
	var reports []report
	v.ask("the bystanders end", "End", empty{}, &reports)
	v.stop()
	select {
	case <-v.exited:
		v.t.Fatal("the interceptor was killed")
	default:
	}
	v.t.Logf("anonymous memory: %.1f MiB before, %.1f MiB at most", mib(v.idle), mib(v.peak.Load()))
	if peak := v.peak.Load(); peak > v.limit {
		v.t.Errorf("the interceptor took %.1f MiB", mib(peak))
	}
	for _, r := range reports {
		v.t.Logf("%s: p99 %v before, %v during, %d requests", r.Name, r.Before, r.During, r.Answered)
		if r.Failed != "" {
			v.t.Errorf("a request of %s failed: %s", r.Name, r.Failed)
		}
		if most := max(10*r.Before, slack); r.During > most {
			v.t.Errorf("the p99 of %s was %v, of %v before", r.Name, r.During, r.Before)
		}
	}
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// counts is what the admin port says of a route of namespace apps.
func (v *victim) counts(route string) queue.Count {
	response, err := http.Get("http://" + v.admin + queue.Path)
	if err != nil {
		return queue.Count{Concurrency: -1}
	}
	defer response.Body.Close()
	counts := queue.Counts{}
	if err := json.NewDecoder(response.Body).Decode(&counts); err != nil {
		return queue.Count{Concurrency: -1}
	}
	return counts["apps/"+route]
}

// get sends a request and returns the status of its answer, 0 without one.
func (v *victim) get(host string) int {
	r, err := http.NewRequest(http.MethodGet, "http://"+v.proxy+"/", nil)
	if err != nil {
		return 0
	}
	r.Host = host
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// eventually polls for what the process does.
func (v *victim) eventually(what string, is func() bool) {
	v.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-v.exited:
			v.t.Fatalf("the interceptor was killed before this: %s", what)
		case <-tick.C:
		}
		if time.Now().After(deadline) {
			v.t.Fatalf("waited in vain: %s", what)
		}
	}
}

// dial connects to the proxy port.
func (v *victim) dial() net.Conn {
	v.t.Helper()
	conn, err := net.Dial("tcp", v.proxy)
	if err != nil {
		v.t.Fatalf("connecting to the interceptor: %v", err)
	}
	v.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// securely is the environment of an interceptor that serves TLS too.
func securely(t *testing.T) []string {
	t.Helper()
	folder := t.TempDir()
	cert, key := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	certificate.Write(t, cert, key, "cold.test")
	return []string{
		"KEDA_HTTP_PROXY_TLS_ENABLED", "true", "KEDA_HTTP_PROXY_TLS_PORT", "0",
		"KEDA_HTTP_PROXY_TLS_CERT_PATH", cert, "KEDA_HTTP_PROXY_TLS_KEY_PATH", key,
	}
}
