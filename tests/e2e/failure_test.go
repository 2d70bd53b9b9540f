//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

// Scenario e: what clients get when the target does not wake, or too many wait for it.

// never is how long a model loads that is never ready.
const never = time.Hour

const (
	question       = `{"model": "simulated", "messages": [{"role": "user", "content": "Are you there?"}], "max_tokens": 9`
	streamed       = question + `, "stream": true}`
	whole          = question + `, "stream": false}`
	concurrencyTen = "scalingMetric: {concurrency: {targetValue: 10}}"
)

func TestTimeoutInTheClientsOwnShape(t *testing.T) {
	s := together(t, "e-timeout")
	const host = "timeout.e.example.com"
	s.apply(model("llm", never), scaledObject("llm"), interceptorRoute("llm", host, concurrencyTen,
		"timeouts: {readiness: 2s}", `coldStart: {streamingCallback: {message: "Loading the model.", interval: 300ms}}`))
	s.awaitReady("InterceptorRoute/llm", "ScaledObject/llm")
	tests := []struct {
		name        string
		call        call
		status      int
		contentType string
		cut         bool // clients take a clean end for an answer
		says        func(t *testing.T, body string) bool
	}{
		{
			name: "OpenAI", call: call{url: "/v1/chat/completions", body: whole},
			status: http.StatusGatewayTimeout, contentType: "application/json",
			says: func(t *testing.T, body string) bool {
				e := decode[struct {
					Error struct{ Message, Code string }
				}](t, body)
				return e.Error.Message != "" && e.Error.Code == "504"
			},
		},
		{
			name: "Anthropic", call: call{url: "/v1/messages", body: whole},
			status: http.StatusGatewayTimeout, contentType: "application/json",
			says: func(t *testing.T, body string) bool {
				e := decode[struct {
					Type  string
					Error struct{ Type, Message string }
				}](t, body)
				return e.Type == "error" && e.Error.Type == "overloaded_error" && e.Error.Message != ""
			},
		},
		{
			name: "Ollama", call: call{url: "/api/chat", body: whole},
			status: http.StatusGatewayTimeout, contentType: "application/json",
			says: func(t *testing.T, body string) bool { return decode[struct{ Error string }](t, body).Error != "" },
		},
		{
			name: "problem", call: call{url: "/", header: http.Header{"Accept": {"application/json"}}},
			status: http.StatusGatewayTimeout, contentType: "application/problem+json",
			says: func(t *testing.T, body string) bool { return decode[struct{ Status int }](t, body).Status == 504 },
		},
		{
			name: "text", call: call{url: "/"},
			status: http.StatusGatewayTimeout, contentType: "text/plain; charset=utf-8",
			says: func(_ *testing.T, body string) bool { return strings.TrimSpace(body) != "" },
		},
		{
			name: "page", call: call{url: "/", header: browser()},
			status: http.StatusGatewayTimeout, contentType: "text/html; charset=utf-8",
			says: func(_ *testing.T, body string) bool { return strings.Contains(body, "<html") },
		},
		{
			name: "OpenAI's stream", call: call{url: "/v1/chat/completions", body: streamed},
			status: http.StatusOK, contentType: "text/event-stream",
			says: func(_ *testing.T, body string) bool {
				return strings.Contains(body, `"content":"Loading the model."`) && strings.Contains(body, `data: {"error":{`) &&
					strings.Contains(body, `"code":"504"`) && !strings.Contains(body, "[DONE]")
			},
		},
		{
			name: "Anthropic's stream", call: call{url: "/v1/messages", body: streamed},
			status: http.StatusOK, contentType: "text/event-stream",
			says: func(_ *testing.T, body string) bool {
				return strings.HasPrefix(body, "event: ping\n") && strings.Contains(body, "\nevent: error\ndata: {\"type\":\"error\",")
			},
		},
		{
			name: "Ollama's stream", call: call{url: "/api/chat", body: streamed}, cut: true,
			status: http.StatusOK, contentType: "application/x-ndjson",
			says: func(t *testing.T, body string) bool {
				lines := strings.Split(strings.TrimSpace(body), "\n")
				return decode[struct{ Error string }](t, lines[len(lines)-1]).Error != ""
			},
		},
	}
	called := make(chan error, 1)
	go func() { called <- s.callGRPC(host) }()
	var answers []<-chan answer
	for _, test := range tests {
		if test.call.body != "" {
			test.call.method = http.MethodPost
		}
		test.call.url = "http://" + host + test.call.url
		answers = append(answers, s.sendSoon(test.call))
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := <-answers[i]
			if (got.err != nil) != test.cut || got.status != test.status || got.contentType() != test.contentType || !test.says(t, got.body) {
				t.Errorf("%+v", got)
			}
			if got.took < 1900*time.Millisecond {
				t.Errorf("it took no longer than %s", got.took)
			}
			if strings.Contains(got.body, "10.25") || strings.Contains(got.body, s.Namespace) {
				t.Errorf("the response names the cluster: %s", got.body)
			}
		})
	}
	if err := <-called; status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("gRPC: %v", err)
	}
	// The lease is no longer than the readiness timeout.
	s.awaitReplicas("llm", 0)
}

// callGRPC calls a method that no server answers.
func (s *scenario) callGRPC(host string) error {
	return s.callGRPCBy(insecure.NewCredentials(), cluster.Proxy, host)
}

// callGRPCBy calls the health service of a host by an address of the interceptors.
func (s *scenario) callGRPCBy(transport credentials.TransportCredentials, address, host string) error {
	connection, err := grpc.NewClient("passthrough:///"+host,
		grpc.WithTransportCredentials(transport),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return s.Dial(ctx, "tcp", address)
		}))
	if err != nil {
		return err
	}
	defer func() { _ = connection.Close() }()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	_, err = grpc_health_v1.NewHealthClient(connection).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	return err
}

// decode reads JSON.
func decode[T any](t *testing.T, text string) (value T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Errorf("reading %q: %v", text, err)
	}
	return value
}

func TestFallbackAnswers(t *testing.T) {
	s := together(t, "e-fallback")
	const host = "fallback.e.example.com"
	awaitSpare := s.watchLoad("spare")
	s.apply(model("llm", never), scaledObject("llm"), strings.Replace(model("spare", 0, "-model=spare"), "replicas: 0", "replicas: 1", 1),
		interceptorRoute("llm", host, concurrencyTen, "timeouts: {readiness: 2s}",
			`coldStart: {fallback: {service: {name: spare, portName: http}}, streamingCallback: {message: "Loading the model.", interval: 300ms}}`), `
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {name: old, annotations: {httpscaledobject.keda.sh/skip-scaledobject-creation: "true"}}
spec:
  hosts: [old.`+host+`]
  scaleTargetRef: {name: llm, kind: Deployment, apiVersion: apps/v1, service: llm, port: 80}
  coldStartTimeoutFailoverRef: {service: spare, port: 80, timeoutSeconds: 2}
  coldStartStreamingCallback: {message: "Loading the model."}
`)
	s.awaitReady("InterceptorRoute/llm", "ScaledObject/llm")
	awaitSpare()
	for _, i := range s.interceptors() {
		s.awaitRouted(i, "old")
	}
	var streams []<-chan chat
	var held []<-chan answer
	for _, host := range []string{host, "old." + host} {
		streams = append(streams, s.askSoon(host, "Are you there?"))
		held = append(held, s.sendSoon(call{url: "http://" + host + "/v1/models"}))
	}
	for i := range held {
		s.checkCold(<-streams[i])
		if got := <-held[i]; got.err != nil || got.status != http.StatusOK || !strings.Contains(got.body, `"spare"`) || got.took < 1900*time.Millisecond {
			t.Errorf("the fallback's answer: %+v", got)
		}
	}
	s.awaitReplicas("llm", 0)
}

// The second request is over the cap of one. Who leaves makes room.
func TestCap(t *testing.T) {
	s := together(t, "e-cap")
	s.apply(webApp("reject", 0), interceptorRoute("reject", "reject.e.example.com", concurrencyTen, "coldStart: {maxPendingRequests: 1}"),
		webApp("show", 0), interceptorRoute("show", "show.e.example.com", concurrencyTen,
			`coldStart: {maxPendingRequests: 1, overflow: Placeholder, placeholder: {response: {statusCode: 203, body: "Full."}}}`))
	interceptor := s.interceptors()[0]
	for _, test := range []struct {
		route    string
		overflow func(a answer) bool
	}{
		{"reject", func(a answer) bool {
			seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
			return a.status == http.StatusServiceUnavailable && err == nil && seconds > 0 && a.contentType() == "application/problem+json"
		}},
		{"show", func(a answer) bool { return a.status == http.StatusNonAuthoritativeInfo && a.body == "Full." }},
	} {
		t.Run(test.route, func(t *testing.T) {
			s, host := s.part(t), test.route+".e.example.com"
			s.awaitRouted(interceptor, test.route)
			overflow := func() answer {
				return s.send(call{url: "http://" + host + "/", header: http.Header{"Accept": {"application/problem+json"}}, by: interceptor.HTTP})
			}
			first := s.hold(interceptor.HTTP, host, 1)
			s.awaitInFlight(interceptor, test.route, 1)
			if got := overflow(); got.err != nil || !test.overflow(got) {
				t.Errorf("over the cap: %+v", got)
			}
			leave(first.all)
			s.awaitInFlight(interceptor, test.route, 0)
			second := s.hold(interceptor.HTTP, host, 1)
			s.awaitInFlight(interceptor, test.route, 1)
			if got := overflow(); got.err != nil || !test.overflow(got) {
				t.Errorf("over the cap: %+v", got)
			}
			s.scale(test.route, 1)
			s.awaitAnswer(second)
			s.check(second)
		})
	}
}

func TestReleaseConcurrency(t *testing.T) {
	s := together(t, "e-release")
	const host = "release.e.example.com"
	s.apply(webApp("app", 0), interceptorRoute("app", host, concurrencyTen, "coldStart: {releaseConcurrency: 1}"))
	interceptor := s.interceptors()[0]
	s.awaitRouted(interceptor, "app")
	three := s.hold(interceptor.HTTP, host, 3)
	s.awaitInFlight(interceptor, "app", 3)
	s.scale("app", 1)
	for range three.all {
		one := s.awaitAnswer(three)
		s.steadily("one answer at a time", 500*time.Millisecond, func() bool { return len(three.answered) == 0 })
		one.leave()
	}
	s.check(three)
}

// scale is kubectl scale.
func (s *scenario) scale(deployment string, replicas int) {
	s.Helper()
	_, err := s.Kubectl(s.ctx, "", "scale", "--namespace="+s.Namespace, "deployment/"+deployment, fmt.Sprintf("--replicas=%d", replicas))
	s.must(err)
}

// awaitRouted waits until an interceptor knows a route.
func (s *scenario) awaitRouted(i interceptor, route string) {
	s.Helper()
	s.eventually("the interceptor to know "+route, func() (bool, error) {
		_, known := s.counts(i)[s.Namespace+"/"+route]
		return known, nil
	})
}

// awaitInFlight waits until an interceptor has so many requests for a route.
func (s *scenario) awaitInFlight(i interceptor, route string, want int64) {
	s.Helper()
	s.eventually(fmt.Sprintf("%d requests in flight", want), func() (bool, error) {
		got := s.inFlight(route, i)
		return got == want, fmt.Errorf("there are %d", got)
	})
}
