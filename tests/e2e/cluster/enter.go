//go:build e2e

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kedacore/http-add-on/tests/support/controlplane"
	"github.com/kedacore/http-add-on/tests/support/kedacrd"
	"github.com/kedacore/http-add-on/tests/support/release"
)

// inside is the environment variable that tells a process that it is inside, and
// has its Tools.
const inside = "HTTP_ADD_ON_E2E_INSIDE"

// Tools are the files that a cluster needs, as absolute paths.
type Tools struct {
	Root     string // the repository
	Bin      string // interceptor, scaler, operator
	Examples string // modelsim, webapp
	Chart    string // folder or package of the chart

	Kubernetes string // etcd, kube-apiserver, kube-controller-manager, kubectl
	KEDA       string // operator, adapter
	Charts     string // helm
	KEDAModule string // KEDA's sources, with its manifests

	Kubeconfig string // of a cluster that exists; only Root, Chart, Kubernetes and Charts are set then
}

// KubeconfigVariable is the environment variable that names the kubeconfig of a cluster to test on.
const KubeconfigVariable = "E2E_KUBECONFIG"

// Run calls main in new namespaces (user, mount, PID, network) and returns its exit code. It
// builds what a cluster needs, then runs this program again, with the same arguments. All
// processes that main starts end with it, however it ends. SIGINT and SIGTERM cancel the context
// of main.
//
// If E2E_KUBECONFIG is set, main is called in this process.
//
// entered, if not nil, is called outside with the process ID of the inside.
func Run(main func(ctx context.Context, tools Tools) int, entered func(pid int, tools Tools)) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if text, ok := os.LookupEnv(inside); ok {
		var tools Tools
		err := errors.Join(json.Unmarshal([]byte(text), &tools), settle())
		if err != nil {
			fmt.Fprintln(os.Stderr, "entering the namespaces:", err)
			return 1
		}
		return main(ctx, tools)
	}
	if kubeconfig := os.Getenv(KubeconfigVariable); kubeconfig != "" {
		tools, err := prepareFor(ctx, kubeconfig, os.Stderr)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return main(ctx, tools)
	}
	code, err := enter(ctx, entered)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// enter runs this program inside and returns its exit code.
func enter(ctx context.Context, entered func(pid int, tools Tools)) (int, error) {
	tools, err := prepare(ctx, os.Stderr)
	if err != nil {
		return 0, err
	}
	text, err := json.Marshal(tools)
	if err != nil {
		return 0, fmt.Errorf("handing over the tools: %w", err)
	}
	program, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("finding this program: %w", err)
	}
	// The kernel kills the inside when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	command := exec.Command(program, os.Args[1:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Env = append(os.Environ(), inside+"="+string(text))
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
		Setpgid:     true, // Ctrl-C reaches the inside once, from here
	}
	if err := command.Start(); err != nil {
		return 0, fmt.Errorf("starting in namespaces of its own (are unprivileged user namespaces allowed?): %w", err)
	}
	if entered != nil {
		entered(command.Process.Pid, tools)
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-ctx.Done():
			_ = command.Process.Signal(syscall.SIGTERM)
		case <-ended:
		}
	}()
	if err := command.Wait(); command.ProcessState == nil {
		return 0, fmt.Errorf("waiting for the inside: %w", err)
	}
	if code := command.ProcessState.ExitCode(); code >= 0 {
		return code, nil
	}
	return 0, fmt.Errorf("the inside ended by %s", command.ProcessState)
}

// settle makes the file system of the inside its own.
func settle() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	return nil
}

// prepareFor builds what tests on a cluster that exists need.
func prepareFor(ctx context.Context, kubeconfig string, progress io.Writer) (Tools, error) {
	root, err := controlplane.Root()
	if err != nil {
		return Tools{}, err
	}
	tools := Tools{Root: root, Chart: filepath.Join(root, "charts/keda-add-ons-http"), Kubeconfig: kubeconfig}
	for folder, args := range map[*string][]string{
		&tools.Kubernetes: {"kubernetes", "kubectl"},
		&tools.Charts:     {"charts", "helm"},
	} {
		command := exec.CommandContext(ctx, filepath.Join(root, "hack/tools/install.sh"), args...)
		command.Stderr = progress
		out, err := command.Output()
		if err != nil {
			return Tools{}, fmt.Errorf("building %s: %w", args[1], err)
		}
		*folder = strings.TrimSpace(string(out))
	}
	return tools, nil
}

// prepare builds what a cluster needs, and prints that, because it takes a while with a cold
// cache.
func prepare(ctx context.Context, progress io.Writer) (Tools, error) {
	start := time.Now()
	root, err := controlplane.Root()
	if err != nil {
		return Tools{}, err
	}
	run := func(name string, args ...string) (string, error) {
		command := exec.CommandContext(ctx, name, args...)
		command.Dir, command.Stderr = root, progress
		command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false") // as in the Makefile
		out, err := command.Output()
		if err != nil {
			return "", fmt.Errorf("running %s %s: %w", filepath.Base(name), strings.Join(args, " "), err)
		}
		return strings.TrimSpace(string(out)), nil
	}
	install := filepath.Join(root, "hack/tools/install.sh")
	bin := filepath.Join(root, "bin")
	tools := Tools{Root: root, Bin: bin, Examples: bin, Chart: filepath.Join(root, "charts/keda-add-ons-http")}
	for _, module := range []struct {
		folder *string
		args   []string
	}{
		{&tools.Kubernetes, []string{"kubernetes", "etcd", "kube-apiserver", "kube-controller-manager", "kubectl"}},
		{&tools.KEDA, []string{"keda", "operator", "adapter"}},
		{&tools.Charts, []string{"charts", "helm"}},
	} {
		if *module.folder, err = run(install, module.args...); err != nil {
			return Tools{}, err
		}
	}
	if tools.KEDAModule, err = kedacrd.Module(ctx); err != nil {
		return Tools{}, err
	}
	_, err = run("go", "build", "-o", "bin/", "./interceptor", "./scaler", "./operator", "./examples/modelsim", "./examples/webapp")
	if err != nil {
		return Tools{}, err
	}
	folder, chart, err := release.Folder(root)
	if err != nil {
		return Tools{}, err
	}
	if folder != "" {
		images, err := run(install, "images", "image")
		if err != nil {
			return Tools{}, err
		}
		tools.Chart, tools.Bin = chart, filepath.Join(bin, "e2e-release")
		_, err = run(filepath.Join(images, "image"), "-out", filepath.Join(folder, "images"), "-extract", tools.Bin, "interceptor", "scaler", "operator")
		if err != nil {
			return Tools{}, err
		}
	}
	_, _ = fmt.Fprintf(progress, "built everything in %s\n", time.Since(start).Round(100*time.Millisecond))
	return tools, nil
}
