//go:build e2e

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
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
	const usage = "usage: node tools | node up [-defect NAME] | node down"
	if len(args) == 0 {
		return errors.New(usage)
	}
	flags := flag.NewFlagSet("node", flag.ContinueOnError)
	flags.StringVar(&n.defect, "defect", "", "a defect of tests/chaos/defect that one of our programs gets")
	if err := flags.Parse(args[1:]); err != nil {
		return fmt.Errorf("%w; %s", err, usage)
	}
	switch {
	case args[0] == "tools" && flags.NArg() == 0:
		_, err := n.install(ctx)
		return err
	case args[0] == "up" && flags.NArg() == 0:
		return n.up(ctx)
	case args[0] == "down" && flags.NArg() == 0:
		return n.down()
	default:
		return errors.New(usage)
	}
}

// node is the node of a checkout.
type node struct {
	root   string // of the repository
	folder string // everything that the node writes
	defect string // of one of our programs; mostly empty
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
		return fmt.Errorf("%s exists: a node runs, or was not taken down; run make e2e-down", n.folder)
	}
	started := time.Now()
	progress := func(what string) {
		_, _ = fmt.Fprintf(os.Stdout, "  %-34s %5.1f s\n", what, time.Since(started).Seconds())
	}
	tools, err := n.build(ctx)
	if err != nil {
		return err
	}
	progress("tools and images built")
	started = time.Now()
	var listeners []*net.TCPListener // in the order of doors
	for range doors {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("listening for what is inside: %w", err)
		}
		defer func() { _ = listener.Close() }()
		listeners = append(listeners, listener.(*net.TCPListener))
	}
	if err := n.writeFiles(listeners); err != nil {
		return err
	}
	before, err := traces(n.folder)
	if err != nil {
		return err
	}
	text, err := json.Marshal(before)
	if err != nil {
		return fmt.Errorf("writing the traces of before: %w", err)
	}
	if err := write(n.file("traces.json"), text); err != nil {
		return err
	}
	if err := n.start(listeners, tools); err != nil {
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
			return fmt.Errorf("%s: not so: %w; logs are in %s, make e2e-down ends the node", step.name, err, n.file("logs"))
		}
		progress(step.name)
	}
	_, err = fmt.Fprintf(os.Stdout, "\nThe node runs; make e2e-down ends it. Logs are in %s.\n\n  export PATH=%s:%s:$PATH\n  export KUBECONFIG=%s\n",
		n.file("logs"), tools.Kubernetes, tools.Charts, n.kubeconfig())
	return err
}

// handover is what the first process inside reads from its standard input.
type handover struct {
	Folder string
	Tools  tools
}

// start starts the first process inside. It holds the sockets of the listeners from then on.
func (n *node) start(listeners []*net.TCPListener, tools tools) error {
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
	var sockets []*os.File
	for _, listener := range listeners {
		socket, err := listener.File()
		if err != nil {
			return fmt.Errorf("handing over a listener: %w", err)
		}
		defer func() { _ = socket.Close() }()
		sockets = append(sockets, socket)
	}
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
	command.Stdout, command.Stderr, command.ExtraFiles = log, log, sockets
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

// down ends the node, if one runs, and removes all that it wrote. It is an error if something
// stays that was not there before.
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
	text, err = os.ReadFile(n.file("traces.json"))
	if err := os.RemoveAll(n.folder); err != nil {
		return fmt.Errorf("removing the node's folder: %w", err)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil // it was never up
	}
	if err != nil {
		return fmt.Errorf("reading the traces of before: %w", err)
	}
	var before []string
	if err := json.Unmarshal(text, &before); err != nil {
		return fmt.Errorf("reading the traces of before: %w", err)
	}
	after, err := traces(n.folder)
	if err != nil {
		return err
	}
	if left := slices.DeleteFunc(after, func(trace string) bool { return slices.Contains(before, trace) }); len(left) > 0 {
		return fmt.Errorf("the node has left %s", strings.Join(left, ", "))
	}
	return nil
}
