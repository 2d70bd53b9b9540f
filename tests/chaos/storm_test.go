//go:build e2e

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kedacore/http-add-on/tests/chaos/defect"
	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

// disturbance is one thing that goes wrong. It ends by itself.
type disturbance struct {
	name string
	kill bool // not in the last two fifths of the storm
	do   func(c *chaos, random *rand.Rand) (what string, err error)
}

var disturbances = []disturbance{
	{"kill an interceptor", true, (*chaos).killInterceptor},
	{"kill a scaler", true, func(c *chaos, random *rand.Rand) (string, error) {
		return c.kill(c.scalers[random.IntN(len(c.scalers))])
	}},
	{"kill the operator", true, func(c *chaos, _ *rand.Rand) (string, error) {
		return c.killOnly("app.kubernetes.io/component=operator")
	}},
	{"kill KEDA", true, func(c *chaos, _ *rand.Rand) (string, error) { return c.killOnly("app=keda-operator") }},
	{"kill the API server", true, (*chaos).killAPIServer},
	{"mute an interceptor", false, partition(true, false)},
	{"mute the scalers", false, partition(false, true)},
	{"part an interceptor from the scalers", false, partition(true, true)},
	{"freeze a backend", false, (*chaos).freeze},
	{"unplug a backend", false, (*chaos).unplug},
}

// disturb disturbs the cluster until ctx ends. Each round has all disturbances in a new order.
// disturb returns when all of them are over.
func (c *chaos) disturb(ctx context.Context) {
	random := c.random(0, 0)
	started := time.Now()
	var running sync.WaitGroup
	defer running.Wait()
	for round := 0; ; round++ {
		order := random.Perm(len(disturbances))
		for _, n := range order {
			after, own := between(random, 1500*time.Millisecond, 5*time.Second), c.random(-1, round<<8|n)
			d := disturbances[n]
			if d.kill && time.Since(started) > c.length*3/5 {
				continue
			}
			if !pause(ctx, after) {
				return
			}
			running.Go(func() {
				what, err := d.do(c, own)
				if err != nil {
					what += ": " + err.Error()
				}
				c.log("%s: %s", d.name, what)
			})
		}
	}
}

// between is a random time.
func between(random *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(random.Int64N(int64(most-least))).Round(time.Millisecond)
}

func (c *chaos) kill(pod corev1.Pod) (string, error) {
	return pod.Name, c.Signal(c.ctx, pod.Namespace, pod.Name, syscall.SIGKILL)
}

// killOnly kills the one pod that a selector selects.
func (c *chaos) killOnly(selector string) (string, error) {
	pods, err := c.Pods(c.ctx, cluster.Namespace, selector)
	if err != nil {
		return "", err
	}
	if len(pods) != 1 {
		return "", fmt.Errorf("%d pods are %s", len(pods), selector)
	}
	return c.kill(pods[0])
}

// killInterceptor returns when the next process is ready.
func (c *chaos) killInterceptor(random *rand.Rand) (string, error) {
	i := c.interceptors[random.IntN(len(c.interceptors))]
	if i.isDown(time.Now()) {
		return i.Name + " is down already", nil
	}
	up := i.down()
	defer up()
	what, err := c.kill(i.Pod)
	if err != nil {
		return what, err
	}
	killed := time.Now()
	// The kubelet starts it again after some seconds.
	for ready := false; !ready; {
		if time.Since(killed) > patience {
			c.violate(defect.Answered, "%s is not ready %s after a kill", i.Name, patience)
			return what, nil
		}
		if !pause(c.ctx, 300*time.Millisecond) {
			return what, nil
		}
		ready = c.get(i.admin("/readyz"), func(*http.Response) error { return nil }) == nil
	}
	return fmt.Sprintf("%s, ready again %s later", what, time.Since(killed).Round(time.Millisecond)), nil
}

// killAPIServer returns when the next process serves. It is spared then for as long as it was
// away, and for 150 seconds. Kubernetes' own controllers wait longer from one failure to the next,
// up to a minute, until there was none for two minutes.
func (c *chaos) killAPIServer(*rand.Rand) (string, error) {
	killed := time.Now()
	c.mu.Lock()
	spared := killed.Before(c.spared)
	if !spared {
		c.spared = killed.Add(2 * patience)
	}
	c.mu.Unlock()
	if spared {
		return "it was away not long ago", nil
	}
	err := c.Kill(c.ctx, "kube-apiserver")
	if err == nil {
		err = c.eventually(func() error {
			_, err := c.Pods(c.ctx, namespace, "")
			return err
		})
	}
	away := time.Since(killed)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away += away
	c.spared = time.Now().Add(max(away, 150*time.Second))
	return fmt.Sprintf("serves again %s later", away.Round(time.Millisecond)), err
}

// partition has everything vanish that one interceptor sends to all scalers (mute), or that
// they send to it (deaf).
func partition(mute, deaf bool) func(*chaos, *rand.Rand) (string, error) {
	return func(c *chaos, random *rand.Rand) (string, error) {
		i := c.cutOff(random)
		if i == nil {
			return "all are cut off already", nil
		}
		defer i.cut.Unlock()
		var heals []func() error
		defer func() {
			for _, heal := range heals {
				if err := heal(); err != nil {
					c.log("healing a partition of %s: %v", i.Name, err)
				}
			}
		}()
		cut := func(from corev1.Pod, to ...corev1.Pod) error {
			heal, err := c.Partition(c.ctx, &from, to...)
			if err == nil {
				heals = append(heals, heal)
			}
			return err
		}
		if mute {
			if err := cut(i.Pod, c.scalers...); err != nil {
				return i.Name, err
			}
		}
		for _, scaler := range c.scalers {
			if !deaf {
				break
			}
			if err := cut(scaler, i.Pod); err != nil {
				return i.Name, err
			}
		}
		length := between(random, 2*time.Second, 10*time.Second)
		pause(c.ctx, length)
		return fmt.Sprintf("%s for %s", i.Name, length), nil
	}
}

// cutOff returns an interceptor without a partition, with its lock, or nil.
func (c *chaos) cutOff(random *rand.Rand) *interceptor {
	for _, n := range random.Perm(len(c.interceptors)) {
		if c.interceptors[n].cut.TryLock() {
			return c.interceptors[n]
		}
	}
	return nil
}

// backend is a pod of a target that runs.
func (c *chaos) backend(random *rand.Rand) (corev1.Pod, error) {
	pods, err := c.Pods(c.ctx, namespace, "")
	if err != nil {
		return corev1.Pod{}, err
	}
	pods = slices.DeleteFunc(pods, func(p corev1.Pod) bool { return p.Status.Phase != corev1.PodRunning })
	if len(pods) == 0 {
		return corev1.Pod{}, fmt.Errorf("all targets sleep")
	}
	return pods[random.IntN(len(pods))], nil
}

// freeze makes a backend accept connections and send nothing.
func (c *chaos) freeze(random *rand.Rand) (string, error) {
	length := between(random, time.Second, 4*time.Second)
	pod, err := c.backend(random)
	if err != nil {
		return "", err
	}
	thaw, err := c.Freeze(c.ctx, &pod)
	if err != nil {
		return pod.Name, err
	}
	pause(c.ctx, length)
	_ = thaw() // it may have ended meanwhile
	return fmt.Sprintf("%s for %s", pod.Name, length), nil
}

// unplug has a backend vanish and come back: connections stay open on one side.
func (c *chaos) unplug(random *rand.Rand) (string, error) {
	length := between(random, time.Second, 4*time.Second)
	pod, err := c.backend(random)
	if err != nil {
		return "", err
	}
	plug, err := c.Unplug(c.ctx, &pod)
	if err != nil {
		return pod.Name, err
	}
	pause(c.ctx, length)
	if err := plug(); err != nil {
		return pod.Name, err // it may have ended meanwhile
	}
	return fmt.Sprintf("%s for %s", pod.Name, length), nil
}
