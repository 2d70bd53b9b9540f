//go:build e2e

package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kedacore/http-add-on/tests/chaos/defect"
	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

// get requests a URL inside the cluster and has its answer read, which must be 200.
func (c *chaos) get(url string, read func(*http.Response) error) error {
	return getBy(c.ctx, &http.Client{Transport: &http.Transport{DialContext: c.Dial, DisableKeepAlives: true}}, url, read)
}

func getBy(ctx context.Context, by *http.Client, url string, read func(*http.Response) error) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Close = true // it must not count as a connection of the component's
	response, err := by.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return read(response)
}

func (c *chaos) getJSON(url string, into any) error {
	return c.get(url, func(r *http.Response) error { return json.NewDecoder(r.Body).Decode(into) })
}

// eventually waits until so returns no error, and returns its last one.
func (c *chaos) eventually(so func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := so()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		if !pause(c.ctx, 500*time.Millisecond) {
			return c.ctx.Err()
		}
	}
}

// settle waits until everything is available again, counts nothing, and all targets sleep.
func (c *chaos) settle() {
	c.must(c.AwaitInstalled(c.ctx))
	c.log("all is available again")
	for _, i := range c.interceptors {
		if err := c.eventually(func() error {
			all, err := c.queue(i)
			for route, count := range all {
				if count.Concurrency != 0 {
					err = fmt.Errorf("%s: %+v", route, count)
				}
			}
			return err
		}); err != nil {
			c.violate(defect.Counts, "%s: %v", i.Name, err)
		}
	}
	var all sync.WaitGroup
	for _, t := range c.targets {
		all.Go(func() { c.awaitAsleep(c.ctx, t) })
	}
	all.Wait()
}

// usage is what the processes of a component need at rest.
type usage struct{ goroutines, heap int }

// components are those of the add-on with the port of their profiles, and KEDA with that
// of its metrics.
var components = []struct {
	name, selector string
	port           int
	ours           bool
}{
	{"interceptor", "app.kubernetes.io/component=interceptor", 8086, true},
	{"scaler", "app.kubernetes.io/component=scaler", 8087, true},
	{"operator", "app.kubernetes.io/component=operator", 8085, true},
	{"KEDA", "app=keda-operator", 8080, false},
}

// measure returns what each component needs, all of its pods together.
func (c *chaos) measure() map[string]usage {
	c.Helper()
	for _, i := range c.interceptors {
		i.http.CloseIdleConnections()
	}
	all := map[string]usage{}
	c.must(c.eventually(func() error {
		for _, component := range components {
			pods, err := c.Pods(c.ctx, cluster.Namespace, component.selector)
			if err != nil {
				return err
			}
			var sum usage
			for _, pod := range pods {
				var one usage
				if component.ours {
					one, err = c.profile(pod.Name, component.port)
				} else {
					one, err = c.metrics(fmt.Sprintf("http://%s:%d/metrics", pod.Status.PodIP, component.port))
				}
				if err != nil {
					return fmt.Errorf("measuring %s: %w", pod.Name, err)
				}
				sum.goroutines += one.goroutines
				sum.heap += one.heap
			}
			all[component.name] = sum
		}
		return nil
	}))
	return all
}

// profile reads a process's profiles. The heap is the memory that is left after a collection.
func (c *chaos) profile(pod string, port int) (usage, error) {
	by, url := c.Loopback(cluster.Namespace, pod), fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/", port)
	var u usage
	err := getBy(c.ctx, by, url+"goroutine?debug=1", func(r *http.Response) error {
		_, err := fmt.Fscanf(r.Body, "goroutine profile: total %d", &u.goroutines)
		return err
	})
	if err != nil {
		return u, err
	}
	return u, getBy(c.ctx, by, url+"heap?gc=1&debug=1", func(r *http.Response) (err error) {
		u.heap, err = number(r.Body, "# HeapAlloc = ")
		return err
	})
}

// metrics reads those of Go's runtime.
func (c *chaos) metrics(url string) (usage, error) {
	var u usage
	return u, c.get(url, func(r *http.Response) (err error) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		if u.goroutines, err = number(strings.NewReader(string(text)), "go_goroutines "); err != nil {
			return err
		}
		u.heap, err = number(strings.NewReader(string(text)), "go_memstats_heap_inuse_bytes ")
		return err
	})
}

// number is what follows at the start of a line.
func number(text io.Reader, start string) (int, error) {
	for lines := bufio.NewScanner(text); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), start); ok {
			value, err := strconv.ParseFloat(rest, 64)
			return int(value), err
		}
	}
	return 0, fmt.Errorf("there is no line %q", start)
}

// compare looks whether our components need what they needed before. KEDA's use is only
// printed.
func (c *chaos) compare(before map[string]usage) {
	var after map[string]usage
	err := c.eventually(func() error {
		after = c.measure()
		for _, component := range components {
			b, a := before[component.name], after[component.name]
			// A leak of one thing for each wake or disturbance would be more than that.
			if component.ours && (a.goroutines > b.goroutines*5/4+10 || a.heap > b.heap*3/2+4<<20) {
				return fmt.Errorf("the %s has %d goroutines and %.1f MiB, had %d and %.1f MiB",
					component.name, a.goroutines, mib(a.heap), b.goroutines, mib(b.heap))
			}
		}
		return nil
	})
	if err != nil {
		c.violate(defect.Leaks, "%v", err)
	}
	for _, component := range components {
		b, a := before[component.name], after[component.name]
		c.log("%-12s goroutines %4d before, %4d after; heap %6.1f MiB before, %6.1f MiB after", component.name, b.goroutines, a.goroutines, mib(b.heap), mib(a.heap))
	}
}

func mib(bytes int) float64 { return float64(bytes) / (1 << 20) }
