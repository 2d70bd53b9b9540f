// Package clients sends the vendors' own SDKs through real cold starts. Between them are the
// standalone binary and a simulated model that sleeps. The tests check what a user of the SDK
// sees in the end.
package clients

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds what must happen; nothing waits for it when all is well.
const patience = 3 * time.Minute

// workers bounds how many cases work at a time.
var workers = make(chan struct{}, 24)

// work waits for a worker and returns what gives it back.
func work() func() {
	workers <- struct{}{}
	return func() { <-workers }
}

// standalone is the process that all tests share.
var standalone struct {
	proxy, admin string
	manifests    string
	modelsim     string
	genkit       string
	fleet        string
	client       *http.Client
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "clients")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	for from, packages := range map[string][]string{filepath.Join("..", ".."): {"./standalone", "./examples/modelsim", "./tests/support/fleet"}, "genkit": {"."}} {
		build := exec.Command("go", append([]string{"build", "-o", dir + "/"}, packages...)...)
		build.Dir = from
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return 1, fmt.Errorf("building %s: %w\n%s", packages, err, out)
		}
	}
	standalone.manifests = filepath.Join(dir, "manifests")
	standalone.modelsim = filepath.Join(dir, "modelsim")
	standalone.genkit = filepath.Join(dir, "genkit")
	standalone.fleet = filepath.Join(dir, "fleet")
	if err := os.Mkdir(standalone.manifests, 0o755); err != nil {
		return 1, err
	}
	proxy, admin := freePort(), freePort()
	standalone.proxy, standalone.admin = "127.0.0.1:"+proxy, "http://127.0.0.1:"+admin
	standalone.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, standalone.proxy)
		},
	}}

	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return 1, err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(dir, "standalone"), "-f", standalone.manifests)
	cmd.Env = append(os.Environ(), "KEDA_HTTP_PROXY_PORT="+proxy, "KEDA_HTTP_ADMIN_PORT="+admin)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ended is in its log
	}()
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	}()
	if !started(ended) {
		text, _ := os.ReadFile(log.Name())
		return 1, fmt.Errorf("standalone did not start:\n%s", text)
	}
	// The cases wait more than they work, and workers bounds those that work.
	flag.Parse()
	if err := flag.Set("test.parallel", "1000"); err != nil {
		return 1, err
	}
	code := m.Run()
	if code != 0 {
		if text, err := os.ReadFile(log.Name()); err == nil {
			fmt.Fprintf(os.Stderr, "the log of standalone:\n%s\n", text)
		}
	}
	return code, nil
}

// started waits until standalone serves, or has ended.
func started(ended <-chan struct{}) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if response, err := http.Get(standalone.admin + "/readyz"); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return true
			}
		}
		select {
		case <-ended:
			return false
		case <-tick.C:
		}
	}
	return false
}

// freePort returns a port below those that the kernel gives to connections. Otherwise another
// process would have it before standalone does.
func freePort() string {
	for {
		port := strconv.Itoa(10000 + rand.IntN(20000))
		if l, err := net.Listen("tcp", ":"+port); err == nil {
			_ = l.Close()
			return port
		}
	}
}

const manifest = `
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: %[1]s}
spec:
  target: {service: %[1]s, port: 80}
  rules: [{hosts: [%[1]s.test]}]
  staticRoutes: [{rules: [{hosts: [%[1]s.test], paths: [{value: /live}]}], response: {statusCode: 204}}]
  scalingMetric: {concurrency: {targetValue: 100}}
  %[2]s
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: %[1]s}
spec:
  scaleTargetRef: {name: %[1]s}
  minReplicaCount: 0
  maxReplicaCount: 1
  triggers: [{type: external-push, metadata: {interceptorRoute: %[1]s}}]
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec: {selector: {app: %[1]s}, ports: [{port: 80, targetPort: 8000, appProtocol: %[4]s}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      containers:
        - name: app
          image: none
          command: %[3]s
          ports: [{containerPort: 8000}]
          readinessProbe: {%[5]s}
`

// app is a command behind a route.
type app struct {
	spec    string // of the route, except target, rules and metric
	command []string
	grpc    bool // what it speaks
}

// newGate returns the path of a gate, which is open once a line is written to it.
func newGate(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gate")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	// While it is open here no one waits for the other end, and no line is lost.
	gate, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gate.Close() })
	return path
}

// gated returns a command that starts when its gate is open. It does not poll: seventy polling
// processes would leave the clients no processor. It puts the line back for the next reader.
func gated(gate string, command []string) []string {
	return append([]string{"sh", "-c", `read -r _ <"$0" && echo >"$0" && exec "$@"`, gate}, command...)
}

// sleepingApp adds a route to an app that sleeps and returns its URL. Every
// test has its own, so that each meets a cold start.
func sleepingApp(t *testing.T, a app) string {
	t.Helper()
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(t.Name()))
	protocol, probe := "http", "httpGet: {path: /healthz, port: 8000}"
	if a.grpc {
		protocol, probe = "kubernetes.io/h2c", "tcpSocket: {port: 8000}"
	}
	command, err := json.Marshal(a.command)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(manifest, name, a.spec, command, protocol, probe)
	file := filepath.Join(standalone.manifests, name+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(file) })
	base := "http://" + name + ".test"
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !live(base); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s is not live after %s", base, patience)
		}
	}
	return base
}

// live says that the route is in effect. It answers so by itself, asleep.
func live(base string) bool {
	response, err := standalone.client.Get(base + "/live")
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusNoContent
}
