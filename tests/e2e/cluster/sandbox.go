//go:build e2e

package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// containerSpec is all that starting a container's process needs.
type containerSpec struct {
	root         string // an empty folder, on which the root file system is mounted
	hostname     string
	image        image
	args         []string
	env          []string
	files        map[string][]byte // path in the container → content
	volumes      []volume
	readOnlyRoot bool
}

// image is a program at its path in the container: an image has nothing else.
type image struct {
	program    string // on the node
	entrypoint string // in the container
}

// volume is a folder of the node in a container.
type volume struct {
	folder, path string
}

// container is a running process of a pod.
type container struct {
	command *exec.Cmd
	ended   chan struct{} // closed when the process is gone
}

// startContainer starts the process of a container on a pod's network, with its own root file
// system that goes when the process goes.
func startContainer(spec containerSpec, network *podNetwork, log *os.File) (*container, error) {
	command := &exec.Cmd{
		Path:        spec.image.entrypoint,
		Args:        append([]string{spec.image.entrypoint}, spec.args...),
		Env:         spec.env,
		Dir:         "/",
		Stdout:      log,
		Stderr:      log,
		SysProcAttr: &syscall.SysProcAttr{Chroot: spec.root, Setpgid: true},
	}
	err := onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWUTS); err != nil {
			return fmt.Errorf("making namespaces: %w", err)
		}
		if err := netns.Set(network.namespace); err != nil {
			return fmt.Errorf("entering the pod's network: %w", err)
		}
		if err := unix.Sethostname([]byte(spec.hostname)); err != nil {
			return fmt.Errorf("setting the host name: %w", err)
		}
		if err := spec.mount(); err != nil {
			return fmt.Errorf("making the root file system: %w", err)
		}
		return command.Start()
	})
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", spec.image.entrypoint, err)
	}
	c := &container{command: command, ended: make(chan struct{})}
	go func() {
		_ = command.Wait() // how it ended is in its state
		close(c.ended)
	}()
	return c, nil
}

// mount makes the root file system, in a mount namespace made for it.
func (s containerSpec) mount() error {
	// A process that starts meanwhile would hold files that are being written, for a
	// moment, and nothing with such a file can be made read-only.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", s.root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return err
	}
	for path, content := range s.files {
		path = filepath.Join(s.root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)); err != nil {
			return err
		}
	}
	if err := os.Mkdir(filepath.Join(s.root, "tmp"), 0o777); err != nil {
		return err
	}
	for _, v := range append([]volume{
		{folder: "/proc", path: "/proc"},
		{folder: "/dev/null", path: "/dev/null"},
		{folder: s.image.program, path: s.image.entrypoint},
	}, s.volumes...) {
		if err := v.bind(s.root); err != nil {
			return fmt.Errorf("mounting %s: %w", v.path, err)
		}
	}
	if s.readOnlyRoot {
		return unix.Mount("", s.root, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "")
	}
	return nil
}

// bind mounts the folder, or the file, below root.
func (v volume) bind(root string) error {
	target := filepath.Join(root, v.path)
	info, err := os.Stat(v.folder)
	if err != nil {
		return err
	}
	if info.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else {
		err = errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), os.WriteFile(target, nil, 0o755))
	}
	if err != nil {
		return err
	}
	return unix.Mount(v.folder, target, "", unix.MS_BIND|unix.MS_REC, "")
}

// signal sends a signal to the process, if it still runs.
func (c *container) signal(signal os.Signal) error {
	if err := c.command.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %s to process %d: %w", signal, c.command.Process.Pid, err)
	}
	return nil
}
