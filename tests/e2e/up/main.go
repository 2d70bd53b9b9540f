//go:build e2e

// Command up runs a cluster for manual experiments: "up start" starts one and leaves it running,
// "up stop" ends it. All its files are in bin/e2e.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kedacore/http-add-on/tests/e2e/cluster"
	"github.com/kedacore/http-add-on/tests/support/controlplane"
)

func main() {
	root, err := controlplane.Root()
	if err == nil {
		u := up{folder: filepath.Join(root, "bin/e2e")}
		switch strings.Join(os.Args[1:], " ") {
		case "start":
			err = u.start()
		case "stop":
			err = u.stop()
		case "serve": // what start leaves running
			os.Exit(cluster.Run(u.serve, u.entered))
		default:
			err = errors.New("usage: up start|stop")
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// up is a cluster in a folder.
type up struct{ folder string }

func (u up) file(name string) string { return filepath.Join(u.folder, name) }

// start starts this program again, as a daemon, and shows what it says until the
// cluster is ready.
func (u up) start() error {
	if pid := u.pid(); pid != 0 {
		return fmt.Errorf("a cluster runs already, as process %d", pid)
	}
	if err := errors.Join(os.RemoveAll(u.folder), os.MkdirAll(u.folder, 0o755)); err != nil {
		return fmt.Errorf("making the folder: %w", err)
	}
	log, err := os.Create(u.file("up.log"))
	if err != nil {
		return fmt.Errorf("making the log: %w", err)
	}
	defer func() { _ = log.Close() }()
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	daemon := exec.Command(program, "serve")
	daemon.Stdout, daemon.Stderr = log, log
	daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := daemon.Start(); err != nil {
		return fmt.Errorf("starting the cluster: %w", err)
	}
	if err := os.WriteFile(u.file("pid"), []byte(strconv.Itoa(daemon.Process.Pid)), 0o644); err != nil {
		return errors.Join(fmt.Errorf("writing the process ID: %w", err), daemon.Process.Kill())
	}
	ended := make(chan error, 1)
	go func() { ended <- daemon.Wait() }()
	shown, err := os.Open(u.file("up.log"))
	if err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	defer func() { _ = shown.Close() }()
	for {
		_, _ = io.Copy(os.Stdout, shown)
		if usage, err := os.ReadFile(u.file("usage")); err == nil {
			_, err = os.Stdout.Write(usage)
			return err
		}
		select {
		case err := <-ended:
			_, _ = io.Copy(os.Stdout, shown)
			return fmt.Errorf("the cluster has ended, see %s: %w", u.folder, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// stop ends the cluster, if one runs.
func (u up) stop() error {
	pid := u.pid()
	if pid == 0 {
		_, err := fmt.Fprintln(os.Stdout, "no cluster runs")
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("ending process %d: %w", pid, err)
	}
	for range 300 {
		if u.pid() == 0 {
			return nil
		}
		<-time.After(100 * time.Millisecond)
	}
	return fmt.Errorf("process %d does not end", pid)
}

// pid is the process of the cluster, 0 if none runs.
func (u up) pid() int {
	text, err := os.ReadFile(u.file("pid"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	// The number may be another's by now.
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.HasSuffix(string(command), "\x00serve\x00") {
		return 0
	}
	return pid
}

// entered writes the script that enters the namespaces.
func (u up) entered(pid int, tools cluster.Tools) {
	script := fmt.Sprintf(`#!/bin/sh
# Runs a command, or a shell, in the cluster's namespaces.
export KUBECONFIG=%s PATH=%s:%s:$PATH
[ $# -gt 0 ] || set -- bash
exec nsenter --target %d --user --preserve-credentials --mount --pid --net \
	sh -c 'cd "$0" && exec "$@"' "$PWD" "$@"
`, u.file("kubeconfig"), tools.Kubernetes, tools.Charts, pid)
	if err := os.WriteFile(u.file("enter"), []byte(script), 0o755); err != nil {
		fmt.Fprintln(os.Stderr, "writing the script:", err)
	}
}

// serve is the cluster, until ctx ends.
func (u up) serve(ctx context.Context, tools cluster.Tools) int {
	c, err := cluster.Start(ctx, tools, cluster.Options{Folder: u.folder, Out: os.Stdout})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer c.Stop()
	usage := fmt.Sprintf(`
The cluster runs; make e2e-down ends it. Logs are in %[1]s.

  %[2]s kubectl apply -f %[3]s/tests/e2e/up/play.yaml
  %[2]s curl -N -H 'Host: llm.example.com' -d '{"stream":true,"messages":[]}' http://%[4]s/v1/chat/completions
  %[2]s kubectl get deployments,pods --watch
  %[2]s        # a shell; kubectl and helm are there
`, u.file("logs"), u.file("enter"), tools.Root, cluster.Proxy)
	if err := os.WriteFile(u.file("usage"), []byte(usage), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "writing the usage:", err)
		return 1
	}
	<-ctx.Done()
	return 0
}
