// Package harness starts processes under measurement, pins them to cores, and
// reads what they cost from the kernel's accounts. It must not know what the
// processes do.
package harness

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Command describes a process.
type Command struct {
	// Path and Args of the program.
	Path string
	Args []string
	// Env is added to the environment of this process.
	Env []string
	// Cores it may run on; empty means all.
	Cores []int
	// Output receives what it writes to its standard error and, unless Stdout is
	// read, to its standard output. Nil discards it.
	Output io.Writer
}

// Process is a running Command.
type Process struct {
	cmd    *exec.Cmd
	Stdout io.Reader // set by StartWithOutput only
}

// Start starts a process, which ends with this one at the latest.
func Start(c Command) (*Process, error) { return start(c, false) }

// StartWithOutput is Start for a process whose standard output the caller reads.
func StartWithOutput(c Command) (*Process, error) { return start(c, true) }

func start(c Command, piped bool) (*Process, error) {
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdout, cmd.Stderr = c.Output, c.Output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &Process{cmd: cmd}
	if piped {
		cmd.Stdout = nil
		var err error
		if p.Stdout, err = cmd.StdoutPipe(); err != nil {
			return nil, err
		}
	}
	if err := onCores(c.Cores, cmd.Start); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Path, err)
	}
	return p, nil
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stop asks the process to end, and kills it after 10 s.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	_ = p.cmd.Wait()
}

// Listening blocks until something accepts connections at address.
func Listening(ctx context.Context, address string) error {
	return Poll(ctx, func() (bool, error) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false, nil //nolint:nilerr // not yet
		}
		return true, conn.Close()
	})
}

// Answering blocks until GET url with the given Host is answered with 200.
func Answering(ctx context.Context, url, host string) error {
	return Poll(ctx, func() (bool, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false, err
		}
		r.Host = host
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			return false, nil //nolint:nilerr // not yet
		}
		return response.StatusCode == http.StatusOK, response.Body.Close()
	})
}

// Poll calls f every 10 ms until it reports true or fails.
func Poll(ctx context.Context, f func() (bool, error)) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := f()
		if done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// FreePort returns a loopback address with a free port, for programs that do not accept a listener.
// As long as this process runs, others can listen there only by naming it.
func FreePort() (string, error) {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	if err := syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return "", err
	}
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return "", err
	}
	address, err := syscall.Getsockname(socket)
	if err != nil {
		return "", err
	}
	return fmt.Sprint("127.0.0.1:", address.(*syscall.SockaddrInet4).Port), nil
}
