//go:build e2e

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// cgroupRoot is where control groups are mounted.
const cgroupRoot = "/sys/fs/cgroup"

// machineIsFit returns what this machine lacks for a node.
func machineIsFit() error {
	if os.Geteuid() != 0 {
		return errors.New("it takes root")
	}
	var missing []error
	for _, path := range []string{"/usr/sbin/runc", "/usr/sbin/nft", "/usr/lib/cni/bridge", "/usr/lib/cni/host-local"} {
		if _, err := exec.LookPath(path); err != nil {
			missing = append(missing, fmt.Errorf("%s is missing", path))
		}
	}
	if _, err := os.Stat("/proc/sys/net/bridge/bridge-nf-call-iptables"); err != nil {
		missing = append(missing, errors.New("the kernel has no br_netfilter"))
	}
	if systems, err := os.ReadFile("/proc/filesystems"); err != nil || !strings.Contains(string(systems), "\toverlay\n") {
		missing = append(missing, errors.New("the kernel has no overlayfs"))
	}
	return errors.Join(missing...)
}

// traces lists what a node could leave behind on this machine: its mounts, and its end of a cable. Each
// namespace ends with its last process, and every process of a node is in its control groups.
func traces(folder string) ([]string, error) {
	var all []string
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("listing mounts: %w", err)
	}
	for line := range strings.Lines(string(mounts)) {
		point := strings.Fields(line)[4] + "/" // proc_pid_mountinfo(5)
		if slices.ContainsFunc([]string{folder, state, upper}, func(path string) bool { return strings.HasPrefix(point, path+"/") }) {
			all = append(all, "the mount "+point)
		}
	}
	if _, err := netlink.LinkByName(wall); err == nil {
		all = append(all, "the link "+wall)
	}
	return all, nil
}

// groups are the node's control groups: a folder for each hierarchy of version 1, or one folder of
// version 2.
type groups struct {
	Folders []string // the node's
	Before  []string // of the process that starts it, in the same order
}

// makeGroups makes the groups below those of this process. With version 2 it makes a group at the
// top, because a group that has processes cannot have controllers below it.
func makeGroups() (groups, error) {
	all := groups{}
	name := fmt.Sprintf("http-add-on-node-%d", os.Getpid())
	hierarchies, err := ownGroups()
	if err != nil {
		return all, err
	}
	for hierarchy, path := range hierarchies {
		before := filepath.Join(cgroupRoot, hierarchy, path)
		folder := filepath.Join(before, name)
		if hierarchy == "" {
			folder = filepath.Join(cgroupRoot, name)
		}
		if err := os.Mkdir(folder, 0o755); err != nil {
			return all, errors.Join(fmt.Errorf("making a control group: %w", err), all.remove())
		}
		all.Folders, all.Before = append(all.Folders, folder), append(all.Before, before)
		if hierarchy != "cpuset" {
			continue
		}
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // a new group has none
			content, err := os.ReadFile(filepath.Join(before, file))
			if err == nil {
				err = os.WriteFile(filepath.Join(folder, file), content, 0o644)
			}
			if err != nil {
				return all, errors.Join(fmt.Errorf("setting up a control group: %w", err), all.remove())
			}
		}
	}
	return all, nil
}

// ownGroups returns the control groups of this process by hierarchy: the name of its folder in
// cgroupRoot, or nothing for version 2.
func ownGroups() (map[string]string, error) {
	file, err := os.Open("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("reading the control groups: %w", err)
	}
	defer func() { _ = file.Close() }()
	own, unified := map[string]string{}, ""
	for lines := bufio.NewScanner(file); lines.Scan(); {
		_, rest, _ := strings.Cut(lines.Text(), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		if controllers == "" {
			unified = path
			continue
		}
		own[strings.TrimPrefix(controllers, "name=")] = path
	}
	if len(own) == 0 {
		own[""] = unified
	}
	return own, nil
}

// within calls f while this process is in the groups. A process that f starts is too.
func (g groups) within(f func() error) error {
	err := enter(g.Folders)
	if err == nil {
		err = f()
	}
	return errors.Join(err, enter(g.Before))
}

// enter moves this process into groups.
func enter(folders []string) error {
	for _, folder := range folders {
		if err := os.WriteFile(filepath.Join(folder, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
			return fmt.Errorf("entering a control group: %w", err)
		}
	}
	return nil
}

// remove kills every process in the groups, and removes them.
func (g groups) remove() error {
	deadline := time.Now().Add(time.Minute)
	for {
		left := 0
		for _, folder := range g.Folders {
			pids, err := processes(folder)
			if err != nil {
				return err
			}
			left += len(pids)
			for _, pid := range pids {
				if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
					return fmt.Errorf("ending process %d of the node: %w", pid, err)
				}
			}
		}
		if left == 0 {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes of the node do not end", left)
		}
		<-time.After(50 * time.Millisecond)
	}
	for _, folder := range g.Folders {
		all, err := subfolders(folder)
		if err != nil {
			return err
		}
		for _, folder := range slices.Backward(all) { // the inner ones first
			if err := unix.Rmdir(folder); err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("removing the control group %s: %w", folder, err)
			}
		}
	}
	return nil
}

// processes are all processes of a group and of those below it.
func processes(group string) ([]int, error) {
	folders, err := subfolders(group)
	if err != nil {
		return nil, err
	}
	var all []int
	for _, folder := range folders {
		text, err := os.ReadFile(filepath.Join(folder, "cgroup.procs"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENODEV) { // it was removed meanwhile
			return nil, fmt.Errorf("reading a control group: %w", err)
		}
		for _, field := range strings.Fields(string(text)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				return nil, fmt.Errorf("reading a control group: %w", err)
			}
			all = append(all, pid)
		}
	}
	return all, nil
}

// subfolders are a folder and those below it, the outer ones first. A folder that vanishes
// meanwhile is left out.
func subfolders(folder string) ([]string, error) {
	var all []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && entry.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing the control groups: %w", err)
	}
	return all, nil
}
