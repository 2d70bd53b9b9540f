package clients

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const sessionRoute = `
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: app}
spec:
  target: {service: app, port: 80}
  rules: [{}]
  scalingMetric: {concurrency: {targetValue: 100}}
  sessionPersistence: {type: Header, header: {name: Mcp-Session-Id}}
---
apiVersion: v1
kind: Service
metadata: {name: app}
spec: {ports: [{name: http, port: 80}]}
`

// fleet is two interceptors, and the pods behind them.
type fleet struct {
	t    *testing.T
	in   io.Writer
	out  *bufio.Scanner
	pods map[string]string
	url  string // where requests take turns between the interceptors
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	routes := filepath.Join(t.TempDir(), "routes.yaml")
	if err := os.WriteFile(routes, []byte(sessionRoute), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(standalone.fleet, "-n", "2", "-f", routes)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, in: in, out: bufio.NewScanner(out), pods: map[string]string{}}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // how it ended is in its log
	})
	addresses := []string{f.line(), f.line()}
	var turn atomic.Uint64
	front := httptest.NewServer(readFirst(&httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: addresses[turn.Add(1)%2]})
			r.Out.Host = r.In.Host // the servers take no other for their own
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}))
	t.Cleanup(front.Close)
	f.url = front.URL
	return f
}

func (f *fleet) line() string {
	f.t.Helper()
	if !f.out.Scan() {
		f.t.Fatalf("the interceptors have ended: %v", f.out.Err())
	}
	return f.out.Text()
}

// scale makes these the ready pods.
func (f *fleet) scale(uids ...string) {
	f.t.Helper()
	ready := map[string]string{}
	for _, uid := range uids {
		if f.pods[uid] == "" {
			f.pods[uid] = pod(f.t, uid)
		}
		ready[uid] = f.pods[uid]
	}
	text, err := json.Marshal(ready)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := fmt.Fprintln(f.in, string(text)); err != nil {
		f.t.Fatal(err)
	}
	f.line()
}

// pod starts an MCP server that keeps its sessions to itself: its tool names it, and counts
// the calls of the session.
func pod(t *testing.T, uid string) string {
	t.Helper()
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server {
		server := mcp.NewServer(&mcp.Implementation{Name: uid, Version: "1"}, nil)
		var calls atomic.Int64 // a server has one session
		mcp.AddTool(server, &mcp.Tool{Name: "who"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: fmt.Sprint(uid, " ", calls.Add(1))}}}, nil, nil
		})
		return server
	}, nil)
	server := httptest.NewUnstartedServer(handler)
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.Listener.Addr().String()
}

// mcpUser is a client of one of the SDKs.
type mcpUser interface {
	// connect begins a session.
	connect() error
	// who calls the tool.
	who() (string, error)
}

// TestMCPSessions: a stateful server behind two interceptors keeps its sessions through a
// scale-up. A client whose pod is gone reads a 404 and begins a new session.
func TestMCPSessions(t *testing.T) {
	for name, newUser := range map[string]func(t *testing.T, url string) mcpUser{"Go": goUser, "Node": nodeUser} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer work()()
			f := newFleet(t)
			first, second := newUser(t, f.url), newUser(t, f.url)
			f.scale("a")
			must(t, first.connect())
			f.scale("a", "b")
			for i := range 6 {
				is(t, first, "through the scale-up", fmt.Sprint("a ", i+1))
			}
			f.scale("b")
			must(t, second.connect())
			is(t, second, "on the new pod", "b 1")
			if who, err := first.who(); err == nil || !strings.Contains(strings.ToLower(err.Error()), "session") {
				t.Errorf("its pod is gone, and the client reads %q, %v", who, err)
			}
			must(t, first.connect())
			is(t, first, "begun anew", "b 1")
			f.scale("a", "b")
			for i := range 6 {
				is(t, second, "through the next scale-up", fmt.Sprint("b ", i+2))
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t *testing.T, user mcpUser, reason, want string) {
	t.Helper()
	if got, err := user.who(); err != nil || got != want {
		t.Fatalf("%s: got %q, %v, want %q", reason, got, err, want)
	}
}

type goMCP struct {
	t       *testing.T
	url     string
	session *mcp.ClientSession
}

func goUser(t *testing.T, url string) mcpUser { return &goMCP{t: t, url: url} }

func (u *goMCP) connect() error {
	session, err := connect(u.t.Context(), &mcp.StreamableClientTransport{Endpoint: u.url, MaxRetries: -1})
	if err != nil {
		return err
	}
	u.session = session
	u.t.Cleanup(func() { _ = session.Close() }) // its pod may be gone
	return nil
}

func (u *goMCP) who() (string, error) {
	result, err := u.session.CallTool(u.t.Context(), &mcp.CallToolParams{Name: "who", Arguments: struct{}{}})
	if err != nil {
		return "", err
	}
	return result.Content[0].(*mcp.TextContent).Text, nil
}

// nodeMCP does what it reads, a line each.
type nodeMCP struct {
	mu  sync.Mutex
	in  io.Writer
	out *bufio.Scanner
}

func nodeUser(t *testing.T, url string) mcpUser {
	cmd := exec.Command(nodeBinary, "session.js", url)
	cmd.Dir = "node"
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // it may have open streams to a pod that is gone
	})
	return &nodeMCP{in: in, out: bufio.NewScanner(out)}
}

// do sends a command and reads what came of it.
func (u *nodeMCP) do(command string) (string, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, err := fmt.Fprintln(u.in, command); err != nil {
		return "", err
	}
	if !u.out.Scan() {
		return "", fmt.Errorf("node has ended: %w", u.out.Err())
	}
	var said struct{ Said, Error string }
	if err := json.Unmarshal(u.out.Bytes(), &said); err != nil {
		return "", err
	}
	if said.Error != "" {
		return "", fmt.Errorf("%s", said.Error)
	}
	return said.Said, nil
}

func (u *nodeMCP) connect() error {
	_, err := u.do("connect")
	return err
}

func (u *nodeMCP) who() (string, error) { return u.do("who") }
