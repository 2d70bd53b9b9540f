//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

// Scenario b: a client that is answered at once, or does not wait for an answer, wakes the target
// all the same.
func TestAnsweredRequestsWake(t *testing.T) {
	const starts = 5
	scenarios := []struct {
		name  string
		route []string
		ask   func(s *scenario, url string)
	}{
		{
			name: "placeholder",
			route: []string{
				"scalingMetric: {concurrency: {targetValue: 10}}",
				`coldStart: {placeholder: {response: {statusCode: 202, body: "Come again."}}}`,
			},
			ask: func(s *scenario, url string) {
				got := s.send(call{method: http.MethodPost, url: url, body: "{}"})
				if got.err != nil || got.status != http.StatusAccepted || got.body != "Come again." {
					s.Errorf("the placeholder: %+v", got)
				}
			},
		},
		{
			name: "page",
			route: []string{
				"scalingMetric: {requestRate: {targetValue: 10, window: 1s, granularity: 100ms}}",
				`coldStart: {waitingPage: {message: "Coffee first."}}`,
			},
			ask: func(s *scenario, url string) {
				got := s.send(call{url: url, header: browser()})
				if got.err != nil || got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "Coffee first.") {
					s.Errorf("the waiting page: %+v", got)
				}
			},
		},
		{name: "gone", route: []string{"scalingMetric: {concurrency: {targetValue: 10}}"}, ask: (*scenario).askAndLeave},
		{name: "gone-rate", route: []string{"scalingMetric: {requestRate: {targetValue: 10, window: 1s}}"}, ask: (*scenario).askAndLeave},
	}
	s := together(t, "b-answered")
	var mu sync.Mutex
	var wakes []time.Duration
	t.Cleanup(func() {
		if len(wakes) > 0 {
			s.Progress("placeholders, pages, clients that leave: first byte → Deployment at 1 replica: %d of %d missed, median %s, worst %s",
				len(scenarios)*starts-len(wakes), len(scenarios)*starts,
				median(wakes).Round(time.Millisecond), slices.Max(wakes).Round(time.Millisecond))
		}
	})
	for _, test := range scenarios {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, host := s.part(t), test.name+".b.example.com"
			s.apply(webApp(test.name, time.Second), scaledObject(test.name), interceptorRoute(test.name, host, test.route...))
			s.awaitReady("InterceptorRoute/"+test.name, "ScaledObject/"+test.name)
			interceptors := s.interceptors()
			for start := range starts {
				s.awaitReplicas(test.name, 0)
				if start == starts-1 {
					s.pollSeldom(test.name)
					s.steadily("nobody wants it", 3*time.Second, func() bool { return s.replicas(test.name) == 0 })
				}
				awaitLoaded := s.watchLoad(test.name)
				asked := time.Now()
				test.ask(s, "http://"+host+"/")
				s.eventually("the Deployment at 1 replica", func() (bool, error) { return s.replicas(test.name) == 1, nil })
				mu.Lock()
				wakes = append(wakes, time.Since(asked))
				mu.Unlock()
				s.eventually("no request to be held", func() (bool, error) {
					held := s.inFlight(test.name, interceptors...)
					return held == 0, fmt.Errorf("%d are", held)
				})
				awaitLoaded()
			}
		})
	}
}

// askAndLeave sends a request and closes the connection at once. (A client of net/http
// might close it before the request is out.)
func (s *scenario) askAndLeave(url string) {
	s.Helper()
	request, err := http.NewRequestWithContext(s.ctx, http.MethodGet, url, nil)
	s.must(err)
	connection, err := s.Dial(s.ctx, "tcp", cluster.Proxy)
	s.must(err)
	s.must(request.Write(connection))
	s.must(connection.Close())
}
