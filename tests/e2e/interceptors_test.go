//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/kedacore/http-add-on/pkg/queue"
	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

// together is begin for a scenario that disturbs no other one. It runs after the others, at the
// same time as scenarios of its kind.
func together(t *testing.T, namespace string) *scenario {
	t.Helper()
	t.Parallel()
	return begin(t, namespace)
}

// part is the scenario in a subtest.
func (s *scenario) part(t *testing.T) *scenario {
	part := *s
	part.T, part.ctx = t, t.Context()
	return &part
}

// interceptor is one of the interceptors.
type interceptor struct {
	pod   string       // its name
	HTTP  *http.Client // all that it asks goes to this interceptor
	queue string       // URL
}

// adminPort is where an interceptor reports its counts.
const adminPort = "9090"

// interceptors are those that are ready. KEDA may be adding one.
func (s *scenario) interceptors() []interceptor {
	s.Helper()
	pods, err := s.Pods(s.ctx, cluster.Namespace, "app.kubernetes.io/component=interceptor")
	s.must(err)
	var all []interceptor
	for _, pod := range pods {
		if !isReady(&pod) {
			continue
		}
		address := pod.Status.PodIP
		transport := &http.Transport{DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
			port := "8080" // for any host
			if _, asked, _ := net.SplitHostPort(to); asked == adminPort {
				port = adminPort
			}
			return s.Dial(ctx, network, net.JoinHostPort(address, port))
		}}
		s.Cleanup(transport.CloseIdleConnections)
		all = append(all, interceptor{
			pod: pod.Name, HTTP: &http.Client{Transport: transport}, queue: "http://" + net.JoinHostPort(address, adminPort) + queue.Path,
		})
	}
	if len(all) == 0 {
		s.Fatal("there is no interceptor")
	}
	return all
}

// counts is what an interceptor says of all routes.
func (s *scenario) counts(i interceptor) queue.Counts {
	s.Helper()
	got := s.send(call{url: i.queue, by: i.HTTP})
	s.must(got.err)
	var counts queue.Counts
	s.must(json.Unmarshal([]byte(got.body), &counts))
	return counts
}

// demand is what an interceptor says of a route.
func (s *scenario) demand(i interceptor, route string) queue.Count {
	s.Helper()
	return s.counts(i)[s.Namespace+"/"+route]
}

// inFlight returns how many requests the interceptors have for a route; leases do not count.
func (s *scenario) inFlight(route string, interceptors ...interceptor) int64 {
	s.Helper()
	var sum int64
	for _, i := range interceptors {
		if count := s.demand(i, route); !count.Leased {
			sum += count.Concurrency
		}
	}
	return sum
}

// answer is a whole response.
type answer struct {
	status int
	header http.Header
	body   string
	took   time.Duration // until its end
	err    error
}

func (a answer) contentType() string { return a.header.Get("Content-Type") }

// call is a request.
type call struct {
	method, url, body string
	header            http.Header
	by                *http.Client    // by default any interceptor answers
	ctx               context.Context // by default it has patience
}

// send sends a request and reads the answer to its end.
func (s *scenario) send(c call) answer { return <-s.sendSoon(c) }

// sendSoon is send, in the background.
func (s *scenario) sendSoon(c call) <-chan answer {
	done := make(chan answer, 1)
	go func() {
		started := time.Now()
		a := s.exchange(c)
		a.took = time.Since(started)
		done <- a
	}()
	return done
}

func (s *scenario) exchange(c call) (a answer) {
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	if c.ctx != nil {
		ctx = c.ctx
	}
	request, err := http.NewRequestWithContext(ctx, cmp.Or(c.method, http.MethodGet), c.url, strings.NewReader(c.body))
	if err != nil {
		return answer{err: err}
	}
	if c.header != nil {
		request.Header = c.header
	}
	if c.body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := cmp.Or(c.by, s.HTTP).Do(request)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return answer{status: response.StatusCode, header: response.Header, body: string(body), err: err}
}

// holder is clients of webapp's events, which never end. They ask again when their
// connection ends, as browsers do.
type holder struct {
	answered chan *holding // each, when its first answer begins
	failed   chan error
	all      []*holding
}

// holding is one of the clients.
type holding struct{ leave context.CancelFunc }

// hold has so many clients. They leave with the test.
func (s *scenario) hold(by *http.Client, host string, n int) *holder {
	h := &holder{answered: make(chan *holding, n), failed: make(chan error, n)}
	for range n {
		ctx, cancel := context.WithCancel(s.ctx)
		one := &holding{leave: cancel}
		h.all = append(h.all, one)
		go func() {
			defer cancel()
			for answered := false; ctx.Err() == nil; answered = true {
				err := listen(ctx, cmp.Or(by, s.HTTP), "http://"+host+"/events", func() {
					if !answered {
						h.answered <- one
					}
				})
				if err != nil && ctx.Err() == nil {
					h.failed <- err
					return
				}
			}
		}()
	}
	return h
}

// listen reads events to their end, and returns no error for that.
func listen(ctx context.Context, by *http.Client, url string, begun func()) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := by.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	begun()
	_, _ = io.Copy(io.Discard, response.Body)
	return nil
}

// leave ends clients.
func leave(clients []*holding) {
	for _, client := range clients {
		client.leave()
	}
}

// awaitAnswer waits until the next answer begins.
func (s *scenario) awaitAnswer(h *holder) *holding {
	s.Helper()
	select {
	case one := <-h.answered:
		return one
	case err := <-h.failed:
		s.Fatal(err)
	case <-time.After(patience):
		s.Fatalf("no answer began within %s", patience)
	}
	return nil
}

// check fails the test if a request has ended that should not have.
func (s *scenario) check(h *holder) {
	s.Helper()
	select {
	case err := <-h.failed:
		s.Error(err)
	default:
	}
}

// interceptorRoute routes a host to port 80 of the Service of that name. The rest of the
// specification follows, one field per line.
func interceptorRoute(name, host string, fields ...string) string {
	return fmt.Sprintf(`
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: %[1]s}
spec:
  target: {service: %[1]s, port: 80}
  rules: [{hosts: [%[2]s]}]
  %[3]s
`, name, host, strings.Join(fields, "\n  "))
}

// watchLoad begins to watch the pods of a Deployment, and returns a function that waits
// until one is ready. Until then no other may be made, and it must not be stopped. All
// that happens is seen, however short it lasts.
func (s *scenario) watchLoad(deployment string) (await func()) {
	s.Helper()
	clientset, err := kubernetes.NewForConfig(s.Config)
	s.must(err)
	pods, err := clientset.CoreV1().Pods(s.Namespace).Watch(s.ctx, metav1.ListOptions{LabelSelector: "app=" + deployment})
	s.must(err)
	s.Cleanup(pods.Stop)
	return func() {
		s.Helper()
		defer pods.Stop()
		var first string
		timeout := time.After(patience)
		for {
			select {
			case event, open := <-pods.ResultChan():
				pod, ok := event.Object.(*corev1.Pod)
				stopped := ok && (event.Type == watch.Deleted || pod.DeletionTimestamp != nil)
				switch {
				case !open || !ok:
					s.Fatalf("watching the pods of %s: %+v", deployment, event)
				case stopped && pod.Name == first:
					s.Fatalf("%s was stopped before it was ready", first)
				case stopped: // it was there before
				case first != "" && pod.Name != first:
					s.Fatalf("%s was made while %s was not ready", pod.Name, first)
				case isReady(pod):
					return
				default:
					first = pod.Name
				}
			case <-timeout:
				s.Fatalf("%s had no ready pod within %s", deployment, patience)
			}
		}
	}
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// steadily looks for some time whether it is so all along.
func (s *scenario) steadily(what string, duration time.Duration, so func() bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, duration)
	defer cancel()
	for {
		if !so() {
			s.Fatalf("not so any more: %s", what)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
}
