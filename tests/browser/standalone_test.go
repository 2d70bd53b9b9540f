//go:build browser

package browser

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// gateVariable makes this test binary the application that standalone runs: it
// names the address where the test says when the application is ready.
const gateVariable = "BROWSER_TEST_GATE"

func TestMain(m *testing.M) {
	if gate := os.Getenv(gateVariable); gate != "" {
		if err := runApplication(gate); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(runTests(m))
}

// scratch is a folder for what all tests share.
var scratch string

func runTests(m *testing.M) int {
	folder, err := os.MkdirTemp("", "browser-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	scratch = folder
	defer endAll()
	return m.Run()
}

// runApplication serves the application until its process is ended. The first
// byte that comes from the gate makes it ready; a byte goes back when a probe
// has seen that.
func runApplication(gate string) error {
	conn, err := net.Dial("tcp", gate)
	if err != nil {
		return err
	}
	defer conn.Close()
	opened, seen := make(chan struct{}), sync.OnceFunc(func() { _, _ = conn.Write([]byte{1}) })
	go func() {
		if _, err := io.ReadFull(conn, make([]byte, 1)); err == nil {
			close(opened)
		}
	}()
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-opened:
			seen()
		default:
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	})
	answerAll(mux)
	server := &http.Server{Addr: net.JoinHostPort(os.Getenv("HOST"), os.Getenv("PORT")), Handler: mux, ReadHeaderTimeout: patience}
	return server.ListenAndServe()
}

// answerAll makes the application answer what the tests ask for.
func answerAll(mux *http.ServeMux) {
	html := func(w http.ResponseWriter, body string) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<!doctype html><title>Application</title>"+body)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { html(w, "<h1>The application</h1>") })
	var mu sync.Mutex
	asked := map[string]int{}
	count := func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked[r.URL.Path]++
	}
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		count(r)
		w.Header().Set("Content-Disposition", "attachment; filename=report.csv")
		w.Header().Set("Content-Type", "text/csv")
		fmt.Fprintln(w, "a,b")
	})
	mux.HandleFunc("/nothing", func(w http.ResponseWriter, r *http.Request) {
		count(r)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("/asked/{path}", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprint(w, asked["/"+r.PathValue("path")])
	})
	mux.HandleFunc("/seen", func(w http.ResponseWriter, r *http.Request) {
		cookie := "none"
		if c, err := r.Cookie("strict"); err == nil {
			cookie = c.Value
		}
		html(w, fmt.Sprintf("site %s, referrer %t, cookie %s", r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Referer") != "", cookie))
	})
	mux.HandleFunc("POST /order", func(w http.ResponseWriter, r *http.Request) { html(w, "ordered "+r.FormValue("item")) })
}

// manifests are the application; the gaps are the route's timeouts and cold start, its
// program and its gate.
const manifests = `
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: app}
spec:
  rules: [{hosts: [app.localhost, ` + plainHost + `]}]
  target: {service: app, port: 80}
  scalingMetric: {concurrency: {targetValue: 100}}
  timeouts: {%s}
  coldStart: {%s}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: app}
spec:
  scaleTargetRef: {name: app}
  minReplicaCount: 0
  maxReplicaCount: 1
  triggers: [{type: external-push, metadata: {interceptorRoute: app}}]
---
apiVersion: v1
kind: Service
metadata: {name: app}
spec:
  selector: {app: app}
  ports: [{port: 80, targetPort: 8000}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      containers:
        - name: app
          image: unused
          command: [%q]
          env: [{name: ` + gateVariable + `, value: %q}]
          ports: [{containerPort: 8000}]
          readinessProbe: {httpGet: {path: /ready, port: 8000}, periodSeconds: 1}
`

// buildStandalone builds the program once for all tests.
var buildStandalone = sync.OnceValues(func() (string, error) {
	program := filepath.Join(scratch, "standalone")
	build := exec.Command("go", "build", "-o", program, "../../standalone")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building standalone: %w\n%s", err, out)
	}
	return program, nil
})

// standalone is the real program, with an application that starts when the test allows it.
type standalone struct {
	program  string
	manifest string
	port     int
	admin    int
	gate     net.Listener
	process  *exec.Cmd
	log      *bytes.Buffer
}

// plainHost is a host of the application that is not this machine to a browser, so that
// it treats its plain HTTP as everywhere.
const plainHost = "app.plain.test"

func newStandalone(t *testing.T, refresh time.Duration) system {
	t.Helper()
	return newStandaloneOf(t, "", fmt.Sprintf("waitingPage: {refreshInterval: %v}", refresh))
}

// newStandaloneOf has a route with these timeouts and this cold start.
func newStandaloneOf(t *testing.T, timeouts, coldStart string) *standalone {
	t.Helper()
	program, err := buildStandalone()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	gate, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { gate.Close() })
	s := &standalone{program: program, manifest: filepath.Join(t.TempDir(), "app.yaml"), port: freePort(t), admin: freePort(t), gate: gate}
	if err := os.WriteFile(s.manifest, fmt.Appendf(nil, manifests, timeouts, coldStart, self, gate.Addr()), 0o644); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	t.Cleanup(func() {
		s.end(t, syscall.SIGTERM)
		if t.Failed() {
			t.Logf("standalone wrote:\n%s", s.log)
		}
	})
	return s
}

func (s *standalone) url() string { return fmt.Sprintf("http://app.localhost:%d/", s.port) }

func (s *standalone) start(t *testing.T) {
	t.Helper()
	s.log = &bytes.Buffer{}
	s.process = exec.Command(s.program, "-f", s.manifest)
	s.process.Env = append(os.Environ(), fmt.Sprintf("KEDA_HTTP_PROXY_PORT=%d", s.port), fmt.Sprintf("KEDA_HTTP_ADMIN_PORT=%d", s.admin))
	s.process.Stdout, s.process.Stderr = s.log, s.log
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	// It is up when its admin port says that routes are served.
	ticker, timeout := time.NewTicker(20*time.Millisecond), time.After(patience)
	defer ticker.Stop()
	for {
		response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", s.admin))
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-ticker.C:
		case <-timeout:
			s.end(t, syscall.SIGKILL)
			t.Fatalf("standalone is not ready:\n%s", s.log)
		}
	}
}

func (s *standalone) ready(t *testing.T) time.Time {
	t.Helper()
	if err := s.gate.(*net.TCPListener).SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	// The process that was started first may be one that has been killed.
	for {
		conn, err := s.gate.Accept()
		if err != nil {
			t.Fatalf("the application was not woken: %v", err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := conn.Write([]byte{1}); err != nil {
			continue
		}
		if _, err := io.ReadFull(conn, make([]byte, 1)); err == nil {
			return time.Now()
		}
	}
}

func (s *standalone) kill(t *testing.T) {
	t.Helper()
	s.end(t, syscall.SIGKILL)
}

// end sends a signal and waits until the process is gone.
func (s *standalone) end(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := s.process.Process.Signal(signal); errors.Is(err, os.ErrProcessDone) {
		return
	} else if err != nil {
		t.Error(err)
	}
	giveUp := time.AfterFunc(patience, func() { _ = s.process.Process.Kill() })
	defer giveUp.Stop()
	// How it ended is not the point here.
	_ = s.process.Wait()
}

// lastPort is the last port that a test was given. They are below those that the system
// gives to outgoing connections: of these browsers make many.
var lastPort atomic.Int64

// freePort is a port that no one listens on.
func freePort(t *testing.T) int {
	t.Helper()
	const first, many = 20000, 10000
	for range many {
		port := first + int(lastPort.Add(1)+int64(os.Getpid()))%many
		listener, err := net.Listen("tcp", fmt.Sprint(":", port))
		if err == nil {
			_ = listener.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}
