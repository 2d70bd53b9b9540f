package clients

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// nodeCase is one case of tests/clients/node: a client, its request, and the expected outcome. It
// runs on a separate route.
type nodeCase struct {
	Name string `json:"name"`
	Spec string `json:"spec"` // of its route, without target, rules and metric
	App  string `json:"app"`  // in JavaScript; empty for the model

	Flags []string `json:"flags"` // of the app or the model
	GRPC  bool     `json:"grpc"`  // what the app speaks
	Gated bool     `json:"gated"` // the case starts the app
	Long  bool     `json:"long"`  // mostly waits
}

// nodeBinary is a Node that the SDKs know, installed beside them: the system's may
// be too old, and only has to install.
const nodeBinary = "node_modules/.bin/node"

// nodeResult is how a case ended; Error is empty if it ended well.
type nodeResult struct {
	Name  string `json:"name"`
	Error string `json:"error"`
}

// TestNode sends the vendors' SDKs for JavaScript through cold starts. One
// process of Node runs all cases, each when its route is live.
func TestNode(t *testing.T) {
	dir, err := filepath.Abs("node")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(standalone.proxy)
	if err != nil {
		t.Fatal(err)
	}
	node := startNode(t, dir)
	t.Run("clients", func(t *testing.T) {
		for _, c := range node.cases {
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				if !c.Long {
					defer work()()
				}
				command := append([]string{standalone.modelsim, "-tokens-per-second=0"}, c.Flags...)
				if c.App != "" {
					command = append([]string{filepath.Join(dir, nodeBinary), filepath.Join(dir, c.App)}, c.Flags...)
				}
				gate := ""
				if c.Gated {
					gate = newGate(t)
					command = gated(gate, command)
				}
				base := sleepingApp(t, app{spec: c.Spec, command: command, grpc: c.GRPC}) + ":" + port
				if failure := node.run(t, c.Name, base, gate); failure != "" {
					t.Error(failure)
				}
			})
		}
	})
}

// node is the process that runs the cases. It lists them all in its first line. Then it reads one
// case to run per line, and answers each with a line.
type node struct {
	cases []nodeCase

	mu      sync.Mutex // guards the fields below, and writes to the process
	stdin   io.Writer
	waiting map[string]chan<- nodeResult
}

func startNode(t *testing.T, dir string) *node {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		t.Fatalf("the SDKs are not installed, which make test-clients does: %v", err)
	}
	cmd := exec.Command(filepath.Join(dir, nodeBinary), "run.js")
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting node: %v", err)
	}
	n := &node{stdin: stdin, waiting: map[string]chan<- nodeResult{}}
	lines := bufio.NewReader(stdout)
	read := make(chan struct{})
	t.Cleanup(func() {
		_ = stdin.Close()
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("node: %v", err)
		}
	})
	first, err := lines.ReadBytes('\n')
	if err != nil {
		close(read)
		t.Fatalf("reading the cases: %v", err)
	}
	go func() {
		defer close(read)
		n.read(lines)
	}()
	if err := json.Unmarshal(first, &n.cases); err != nil || len(n.cases) == 0 {
		t.Fatalf("reading the cases: %v: %s", err, first)
	}
	return n
}

// run has the process run a case against a base URL, and returns its failure. The case
// opens the gate when its app may start.
func (n *node) run(t *testing.T, name, base, gate string) string {
	t.Helper()
	request, err := json.Marshal(map[string]string{"name": name, "base": base, "gate": gate})
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan nodeResult, 1)
	n.mu.Lock()
	n.waiting[name] = result
	_, err = n.stdin.Write(append(request, '\n'))
	n.mu.Unlock()
	if err != nil {
		return "asking node: " + err.Error()
	}
	select {
	case r := <-result:
		return r.Error
	case <-time.After(patience):
		return "no result within " + patience.String()
	}
}

// read hands out the results until the process ends. A line that is not a result is output of a
// client.
func (n *node) read(lines *bufio.Reader) {
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var r nodeResult
		if json.Unmarshal(line, &r) != nil {
			_, _ = os.Stderr.Write(line)
			continue
		}
		n.mu.Lock()
		if waiting, ok := n.waiting[r.Name]; ok {
			waiting <- r
			delete(n.waiting, r.Name)
		}
		n.mu.Unlock()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, waiting := range n.waiting {
		waiting <- nodeResult{Name: name, Error: "node ended before the case did"}
	}
}
