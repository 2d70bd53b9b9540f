//go:build e2e

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// state is where the node's folder is inside.
const state = "/run/node"

// upper is where what is written to system folders is inside.
const upper = "/run/upper"

// inside is the first process of the node. It sets the node up, and does not return.
func inside() error {
	var given handover
	if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
		return fmt.Errorf("reading the tools: %w", err)
	}
	var listeners []net.Listener
	for i := range doors {
		listener, err := net.FileListener(os.NewFile(uintptr(3+i), "listener"))
		if err != nil {
			return fmt.Errorf("taking over a listener: %w", err)
		}
		listeners = append(listeners, listener)
	}
	if err := unix.Sethostname([]byte(nodeName)); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	if err := setUpMounts(given.Folder); err != nil {
		return err
	}
	if err := setUpNetwork(); err != nil {
		return err
	}
	for i, door := range doors {
		go passOn(listeners[i], door)
	}
	return supervise(programs(given.Tools), strings.Join(append(given.Tools.path(), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"), ":"))
}

// setUpMounts gives the node its own /proc, /run and control groups. What it writes to system
// folders goes to memory.
func setUpMounts(folder string) error {
	// The folder may be below one that another mount hides.
	kept, err := unix.Open(folder, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening the node's folder: %w", err)
	}
	defer func() { _ = unix.Close(kept) }()
	mount := func(source, target, kind string, flags uintptr, data string) {
		if err == nil {
			if err = unix.Mount(source, target, kind, flags, data); err != nil {
				err = fmt.Errorf("mounting %s: %w", target, err)
			}
		}
	}
	folders := func(names ...string) {
		for _, name := range names {
			if err == nil {
				err = os.MkdirAll(name, 0o755)
			}
		}
	}
	mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "") // the kubelet and containerd share their mounts
	mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755")
	folders(state)
	mount(fmt.Sprintf("/proc/self/fd/%d", kept), state, "", unix.MS_BIND, "")
	for _, name := range []string{"/etc", "/opt", "/usr", "/var"} {
		changed, work := upper+name, "/run/work"+name
		folders(changed, work)
		mount("overlay", name, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", name, changed, work))
	}
	folders("/run/tmp")
	if err != nil {
		return err
	}
	return mountGroups()
}

// mountGroups mounts the control groups again: in the new namespace, the node's are at the top.
func mountGroups() error {
	own, err := ownGroups()
	if err != nil {
		return err
	}
	if err := unix.Unmount(cgroupRoot, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detaching the machine's control groups: %w", err)
	}
	if _, ok := own[""]; ok {
		return mountUnified()
	}
	if err := unix.Mount("tmpfs", cgroupRoot, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755"); err != nil {
		return fmt.Errorf("mounting %s: %w", cgroupRoot, err)
	}
	for hierarchy := range own {
		folder, options := filepath.Join(cgroupRoot, hierarchy), hierarchy
		if hierarchy == "systemd" {
			options = "none,name=systemd"
		}
		if err := os.Mkdir(folder, 0o755); err != nil {
			return fmt.Errorf("mounting control groups: %w", err)
		}
		if err := unix.Mount("cgroup", folder, "cgroup", 0, options); err != nil {
			return fmt.Errorf("mounting the control group %s: %w", hierarchy, err)
		}
	}
	return nil
}

// mountUnified mounts version 2. The node's processes move into a group of their own, because a
// group that has processes cannot have controllers below it.
func mountUnified() error {
	if err := unix.Mount("cgroup2", cgroupRoot, "cgroup2", 0, ""); err != nil {
		return fmt.Errorf("mounting control groups: %w", err)
	}
	own := filepath.Join(cgroupRoot, "programs")
	if err := os.Mkdir(own, 0o755); err != nil {
		return fmt.Errorf("making a control group: %w", err)
	}
	if err := enter([]string{own}); err != nil {
		return err
	}
	controllers, err := os.ReadFile(filepath.Join(cgroupRoot, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("reading the controllers: %w", err)
	}
	enable := "+" + strings.Join(strings.Fields(string(controllers)), " +")
	if err := os.WriteFile(filepath.Join(cgroupRoot, "cgroup.subtree_control"), []byte(enable), 0o644); err != nil {
		return fmt.Errorf("enabling the controllers: %w", err)
	}
	return nil
}

// program is one of the node's programs.
type program struct {
	name, path string
	args       []string
}

// supervise runs the programs, starts one that ends again after a second, and reaps every orphan of
// the node. It returns only if a program cannot be started.
func supervise(programs []program, path string) error {
	running := map[int]program{}
	start := func(p program) error {
		log, err := os.OpenFile(filepath.Join(state, "logs", p.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return fmt.Errorf("starting %s: %w", p.name, err)
		}
		defer func() { _ = log.Close() }()
		command := exec.Command(p.path, p.args...)
		command.Stdout, command.Stderr, command.Dir = log, log, "/"
		command.Env = []string{"PATH=" + path, "TMPDIR=/run/tmp", "HOME=/run/tmp"}
		if err := command.Start(); err != nil {
			return fmt.Errorf("starting %s: %w", p.name, err)
		}
		running[command.Process.Pid] = p
		return nil
	}
	for _, p := range programs {
		if err := start(p); err != nil {
			return err
		}
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("waiting for the programs: %w", err)
		}
		p, ok := running[pid]
		if !ok {
			continue
		}
		delete(running, pid)
		_, _ = fmt.Fprintf(os.Stderr, "%s %s has ended: status %d, signal %d\n", time.Now().Format(time.TimeOnly), p.name, status.ExitStatus(), status.Signal())
		<-time.After(time.Second)
		if err := start(p); err != nil {
			return err
		}
	}
}

// passOn connects every client of the listener, which is on the machine's loopback address, with an
// address inside.
func passOn(listener net.Listener, address string) {
	for {
		client, err := listener.Accept()
		if err != nil {
			fmt.Fprintf(os.Stderr, "accepting a client of %s: %v\n", address, err)
			return
		}
		go func() {
			defer func() { _ = client.Close() }()
			server, err := net.Dial("tcp", address)
			if err != nil {
				return
			}
			defer func() { _ = server.Close() }()
			ended := make(chan struct{}, 2)
			for _, pass := range [][2]net.Conn{{client, server}, {server, client}} {
				go func() {
					_, _ = io.Copy(pass[0], pass[1])
					ended <- struct{}{}
				}()
			}
			<-ended // TLS and the agent end a connection for both sides
		}()
	}
}

// programs are all programs of the node.
func programs(t tools) []program {
	kubernetes := func(name string) string { return filepath.Join(t.Kubernetes, name) }
	pki := func(name string) string { return filepath.Join(state, "pki", name) }
	kubeconfig := func(name string) string { return pki(name + ".kubeconfig") }
	const etcd = "http://127.0.0.1:2379"
	return []program{
		{"registry", filepath.Join(t.Images, "registry"), append([]string{"127.0.0.1:5000"}, t.images()...)},
		{"containerd", filepath.Join(t.Containerd, "containerd"), []string{"--config", filepath.Join(state, "etc/containerd.toml")}},
		{"etcd", kubernetes("etcd"), []string{
			"--data-dir=" + filepath.Join(state, "etcd"), "--unsafe-no-fsync", "--log-level=warn",
			"--listen-client-urls=" + etcd, "--advertise-client-urls=" + etcd, "--listen-peer-urls=http://127.0.0.1:2380",
		}},
		{"kube-apiserver", kubernetes("kube-apiserver"), []string{
			"--etcd-servers=" + etcd, "--advertise-address=" + nodeAddress, "--secure-port=" + apiPort,
			"--service-cluster-ip-range=" + serviceNetwork, "--allow-privileged=true",
			"--tls-cert-file=" + pki("apiserver.crt"), "--tls-private-key-file=" + pki("apiserver.key"), "--client-ca-file=" + pki("ca.crt"),
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
			"--kubelet-client-certificate=" + pki("apiserver-kubelet-client.crt"), "--kubelet-client-key=" + pki("apiserver-kubelet-client.key"),
			"--kubelet-certificate-authority=" + pki("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
			"--service-account-key-file=" + pki("sa.key"), "--service-account-signing-key-file=" + pki("sa.key"),
			// Aggregation, for KEDA's metrics.
			"--requestheader-client-ca-file=" + pki("ca.crt"), "--requestheader-allowed-names=front-proxy",
			"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
			"--requestheader-extra-headers-prefix=X-Remote-Extra-",
			"--proxy-client-cert-file=" + pki("front-proxy.crt"), "--proxy-client-key-file=" + pki("front-proxy.key"),
			"--audit-policy-file=" + filepath.Join(state, "etc/audit.yaml"), "--audit-log-path=" + filepath.Join(state, "audit.log"),
		}},
		{"kube-controller-manager", kubernetes("kube-controller-manager"), []string{
			"--kubeconfig=" + kubeconfig("kube-controller-manager"), "--leader-elect=false", "--use-service-account-credentials",
			"--authentication-kubeconfig=" + kubeconfig("kube-controller-manager"), "--authorization-kubeconfig=" + kubeconfig("kube-controller-manager"),
			"--root-ca-file=" + pki("ca.crt"), "--service-account-private-key-file=" + pki("sa.key"), "--cert-dir=/run/kube-controller-manager",
			"--cluster-signing-cert-file=" + pki("ca.crt"), "--cluster-signing-key-file=" + pki("ca.key"),
			// A cluster waits 15 seconds and 5 minutes.
			"--horizontal-pod-autoscaler-sync-period=1s", "--horizontal-pod-autoscaler-downscale-stabilization=5s",
		}},
		{"kube-scheduler", kubernetes("kube-scheduler"), []string{
			"--kubeconfig=" + kubeconfig("kube-scheduler"), "--leader-elect=false",
			"--authentication-kubeconfig=" + kubeconfig("kube-scheduler"), "--authorization-kubeconfig=" + kubeconfig("kube-scheduler"),
		}},
		{"kubelet", kubernetes("kubelet"), []string{
			"--config=" + filepath.Join(state, "etc/kubelet.yaml"), "--kubeconfig=" + kubeconfig("kubelet"),
			"--root-dir=" + filepath.Join(state, "kubelet"), "--cert-dir=/run/kubelet",
			"--hostname-override=" + nodeName, "--node-ip=" + nodeAddress,
		}},
		{"kube-proxy", kubernetes("kube-proxy"), []string{"--config=" + filepath.Join(state, "etc/kube-proxy.yaml"), "--hostname-override=" + nodeName}},
	}
}
