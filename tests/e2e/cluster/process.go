//go:build e2e

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// process is a part of the control plane, beside the pods.
type process struct {
	name, program, log string
	args               []string

	mu      sync.Mutex
	command *exec.Cmd
	ended   chan struct{}
	crashed bool // on purpose: it is about to be started again
}

// start starts a program whose output goes to a file of its name in the folder logs.
func start(logs, name, program string, args ...string) (*process, error) {
	p := &process{name: name, program: program, log: filepath.Join(logs, name+".log"), args: args}
	return p, p.start()
}

// start runs the program. The caller holds the lock, if anybody else has the process.
func (p *process) start() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	defer func() { _ = log.Close() }() // the program has its own
	command, ended := exec.Command(p.program, p.args...), make(chan struct{})
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	go func() {
		_ = command.Wait() // how it ended is in its state
		close(ended)
	}()
	p.command, p.ended = command, ended
	return nil
}

// crash kills the program, and starts it again after a pause.
func (p *process) crash(ctx context.Context, pause time.Duration) error {
	p.mu.Lock()
	ended := p.ended
	p.crashed = true
	err := p.command.Process.Kill()
	p.mu.Unlock()
	if err != nil {
		return fmt.Errorf("killing %s: %w", p.name, err)
	}
	<-ended
	wait(ctx, pause)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.crashed = false
	return p.start()
}

// stop ends the program, by force if it does not end by itself.
func (p *process) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
		_ = p.command.Process.Kill()
		<-p.ended
	}
}

// failure is an error if the program has ended by itself.
func (p *process) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.ended:
		if !p.crashed {
			return errors.New(p.name + " has ended: " + p.command.ProcessState.String())
		}
	default:
	}
	return nil
}
