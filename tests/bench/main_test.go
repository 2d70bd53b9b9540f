// Package bench holds whole-process comparisons: the interceptor beside a bare
// net/http server that does the same work, in one run, so that the machine's
// speed cancels out.
package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kedacore/http-add-on/interceptor/app"
	"github.com/kedacore/http-add-on/interceptor/config"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/inflight"
	"github.com/kedacore/http-add-on/interceptor/routesync"
)

// roleVariable makes the test binary a server instead of a test run.
const roleVariable = "HTTP_ADD_ON_BENCH_ROLE"

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		os.Exit(m.Run())
	default:
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := serve(ctx, role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// addresses is what a server says of itself on its standard output.
type addresses struct{ Proxy, Control string }

// serve is a process under measurement: "bare" holds every request in a plain
// handler, "interceptor" in the real chain; "waking" and "scaler" are the way from
// a request to KEDA.
func serve(ctx context.Context, role string) error {
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/memory", func(w http.ResponseWriter, _ *http.Request) {
		debug.FreeOSMemory()
		fmt.Fprint(w, resident())
	})
	mux.HandleFunc("/cpu", func(w http.ResponseWriter, _ *http.Request) {
		var usage syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
		fmt.Fprint(w, usage.Utime.Nano()+usage.Stime.Nano())
	})
	go func() { _ = http.Serve(control, mux) }()
	out, err := json.Marshal(addresses{Proxy: proxy.Addr().String(), Control: control.Addr().String()})
	if err != nil {
		return err
	}
	fmt.Println(string(out))
	switch role {
	case "bare":
		return serveBare(ctx, proxy, mux)
	case roleStreams:
		return serveStreams(ctx, proxy, mux)
	case roleBackend:
		return serveBackend(ctx, proxy, mux)
	case roleWaking:
		return serveInterceptor(ctx, proxy, mux, wakingRoutes{}, wakingStore(mux))
	case roleScaler:
		return serveScaler(ctx, proxy, mux)
	}
	return serveInterceptor(ctx, proxy, mux, oneRoute{}, endpoints.NewStore())
}

func serveBare(ctx context.Context, l net.Listener, mux *http.ServeMux) error {
	released := make(chan struct{})
	held := make(chan struct{}, 1<<20)
	mux.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) { close(released) })
	mux.HandleFunc("/held", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, len(held)) })
	mux.HandleFunc("/started", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, 1) })
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		held <- struct{}{}
		select {
		case <-released:
			_, _ = w.Write([]byte("ok"))
		case <-r.Context().Done():
		}
	})}
	go func() { <-ctx.Done(); _ = server.Close() }()
	if err := server.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// oneRoute is a Source with a Service and a route for every host.
type oneRoute struct{}

func (oneRoute) Run(ctx context.Context, sink routesync.Sink) error {
	sink.Set(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "app"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	})
	sink.Set(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "http.keda.sh/v1beta1", "kind": "InterceptorRoute",
		"metadata": map[string]any{"namespace": "default", "name": "app"},
		"spec": map[string]any{
			"target":        map[string]any{"service": "app", "port": int64(80)},
			"rules":         []any{map[string]any{"hosts": []any{"*"}}},
			"scalingMetric": map[string]any{"concurrency": map[string]any{"targetValue": int64(1)}},
			"coldStart":     map[string]any{"streamingCallback": map[string]any{"message": "Waking", "interval": "1s"}},
		},
	}})
	sink.Synced()
	<-ctx.Done()
	return nil
}

func serveInterceptor(ctx context.Context, l net.Listener, mux *http.ServeMux, source routesync.Source, store *endpoints.Store) error {
	env := map[string]string{
		"KEDA_HTTP_PROXY_PORT": "0", "KEDA_HTTP_ADMIN_PORT": "0",
		"KEDA_HTTP_SHUTDOWN_DELAY": "0s", "KEDA_HTTP_DRAIN_TIMEOUT": "1s", "OTEL_PROM_EXPORTER_ENABLED": "false",
	}
	cfg, err := config.Load(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		return err
	}
	admin, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	tracker := inflight.NewTracker(nil)
	a, err := app.New(cfg, app.Deps{Source: source, Proxy: l, Admin: admin, Store: store, Tracker: tracker, Log: logr.Discard()})
	if err != nil {
		return err
	}
	mux.HandleFunc("/ready", func(_ http.ResponseWriter, r *http.Request) {
		store.Update("default", "app", map[string][]string{"http": r.URL.Query()["address"]})
	})
	mux.HandleFunc("/admin", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, admin.Addr().(*net.TCPAddr).Port)
	})
	mux.HandleFunc("/started", func(w http.ResponseWriter, _ *http.Request) {
		response, err := http.Get("http://" + admin.Addr().String() + "/readyz")
		if err != nil {
			return
		}
		defer response.Body.Close()
		if response.StatusCode == http.StatusOK {
			fmt.Fprint(w, 1)
		}
	})
	mux.HandleFunc("/held", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, tracker.Route("default/app").Held())
	})
	return a.Run(ctx)
}

// resident is the process's resident memory in bytes.
func resident() int64 { return residentOf(os.Getpid()) }

// process is a server in a process of its own.
type process struct {
	addresses
	t testing.TB
}

func start(t testing.TB, role string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	p := &process{t: t}
	if err := json.NewDecoder(out).Decode(&p.addresses); err != nil {
		t.Fatalf("starting %s: %v", role, err)
	}
	p.wait("/started", 1)
	return p
}

// wait polls a number of the control port until it is there.
func (p *process) wait(path string, want int64) {
	p.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); p.ask(path) < want; <-tick.C {
		if time.Now().After(deadline) {
			p.t.Fatalf("%s is %d, not %d", path, p.ask(path), want)
		}
	}
}

// ask reads a number from the process's control port; of a path that is not
// served yet it is 0.
func (p *process) ask(path string) int64 {
	p.t.Helper()
	response, err := http.Get("http://" + p.Control + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0 // the text of a 404 begins with a number
	}
	var n int64
	_, _ = fmt.Fscan(response.Body, &n)
	return n
}
