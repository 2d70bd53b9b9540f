package app

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/kedacore/http-add-on/interceptor/config"
	"github.com/kedacore/http-add-on/pkg/telemetry"
	"github.com/kedacore/http-add-on/tests/support/capture"
	"github.com/kedacore/http-add-on/tests/support/listen"
	"github.com/kedacore/http-add-on/tests/support/settings"
)

const patience = time.Minute

// The test binary is also the model server that the manifests name.
func TestMain(m *testing.M) {
	if os.Getenv("PROGRAM") == "model" {
		model()
		return
	}
	goleak.VerifyTestMain(m)
}

// model streams two tokens; it is ready when a file exists.
func model() {
	http.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if _, err := os.Stat(os.Getenv("LOADED")); err != nil {
			http.Error(w, "loading", http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("/v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(w, "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"got %d bytes\"}}]}\n\ndata: [DONE]\n\n", len(body))
	})
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the application") })
	fmt.Println(http.ListenAndServe(net.JoinHostPort(os.Getenv("HOST"), os.Getenv("PORT")), nil))
	os.Exit(1)
}

const manifests = `
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: llm}
spec:
  target: {service: llm, port: 80}
  rules: [{hosts: [llm.localhost]}]
  scalingMetric: {concurrency: {targetValue: 1}}
  coldStart:
    streamingCallback: {message: "loading...", interval: 100ms}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: llm}
spec:
  scaleTargetRef: {name: llm}
  cooldownPeriod: 1
  triggers: [{type: external-push, metadata: {interceptorRoute: llm}}]
---
apiVersion: v1
kind: Service
metadata: {name: llm}
spec:
  selector: {app: llm}
  ports: [{port: 80, targetPort: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: llm}
spec:
  selector: {matchLabels: {app: llm}}
  template:
    metadata: {labels: {app: llm}}
    spec:
      containers:
        - name: model
          command: [%q]
          env: [{name: PROGRAM, value: model}, {name: LOADED, value: %q}]
          ports: [{name: http, containerPort: 8000}]
          readinessProbe: {httpGet: {path: /healthz, port: http}}
---
apiVersion: v1
kind: Nonsense
metadata: {name: x}
`

// running is a standalone on free ports.
type running struct {
	proxy, admin string
	loaded       string // create it and the model is ready
	manifests    string // the file
	logs         chan string
	output       *capture.Output
	client       *http.Client
}

func start(t *testing.T) *running {
	t.Helper()
	return startWith(t, manifests)
}

func startWith(t *testing.T, manifests string) *running {
	t.Helper()
	folder := t.TempDir()
	loaded := filepath.Join(folder, "loaded")
	path := filepath.Join(folder, "all.yaml")
	if err := os.WriteFile(path, fmt.Appendf(nil, manifests, os.Args[0], loaded), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy, admin := listen.Loopback(t), listen.Loopback(t)
	transport := &http.Transport{DisableKeepAlives: true}
	r := &running{
		proxy: proxy.Addr().String(), admin: admin.Addr().String(), loaded: loaded, manifests: path,
		logs: make(chan string, 1000), output: &capture.Output{}, client: &http.Client{Transport: transport, Timeout: patience},
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, Settings{
			Paths: []string{folder}, Lookup: func(string) (string, bool) { return "", false },
			Environ: []string{"KEDA_HTTP_READINES_TIMEOUT=1s"},
			Log:     funcr.New(func(_, args string) { r.logs <- args }, funcr.Options{}),
			Output:  r.output, Proxy: proxy, Admin: admin,
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run ended with %v", err)
		}
	})
	r.awaitReady(t)
	return r
}

// awaitReady waits until the first routes are published.
func (r *running) awaitReady(t *testing.T) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for begin := time.Now(); time.Since(begin) < patience; <-ticker.C {
		response, err := r.client.Get("http://" + r.admin + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return
		}
	}
	t.Fatal("standalone does not become ready")
}

// expect waits for a line of the log.
func (r *running) expect(t *testing.T, parts ...string) {
	t.Helper()
	late := time.After(patience)
next:
	for {
		select {
		case line := <-r.logs:
			for _, part := range parts {
				if !strings.Contains(line, part) {
					continue next
				}
			}
			return
		case <-late:
			t.Fatalf("the log has no line with %q", parts)
		}
	}
}

// write replaces the manifests in one step: on a busy machine half a file may be there for long.
func (r *running) write(t *testing.T, text string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "new.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, r.manifests); err != nil {
		t.Fatal(err)
	}
}

func (r *running) load(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(r.loaded, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (r *running) do(t *testing.T, method, path, body string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.proxy+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "llm.localhost"
	response, err := r.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// TestStreamThroughAColdStart covers the whole path. A streaming client of a sleeping model gets
// the message, keepalives and then the model's answer. The model sleeps again, and wakes again.
func TestStreamThroughAColdStart(t *testing.T) {
	r := start(t)
	r.expect(t, "KEDA_HTTP_READINES_TIMEOUT is not read", "KEDA_HTTP_READINESS_TIMEOUT")
	r.expect(t, "manifest is refused", `"error"=`, "Nonsense", "all.yaml", `"line"=`)
	r.expect(t, "workload is sleeping")

	body := `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`
	response := r.do(t, http.MethodPost, "/v1/chat/completions", body)
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" || response.Header.Get("X-KEDA-HTTP-Cold-Start") != "true" {
		t.Fatalf("answer %d %v", response.StatusCode, response.Header)
	}
	events := bufio.NewScanner(response.Body)
	next := func() string {
		for events.Scan() {
			if data, found := strings.CutPrefix(events.Text(), "data: "); found {
				return data
			}
		}
		return ""
	}
	if first := next(); !strings.Contains(first, "loading...") {
		t.Errorf("first event %q", first)
	}
	if keepalive := next(); !strings.Contains(keepalive, `"content":""`) {
		t.Errorf("second event %q", keepalive)
	}
	r.expect(t, "workload is waking")
	r.load(t)
	var rest strings.Builder
	for data := next(); data != ""; data = next() {
		rest.WriteString(data + "\n")
	}
	if want := fmt.Sprintf("got %d bytes", len(body)); !strings.Contains(rest.String(), want) || !strings.HasSuffix(rest.String(), "[DONE]\n") {
		t.Errorf("the answer has no %q or no end: %s", want, rest.String())
	}
	r.expect(t, "workload is ready")
	r.expect(t, "workload is stopping")
	r.expect(t, "workload is sleeping")

	response = r.do(t, http.MethodGet, "/", "")
	if answer, err := io.ReadAll(response.Body); err != nil || string(answer) != "the application" {
		t.Errorf("held request got %q, %v", answer, err)
	}
	if !strings.Contains(r.output.String(), "curl -N http://llm.localhost:") {
		t.Errorf("what to try: %s", r.output)
	}
}

// TestPageOfThisMachine: the page lists the routes and follows their state; nothing else
// than this machine's own name gets it.
func TestPageOfThisMachine(t *testing.T) {
	r := startWith(t, strings.Replace(manifests, "cooldownPeriod: 1\n", "cooldownPeriod: 300\n", 1))
	get := func(method, host, path string) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.proxy+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		response, err := r.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		content, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(content)
	}
	shows := func(state string) {
		t.Helper()
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for begin := time.Now(); time.Since(begin) < patience; <-ticker.C {
			if _, content := get(http.MethodGet, "localhost:8080", "/"); strings.Contains(content, "<h2>default/llm <b>"+state+"</b></h2>") {
				return
			}
		}
		t.Fatalf("the page does not show %s", state)
	}
	shows("asleep")
	status, content := get(http.MethodGet, "127.0.0.1", "/")
	_, port, _ := net.SplitHostPort(r.proxy)
	if want := "curl -N http://llm.localhost:" + port + "/v1/chat/completions"; status != http.StatusOK || !strings.Contains(content, want) {
		t.Errorf("the page has no %q: %d\n%s", want, status, content)
	}
	for _, other := range []struct{ method, host, path string }{
		{http.MethodGet, "localhost.evil.test", "/"},
		{http.MethodGet, "192.0.2.1", "/"},
		{http.MethodGet, "localhost", "/other"},
		{http.MethodPost, "localhost", "/"},
	} {
		if status, _ := get(other.method, other.host, other.path); status != http.StatusNotFound {
			t.Errorf("%v got %d", other, status)
		}
	}
	held := make(chan int)
	go func() {
		status, _ := get(http.MethodGet, "llm.localhost", "/")
		held <- status
	}()
	shows("waking")
	r.load(t)
	if status := <-held; status != http.StatusOK {
		t.Errorf("the held request got %d", status)
	}
	shows("awake")
}

// TestRequestThatLeavesStillWakes: the lease keeps asking.
func TestRequestThatLeavesStillWakes(t *testing.T) {
	r := start(t)
	r.expect(t, "workload is sleeping")
	ctx, leave := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.proxy+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "llm.localhost"
	left := make(chan struct{})
	go func() {
		defer close(left)
		if response, err := r.client.Do(request); err == nil {
			_ = response.Body.Close()
		}
	}()
	r.expect(t, "workload is waking")
	leave()
	<-left
	response, err := r.client.Get("http://" + r.admin + "/queue")
	if err != nil {
		t.Fatal(err)
	}
	demand, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || !strings.Contains(string(demand), `"default/llm":{"Concurrency":1`) {
		t.Errorf("demand %s, %v", demand, err)
	}
	r.load(t)
	r.expect(t, "workload is ready")
}

// Other machines reach it only if a flag allows that, and a Deployment with its own port is
// refused.
func TestItListensOnLoopback(t *testing.T) {
	path := filepath.Join(t.TempDir(), "all.yaml")
	for address, env := range map[string][]string{
		"127.0.0.1:": nil,
		"127.0.0.7:": {config.EnvListenAddress, "127.0.0.7"},
	} {
		lookup := settings.Lookup(append(env, config.EnvProxyPort, "0", config.EnvAdminPort, "0")...)
		logs := make(chan string, 100)
		r := &running{logs: logs}
		if err := os.WriteFile(path, fmt.Appendf(nil, manifests, os.Args[0], "none"), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- Run(ctx, Settings{
				Paths: []string{path}, Lookup: lookup, Output: io.Discard,
				Log: funcr.New(func(_, args string) { logs <- args }, funcr.Options{}),
			})
		}()
		r.expect(t, "serving", `"address"="`+address, `"admin"="`+address)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestPortsOfItsOwn(t *testing.T) {
	proxy := listen.Loopback(t)
	defer func() { _ = proxy.Close() }()
	port, err := strconv.Atoi(portOf(proxy.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	want := map[int32]string{
		int32(port): config.EnvProxyPort, 9090: config.EnvAdminPort, 2223: telemetry.EnvPrometheusPort, 6060: config.EnvProfilingAddress,
	}
	got := ownPorts(config.Config{
		ProxyPort: 8080, AdminPort: 9090, ProfilingAddress: ":6060", Telemetry: telemetry.Settings{PrometheusPort: 2223},
	}, Settings{Proxy: proxy})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWhatToTryFollowsTheManifests(t *testing.T) {
	r := start(t)
	text, err := os.ReadFile(r.manifests)
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, strings.Replace(string(text), "targetPort: http", "targetPort: web", 1))
	r.expect(t, "route is not served", "InterceptorRoute default/llm", "targetPort")
	r.write(t, string(text))
	r.expect(t, "route is served again")
	r.write(t, strings.Replace(string(text), "llm.localhost", "model.localhost", 1))
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for begin := time.Now(); !strings.Contains(r.output.String(), "http://model.localhost:"); <-ticker.C {
		if time.Since(begin) > patience {
			t.Fatalf("what to try does not follow:\n%s", r.output)
		}
	}
	if n := strings.Count(r.output.String(), "What to try, "); n != 4 {
		t.Errorf("the welcome was logged %d times:\n%s", n, r.output)
	}
}

// TestARouteHasOneLine: neither the interceptor nor the scaler repeats what is wrong with a route
// that is not served.
func TestARouteHasOneLine(t *testing.T) {
	r := start(t)
	text, err := os.ReadFile(r.manifests)
	if err != nil {
		t.Fatal(err)
	}
	const broken = `
---
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: lost}
spec:
  target: {service: lost, port: 80}
  rules: [{hosts: [lost.localhost]}]
  timeouts: {readiness: 1ms}
  scalingMetric: {concurrency: {targetValue: 1}}
`
	r.write(t, string(text)+broken)
	// The interceptor has the route, too.
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for begin, status := time.Now(), 0; status != http.StatusServiceUnavailable; <-ticker.C {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.proxy, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = "lost.localhost"
		response, err := r.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if status = response.StatusCode; time.Since(begin) > patience {
			t.Fatalf("the route answers with %d", status)
		}
	}
	r.write(t, strings.ReplaceAll(string(text), "llm.localhost", "last.localhost")+broken)
	var lines []string
	changes := 0
	for late := time.After(patience); ; {
		select {
		case line := <-r.logs:
			if strings.Contains(line, `"object"="InterceptorRoute default/lost"`) || strings.Contains(line, `"object"="default/lost"`) {
				lines = append(lines, line)
			}
			if strings.Contains(line, `"changed"=1`) {
				changes++
			}
			if changes < 2 {
				continue
			}
		case <-late:
			t.Fatalf("the manifests are not read again: %q", lines)
		}
		break
	}
	if len(lines) != 1 || !strings.Contains(lines[0], `"msg"="route is not served"`) {
		t.Errorf("the log has %q", lines)
	}
}

func TestParseFlags(t *testing.T) {
	tests := map[string]struct {
		args  []string
		paths []string
		says  string
	}{
		"one":        {args: []string{"-f", "a"}, paths: []string{"a"}},
		"several":    {args: []string{"-f", "a", "--f=b"}, paths: []string{"a", "b"}},
		"none":       {says: "name a manifest or a folder with -f"},
		"without -f": {args: []string{"a"}, says: `"a" is not a flag`},
		"unknown":    {args: []string{"-x"}, says: "not defined: -x"},
		"help":       {args: []string{"--help"}, says: "PATH is a manifest"},
		"version":    {args: []string{"--version"}, says: "standalone (devel) " + runtime.GOOS + "/" + runtime.GOARCH},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var said strings.Builder
			options := LogOptions()
			s, err := ParseFlags(test.args, &said, options.BindFlags)
			if fmt.Sprint(s.Paths) != fmt.Sprint(test.paths) || (err == nil) != (test.says == "") || !strings.Contains(said.String(), test.says) {
				t.Errorf("paths %v, %v, said %s", s.Paths, err, &said)
			}
		})
	}
}
