package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// guard is a shell that waits on a pipe, and then kills its process group. Only we hold the other
// end of the pipe. The program is started into that group, so neither it nor a child of it can
// survive us, not even kill -9. The guard ignores the signals that ask a group to stop.
const guardScript = `trap '' TERM INT HUP QUIT; read _; kill -KILL 0`

// group is a process group with a guard in it and a program.
type group struct {
	guard *exec.Cmd
	hold  *os.File // the end of the pipe: closing it kills the group
	dead  bool
}

// newGroup starts a guard.
func newGroup() (*group, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("creating a pipe: %w", err)
	}
	defer func() { _ = read.Close() }()
	guard := exec.Command("/bin/sh", "-c", guardScript)
	guard.Stdin = read
	guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := guard.Start(); err != nil {
		_ = write.Close()
		return nil, fmt.Errorf("starting the guard of a process group: %w", err)
	}
	return &group{guard: guard, hold: write}, nil
}

// start runs a program in the group.
func (g *group) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: g.guard.Process.Pid}
	return cmd.Start()
}

// terminate asks all of the group to stop.
func (g *group) terminate() error {
	err := syscall.Kill(-g.guard.Process.Pid, syscall.SIGTERM)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// kill ends what is left of the group and waits for the guard. A second call does nothing,
// because another group may have the number by then.
func (g *group) kill() {
	if g.dead {
		return
	}
	g.dead = true
	_ = syscall.Kill(-g.guard.Process.Pid, syscall.SIGKILL)
	_ = g.hold.Close()
	_ = g.guard.Wait()
}
