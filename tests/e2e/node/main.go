//go:build e2e

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kedacore/http-add-on/tests/support/controlplane"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 1 && args[0] == "inside" { // what up leaves running
		return inside()
	}
	root, err := controlplane.Root()
	if err != nil {
		return err
	}
	n := &node{root: root, folder: filepath.Join(root, "bin/e2e-node")}
	switch {
	case len(args) == 1 && args[0] == "up":
		return n.up(ctx)
	case len(args) == 1 && args[0] == "down":
		return n.down()
	default:
		return errors.New("usage: node up|down")
	}
}

// node is the node of a checkout.
type node struct {
	root   string // of the repository
	folder string // everything that the node writes
}

func (n *node) file(names ...string) string {
	return filepath.Join(append([]string{n.folder}, names...)...)
}

func (n *node) kubeconfig() string { return n.file("kubeconfig") }

// up starts the node, and returns when everything in it is available.
func (n *node) up(ctx context.Context) error {
	if err := machineIsFit(); err != nil {
		return fmt.Errorf("this machine cannot run a node: %w; to test on another cluster, set E2E_KUBECONFIG to its kubeconfig (see tests/e2e/README.md)", err)
	}
	if _, err := os.Stat(n.folder); err == nil {
		return fmt.Errorf("%s exists: a node runs, or was not taken down; run make e2e-node-down", n.folder)
	}
	started := time.Now()
	progress := func(what string) {
		_, _ = fmt.Fprintf(os.Stdout, "  %-34s %5.1f s\n", what, time.Since(started).Seconds())
	}
	tools, err := build(ctx, n.root)
	if err != nil {
		return err
	}
	progress("tools and images built")
	started = time.Now()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening for the API server: %w", err)
	}
	defer func() { _ = listener.Close() }()
	if err := n.writeFiles(listener.Addr().(*net.TCPAddr).Port); err != nil {
		return err
	}
	if err := n.start(listener.(*net.TCPListener), tools); err != nil {
		return errors.Join(err, n.down())
	}
	i := installer{node: n, tools: tools}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"the API server answers", i.awaitAPI},
		{"the node is ready", i.awaitNode},
		{"CoreDNS and KEDA are applied", i.applyKEDA},
		{"the add-on is installed", i.installAddOn},
		{"everything is available", i.awaitAvailable},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: not so: %w; logs are in %s, make e2e-node-down ends the node", step.name, err, n.file("logs"))
		}
		progress(step.name)
	}
	_, err = fmt.Fprintf(os.Stdout, "\nThe node runs; make e2e-node-down ends it. Logs are in %s.\n\n  export PATH=%s:%s:$PATH\n  export KUBECONFIG=%s\n",
		n.file("logs"), tools.Kubernetes, tools.Charts, n.kubeconfig())
	return err
}

// handover is what the first process inside reads from its standard input.
type handover struct {
	Folder string
	Tools  tools
}

// start starts the first process inside. It holds the socket of the listener from then on.
func (n *node) start(listener *net.TCPListener, tools tools) error {
	groups, err := makeGroups()
	if err != nil {
		return err
	}
	text, err := json.Marshal(groups)
	if err != nil {
		return fmt.Errorf("writing the control groups: %w", err)
	}
	if err := os.WriteFile(n.file("groups.json"), text, 0o644); err != nil {
		return fmt.Errorf("writing the control groups: %w", err)
	}
	socket, err := listener.File()
	if err != nil {
		return fmt.Errorf("handing over the listener: %w", err)
	}
	defer func() { _ = socket.Close() }()
	log, err := os.Create(n.file("logs", "node.log"))
	if err != nil {
		return fmt.Errorf("making the log: %w", err)
	}
	defer func() { _ = log.Close() }()
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	command := exec.Command(program, "inside")
	stdin, err := command.StdinPipe()
	if err != nil {
		return fmt.Errorf("handing over the tools: %w", err)
	}
	command.Stdout, command.Stderr, command.ExtraFiles = log, log, []*os.File{socket}
	command.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true,
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC |
			unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP,
	}
	if err := groups.within(command.Start); err != nil {
		return fmt.Errorf("starting in namespaces of its own: %w", err)
	}
	err = json.NewEncoder(stdin).Encode(handover{Folder: n.folder, Tools: tools})
	if err := errors.Join(err, stdin.Close()); err != nil {
		return fmt.Errorf("handing over the tools: %w", err)
	}
	go func() { _ = command.Wait() }() // it is a zombie until then, if it ends early
	return nil
}

// down ends the node, if one runs, and removes all that it wrote.
func (n *node) down() error {
	text, err := os.ReadFile(n.file("groups.json"))
	if err == nil {
		var groups groups
		if err := json.Unmarshal(text, &groups); err != nil {
			return fmt.Errorf("reading the control groups: %w", err)
		}
		if err := groups.remove(); err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("reading the control groups: %w", err)
	}
	if err := os.RemoveAll(n.folder); err != nil {
		return fmt.Errorf("removing the node's folder: %w", err)
	}
	return nil
}
