//go:build e2e

package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is a part of the control plane, beside the pods.
type process struct {
	name    string
	command *exec.Cmd
	ended   chan struct{}
}

// start starts a program whose output goes to a file of its name in the folder logs.
func start(logs, name, program string, args ...string) (*process, error) {
	log, err := os.Create(filepath.Join(logs, name+".log"))
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	defer func() { _ = log.Close() }() // the program has its own
	command := exec.Command(program, args...)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p := &process{name: name, command: command, ended: make(chan struct{})}
	go func() {
		_ = command.Wait() // how it ended is in its state
		close(p.ended)
	}()
	return p, nil
}

// stop ends the program, by force if it does not end by itself.
func (p *process) stop() {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
		_ = p.command.Process.Kill()
		<-p.ended
	}
}

// failure is an error if the program has ended.
func (p *process) failure() error {
	select {
	case <-p.ended:
		return errors.New(p.name + " has ended: " + p.command.ProcessState.String())
	default:
		return nil
	}
}
