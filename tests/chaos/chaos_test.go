//go:build e2e

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedacore/http-add-on/tests/chaos/defect"
	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

const (
	namespace = "chaos"
	// patience bounds everything that must happen; nothing waits for it when all is well. KEDA
	// opens a stream again after a minute at most, and the scaler repeats its pushes every 15
	// seconds. The machine may also be busy with other work.
	patience = 3 * time.Minute
	// The number of interceptors does not change, which would be another reason for a change
	// of anything else.
	interceptors, scalers = 3, 3
	// In an hour with an API server there are this many cold requests and wakes at least.
	coldInAnHour, wakesInAnHour = 10_000, 500
)

// chaos is a run. Its methods are safe for concurrent use.
type chaos struct {
	*testing.T
	*cluster.Cluster
	settings

	ctx          context.Context
	began        time.Time
	interceptors []*interceptor
	scalers      []corev1.Pod
	targets      []*target

	mu         sync.Mutex
	violations map[string][]string // by invariant
	asked      int                 // requests that were answered
	cold       int                 // of them
	explained  int                 // requests that ended with their interceptor
	ended      int                 // requests that ended with their pod
	woken      int                 // wakes

	longest time.Duration // from the first request of a wake to its first answer
	away    time.Duration // time without an API server
	spared  time.Time     // until when the API server is not killed again
}

// TestChaos wakes all targets once in calm weather, and records what the components need then.
// The storm follows. In its last two fifths nothing is killed, so that leaks of processes stay
// visible.
func TestChaos(t *testing.T) {
	c := begin(t)
	c.Progress("CHAOS_SEED=%d CHAOS_TIME=%s CHAOS_DEFECT=%s", c.seed, c.length, c.defect)
	c.warmUp()
	if !c.violated() {
		before := c.measure()
		c.storm()
		c.settle()
		c.compare(before)
	}
	c.report()
}

// begin makes the targets.
func begin(t *testing.T) *chaos {
	t.Helper()
	c := &chaos{T: t, Cluster: world, settings: current, ctx: t.Context(), began: time.Now(), violations: map[string][]string{}}
	c.must(c.CreateNamespace(c.ctx, namespace))
	t.Cleanup(func() {
		if err := c.Client.Delete(context.WithoutCancel(c.ctx), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
			t.Error(err)
		}
	})
	for _, pod := range c.await("interceptor", interceptors) {
		c.interceptors = append(c.interceptors, c.newInterceptor(pod))
	}
	c.scalers = c.await("scaler", scalers)
	c.targets = targets()
	var manifests string
	for _, target := range c.targets {
		manifests += target.manifests()
	}
	c.must(c.Apply(c.ctx, namespace, manifests))
	for _, wait := range []string{"Ready scaledobjects", "Wakes interceptorroutes"} {
		var condition, kind string
		_, _ = fmt.Sscan(wait, &condition, &kind) // both are there
		_, err := c.Kubectl(c.ctx, "", "wait", "--namespace="+namespace, "--for=condition="+condition, kind, "--all", "--timeout="+patience.String())
		c.must(err)
	}
	return c
}

// await returns the pods of a component, once there are as many and all are ready.
func (c *chaos) await(component string, many int) (pods []corev1.Pod) {
	c.Helper()
	c.must(c.eventually(func() (err error) {
		if pods, err = c.Pods(c.ctx, cluster.Namespace, "app.kubernetes.io/component="+component); err != nil {
			return err
		}
		ready := 0
		for _, pod := range pods {
			if slices.ContainsFunc(pod.Status.Conditions, func(condition corev1.PodCondition) bool {
				return condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
			}) {
				ready++
			}
		}
		if len(pods) != many || ready != many {
			return fmt.Errorf("%d of %d pods of the %s are ready, want %d", ready, len(pods), component, many)
		}
		return nil
	}))
	return pods
}

func (c *chaos) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// random returns a separate source for each part of the run: the actions of one must not change
// those of another.
func (c *chaos) random(part, number int) *rand.Rand {
	return rand.New(rand.NewPCG(c.seed, uint64(part)<<32|uint64(number)))
}

// log prints a line with the time since the start.
func (c *chaos) log(format string, args ...any) {
	c.Progress("%6.1f  %s", time.Since(c.began).Seconds(), fmt.Sprintf(format, args...))
}

// violate notes that an invariant does not hold.
func (c *chaos) violate(invariant, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.mu.Lock()
	c.violations[invariant] = append(c.violations[invariant], text)
	n := len(c.violations[invariant])
	c.mu.Unlock()
	if n <= 10 {
		c.log("VIOLATED: %s: %s", invariant, text)
	}
}

func (c *chaos) violated() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.violations) > 0
}

// report ends the run: nothing may be violated but what the defect breaks, and that must be.
func (c *chaos) report() {
	c.log("%d requests answered, %d of them cold; %d ended with their interceptor and %d with their pod, and were asked again; %d wakes, the longest %s",
		c.asked, c.cold, c.explained, c.ended, c.woken, c.longest.Round(10*time.Millisecond))
	if c.defect != "" {
		if len(c.violations[c.breaks]) == 0 {
			c.Errorf("the defect %s was not noticed: %q was not violated", c.defect, c.breaks)
		}
		return
	}
	if c.ended > c.asked/100 {
		c.Errorf("%d of %d requests ended with their pod", c.ended, c.asked)
	}
	for invariant, all := range c.violations {
		c.Errorf("%s: violated %d times, first: %s", invariant, len(all), all[0])
	}
	if c.Failed() {
		c.Errorf("again: CHAOS_SEED=%d CHAOS_TIME=%s make chaos", c.seed, c.length)
	}
}

// warmUp wakes each target once.
func (c *chaos) warmUp() {
	var all sync.WaitGroup
	for _, t := range c.targets {
		all.Go(func() {
			c.wake(t, 0)
			c.awaitAsleep(c.ctx, t)
		})
	}
	all.Wait()
	c.log("all targets were woken once")
}

// storm disturbs the cluster while the targets are woken again and again.
func (c *chaos) storm() {
	load, stop := context.WithTimeout(c.ctx, c.length)
	defer stop()
	var all sync.WaitGroup
	for _, t := range c.targets {
		all.Go(func() {
			for n := 1; c.awaitAsleep(load, t); n++ {
				c.wake(t, n)
			}
		})
	}
	all.Go(func() { c.disturb(load) })
	all.Wait()
	share := (c.length - c.away).Hours() // nothing wakes without an API server
	if cold, least := float64(c.cold), coldInAnHour*share; cold < least {
		c.violate(defect.Work, "%.0f cold requests, want %.0f at least", cold, least)
	}
	if woken, least := float64(c.woken), wakesInAnHour*share; woken < least {
		c.violate(defect.Work, "%.0f wakes, want %.0f at least", woken, least)
	}
}
