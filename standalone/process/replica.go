package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
)

// defaultGrace is Kubernetes' terminationGracePeriodSeconds.
const defaultGrace = 30 * time.Second

// outputGrace is how long the output of a process is read after its end. A child that left the
// process group may keep the pipe open forever.
const outputGrace = 200 * time.Millisecond

// replica keeps one process of a workload running. Its goroutine owns it, but
// ready, which the node's lock guards.
type replica struct {
	node       *Node
	workload   *workload
	deployment *appsv1.Deployment
	name       string
	cancel     context.CancelFunc
	ready      *lease // nil while not ready
}

// run starts the process, again and again with a growing delay if it exits,
// until ctx ends. When it returns nothing of the process is left.
func (r *replica) run(ctx context.Context) {
	log := r.node.options.Log.WithValues("object", r.deployment.Namespace+"/"+r.name)
	delay := time.Duration(0)
	for ctx.Err() == nil {
		began := time.Now()
		err := r.attempt(ctx, log)
		if ctx.Err() != nil {
			return
		}
		delay = r.node.options.delay(delay, time.Since(began))
		log.Info("process is not running; it will be restarted", "reason", err.Error(), "delay", delay.String())
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
	}
}

// delay before the next attempt, after one that ran for so long and came after
// another delay: twice that, unless it ran well.
func (o Options) delay(before, ran time.Duration) time.Duration {
	if before == 0 || ran > o.MaxBackoff {
		return o.Backoff
	}
	return min(2*before, o.MaxBackoff)
}

// attempt runs the process once, to its end, which it returns as an error.
func (r *replica) attempt(ctx context.Context, log logr.Logger) error {
	container := &r.deployment.Spec.Template.Spec.Containers[0]
	ports := make([]int32, 0, len(container.Ports))
	for _, p := range container.Ports {
		ports = append(ports, p.ContainerPort)
	}
	at, err := r.node.lease(r.deployment.Namespace+"/"+r.name, ports)
	if err != nil {
		return err
	}
	defer at.release()
	if err := unused(at, ports); err != nil {
		return err
	}
	cmd, err := command(r.deployment, r.name, at, r.node.environ)
	if err != nil {
		return err
	}
	finish, err := r.capture(cmd)
	if err != nil {
		return err
	}
	defer finish()
	group, err := newGroup()
	if err != nil {
		return err
	}
	defer group.kill()
	if err := group.start(cmd); err != nil {
		return fmt.Errorf("starting the process: %w", err)
	}
	log.V(1).Info("process has started", "address", at.address(ports[0]), "pid", cmd.Process.Pid)

	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	stopProbe := r.probe(ctx, log, at)
	select {
	case err = <-exited:
		stopProbe()
	case <-ctx.Done():
		stopProbe()
		err = r.terminate(log, group, exited)
	}
	if err == nil {
		err = errors.New("exit status 0")
	}
	return err
}

// probe follows the readiness of the process; after stop it is not ready.
func (r *replica) probe(ctx context.Context, log logr.Logger, at *lease) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var probing sync.WaitGroup
	probing.Go(func() {
		newProbe(&r.deployment.Spec.Template.Spec.Containers[0], at).watch(ctx, func(ready bool, reason error) {
			if ready {
				r.node.setReady(r, at)
				return
			}
			log.Info("process is no longer ready", "reason", reason.Error())
			r.node.setReady(r, nil)
		})
	})
	return func() {
		cancel()
		probing.Wait()
		r.node.setReady(r, nil)
	}
}

// terminate asks the process to stop, and waits for its end as long as its Deployment grants it.
// Then it kills what is left.
func (r *replica) terminate(log logr.Logger, g *group, exited <-chan error) error {
	grace := defaultGrace
	if seconds := r.deployment.Spec.Template.Spec.TerminationGracePeriodSeconds; seconds != nil {
		grace = time.Duration(*seconds) * time.Second
	}
	if err := g.terminate(); err != nil {
		log.Error(err, "asking the process to stop")
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case err := <-exited:
		return err
	case <-late.C:
	}
	log.Info("process did not stop in time; killing it", "duration", grace.String())
	g.kill()
	return <-exited
}

// capture sends what the process writes to the node's output. The returned
// function must be called at its end. The process writes to a pipe, not to us:
// so waiting for it does not wait for its children.
func (r *replica) capture(cmd *exec.Cmd) (finish func(), err error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("creating a pipe: %w", err)
	}
	cmd.Stdout, cmd.Stderr = write, write
	prefix := r.name
	if ns := r.deployment.Namespace; cmp.Or(ns, "default") != "default" {
		prefix = ns + "/" + r.name
	}
	var copying sync.WaitGroup
	copying.Go(func() { r.node.out.copy(prefix, read) })
	return func() {
		_ = write.Close()
		_ = read.SetReadDeadline(time.Now().Add(outputGrace))
		copying.Wait()
		_ = read.Close()
	}, nil
}

// unused makes sure that nothing listens where the process is going to: else
// that would be probed, found ready and get the requests.
func unused(at *lease, containerPorts []int32) error {
	for _, port := range containerPorts {
		l, err := net.Listen("tcp", at.address(port))
		if err != nil {
			return fmt.Errorf("finding the port unused: %w", err)
		}
		_ = l.Close()
	}
	return nil
}
