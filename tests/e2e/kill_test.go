//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

// Scenario f: kill -9 of every part, one after the other, in the middle of cold starts.

func TestKills(t *testing.T) {
	s := begin(t, "f-kills")
	var objects, names []string
	for _, name := range []string{"struck", "before", "after", "beside", "dead"} {
		objects = append(objects, model(name, 3*time.Second), scaledObject(name), chatRoute(name, name+".f.example.com"))
		names = append(names, "InterceptorRoute/"+name, "ScaledObject/"+name)
	}
	s.apply(append(objects, webApp("page", 3*time.Second), scaledObject("page"), interceptorRoute("page", "page.f.example.com",
		`scalingMetric: {concurrency: {targetValue: 100}}`,
		`coldStart: {waitingPage: {refreshInterval: 1s}}`))...)
	s.awaitReady(append(names, "InterceptorRoute/page", "ScaledObject/page")...)

	// The next operator leads when the lease of the killed one, 15 seconds, is over.
	operatorKilled := time.Now()
	s.kill(s.only("app.kubernetes.io/component=operator"))
	s.apply(model("late", 0), oldRoute("late", "late.f.example.com"))

	for _, killed := range []struct {
		part string
		test func(*scenario)
	}{{"interceptor", killedInterceptor}, {"scaler", killedScaler}, {"KEDA", killedKEDA}} {
		t.Run(killed.part, func(t *testing.T) {
			part := s.part(t)
			killed.test(part)
			part.must(part.AwaitInstalled(t.Context()))
		})
	}

	s.awaitReady("HTTPScaledObject/late", "ScaledObject/late")
	s.Progress("killed operator: another one did its work %s later at most", time.Since(operatorKilled).Round(time.Second))
	if got := s.send(call{url: "http://late.f.example.com/v1/models"}); got.status != http.StatusOK {
		t.Errorf("what the new operator has made: %+v", got)
	}
}

// Who is connected to a killed interceptor notices, in the way that its protocol has
// for it, and is served when it asks again. Nobody else notices anything.
func killedInterceptor(s *scenario) {
	const host = "struck.f.example.com"
	var all []interceptor
	s.eventually("two interceptors to be ready", func() (bool, error) {
		all = s.interceptors()
		return len(all) >= 2, fmt.Errorf("%d are", len(all))
	})
	struck, spared := all[0], all[1]
	struckStream, sparedStream := s.opened(struck.HTTP, host, "simulated", "Are you there?"), s.opened(spared.HTTP, host, "simulated", "Are you there?")
	models := call{url: "http://" + host + "/v1/models"}
	struckHeld, sparedHeld := s.sendSoon(by(models, struck)), s.sendSoon(by(models, spared))
	s.awaitInFlight(struck, "struck", 2)
	s.awaitInFlight(spared, "struck", 2)
	page := s.browse(struck.HTTP, "http://page.f.example.com/")
	s.awaitInFlight(struck, "page", 1)
	s.awaitReplicas("struck", 1)

	s.must(s.Signal(s.ctx, cluster.Namespace, struck.pod, syscall.SIGKILL))
	killed := time.Now()
	if got := <-struckStream; got.err == nil || got.done {
		s.Errorf("the stream of a killed interceptor must not end as if it were whole: %+v", got)
	}
	if got := <-struckHeld; got.err == nil {
		s.Errorf("the request that a killed interceptor held: %+v", got)
	}
	s.eventually("another request to be answered", func() (bool, error) {
		got := s.send(models) // until it is noticed, connections go to the dead one too
		return got.err == nil && got.status == http.StatusOK, fmt.Errorf("%+v", got)
	})
	if got := <-sparedHeld; got.err != nil || got.status != http.StatusOK {
		s.Errorf("the request that another interceptor held: %+v", got)
	}
	s.checkCold(<-sparedStream)
	visit := <-page
	if visit.err != nil || !strings.Contains(visit.last, "<html") || visit.loads < 2 {
		s.Errorf("the open page: %+v", visit)
	}
	s.Progress("killed interceptor: the open page showed the application %s later, on its load no. %d", visit.at.Sub(killed).Round(time.Millisecond), visit.loads)
	s.must(s.AwaitInstalled(s.ctx))
	if got := s.send(by(models, struck)); got.err != nil || got.status != http.StatusOK {
		s.Errorf("the interceptor that was killed, started again: %+v", got)
	}
	// Its reports no longer count as demand.
	s.awaitReplicas("struck", 0)
	s.awaitReplicas("page", 0)
}

// After a killed scaler a wake may take a polling interval; after one that stopped properly it
// does not.
func killedScaler(s *scenario) {
	inUse := s.scalerInUse()
	loading := s.askSoon("before.f.example.com", "Are you there?")
	s.awaitReplicas("before", 1)
	s.must(s.Signal(s.ctx, cluster.Namespace, inUse, syscall.SIGKILL))
	asked := time.Now()
	cold := s.askSoon("after.f.example.com", "Are you there?")
	s.awaitReplicas("after", 1)
	s.Progress("killed scaler: the next wake took %s, with a pollingInterval of 1s", time.Since(asked).Round(time.Millisecond))
	s.checkCold(<-loading)
	s.checkCold(<-cold)
	s.must(s.AwaitInstalled(s.ctx))

	// These are not polled again before the scenario is over.
	const pollingInterval = 5 * patience
	wakes := []string{"first", "second", "third"}
	for _, name := range wakes {
		s.apply(model(name, 0), strings.Replace(scaledObject(name), "pollingInterval: 1", fmt.Sprintf("pollingInterval: %d", pollingInterval/time.Second), 1),
			chatRoute(name, name+".f.example.com"))
	}
	for _, name := range wakes {
		s.awaitReady("InterceptorRoute/"+name, "ScaledObject/"+name)
	}
	inUse = s.scalerInUse()
	_, err := s.Kubectl(s.ctx, "", "delete", "pod", inUse, "--namespace="+cluster.Namespace, "--wait=false")
	s.must(err)
	var took []time.Duration
	for i, name := range wakes {
		if i == 1 {
			// KEDA opens a stream again two seconds after it has ended.
			_, err := s.Kubectl(s.ctx, "", "wait", "--for=delete", "pod/"+inUse, "--namespace="+cluster.Namespace, "--timeout=60s")
			s.must(err)
		}
		asked := time.Now()
		s.askSoon(name+".f.example.com", "Are you there?")
		s.awaitReplicas(name, 1)
		took = append(took, time.Since(asked).Round(time.Millisecond))
	}
	s.Progress("scaler told to stop: the next wakes took %v, with a pollingInterval of %s", took, pollingInterval)
}

// While KEDA is dead nothing wakes, and all wait; when it is back all wake.
func killedKEDA(s *scenario) {
	loading := s.askSoon("beside.f.example.com", "Are you there?")
	s.awaitReplicas("beside", 1)
	s.kill(s.only("app=keda-operator"))
	asked := time.Now()
	cold := s.askSoon("dead.f.example.com", "Are you there?")
	s.checkCold(<-loading)
	s.checkCold(<-cold)
	s.Progress("killed KEDA: the answer to the next cold request took %s", time.Since(asked).Round(time.Millisecond))
}

// only is the one pod of the add-on's namespace that a selector selects.
func (s *scenario) only(selector string) corev1.Pod {
	s.Helper()
	pods, err := s.Pods(s.ctx, cluster.Namespace, selector)
	s.must(err)
	if len(pods) != 1 {
		s.Fatalf("%d pods are %s, want one", len(pods), selector)
	}
	return pods[0]
}

func (s *scenario) kill(pod corev1.Pod) {
	s.Helper()
	s.must(s.Signal(s.ctx, pod.Namespace, pod.Name, syscall.SIGKILL))
}

// by is a call of one interceptor.
func by(c call, i interceptor) call {
	c.by = i.HTTP
	return c
}

// visit is how a browser came to the application.
type visit struct {
	loads int
	last  string // page
	at    time.Time
	err   error // why it would stay on a page that is not the application's
}

// browse acts as a browser. It opens a page at once by the first client and reloads it by any
// interceptor, until the application is there. It knows only what a browser does without scripts.
// A page is loaded when its body ends; the last refresh in the page counts from then on.
func (s *scenario) browse(first *http.Client, url string) <-chan visit {
	header := browser()
	header.Set("Sec-Fetch-Dest", "document")
	done := make(chan visit, 1)
	go func() {
		client, v := first, visit{}
		for v.err == nil && v.loads < 30 {
			v.loads++
			got := s.send(call{by: client, url: url, header: header.Clone()})
			client = nil
			v.last, v.at = got.body, time.Now()
			if got.err != nil && v.loads > 1 {
				// Refused while the dead one is not noticed yet: a person tries again.
				continue
			}
			if v.err = got.err; v.err != nil || got.status == http.StatusOK {
				break
			}
			var after time.Duration
			if after, v.err = refresh(got); v.err == nil {
				timer := time.NewTimer(after)
				select {
				case <-timer.C:
				case <-s.ctx.Done():
					v.err = context.Cause(s.ctx)
				}
			}
		}
		done <- v
	}()
	return done
}

// refresh is after how long a browser loads a page again.
func refresh(page answer) (time.Duration, error) {
	if page.status != http.StatusServiceUnavailable {
		return 0, fmt.Errorf("status %d: %s", page.status, page.body)
	}
	if page.header.Get("Content-Length") != "" {
		return 0, fmt.Errorf("a page that is open has no length: %v", page.header)
	}
	const element = `<meta http-equiv="refresh" content="`
	last := strings.LastIndex(page.body, element) // the last one counts
	if last < 0 {
		return 0, fmt.Errorf("a browser without scripts stays on the page: %s", page.body)
	}
	text, _, _ := strings.Cut(page.body[last+len(element):], ";")
	seconds, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("reading the refresh of the page: %w", err)
	}
	return time.Duration(seconds) * time.Second, nil
}

// scalerInUse is the pod of the scaler that KEDA is connected to: the only one with a
// connection that is longer than a probe's.
func (s *scenario) scalerInUse() string {
	s.Helper()
	pods, err := s.Pods(s.ctx, cluster.Namespace, "app.kubernetes.io/component=scaler")
	s.must(err)
	if len(pods) < 2 {
		s.Fatalf("%d scalers, want two at least", len(pods))
	}
	first, inUse := map[string]time.Time{}, ""
	s.eventually("KEDA to be connected to a scaler", func() (bool, error) {
		for _, pod := range pods {
			text, err := s.Connections(s.ctx, &pod)
			if err != nil {
				return false, err
			}
			for _, connection := range established(text, 9090) {
				since, seen := first[connection]
				if !seen {
					first[connection] = time.Now()
				} else if time.Since(since) > 500*time.Millisecond {
					inUse = pod.Name
				}
			}
		}
		return inUse != "", fmt.Errorf("connections seen, and since when: %v", first)
	})
	return inUse
}

// hexConnection is the start of a line in /proc/PID/net/tcp6: addresses of IPv4, and the
// state ESTABLISHED.
var hexConnection = regexp.MustCompile(`^ *\d+: [0-9A-F]{16}FFFF0000([0-9A-F]{8}):([0-9A-F]{4}) ([0-9A-F]{32}:[0-9A-F]{4}) 01 `)

// established are the connections to a port in the text of /proc/net/tcp6.
func established(text string, port uint64) []string {
	var found []string
	for line := range strings.Lines(text) {
		match := hexConnection.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		if local, _ := strconv.ParseUint(match[2], 16, 16); local == port {
			found = append(found, match[1]+match[3])
		}
	}
	return found
}
