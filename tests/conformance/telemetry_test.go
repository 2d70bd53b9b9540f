package conformance

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/kedacore/http-add-on/tests/support/listen"
	"github.com/kedacore/http-add-on/tests/support/otlp"
)

const (
	clientTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	clientSpan   = "00f067aa0ba902b7"
	clientParent = "00-" + clientTrace + "-" + clientSpan + "-01"
)

// traced starts an interceptor that sends all telemetry to a collector at once.
func traced(t *testing.T, protocol, endpoint, objects string) *world {
	t.Helper()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	// Its reader (v1.46) writes to itself after it has begun, which a first interval of
	// milliseconds meets on a busy machine.
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "1000")
	return newWorld(t, objects,
		"OTEL_EXPORTER_OTLP_METRICS_ENABLED", "true", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", protocol,
		"OTEL_EXPORTER_OTLP_TRACES_ENABLED", "true", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", protocol,
	)
}

// TestReadyEndpointsAreMeasured: 0 while the target sleeps, which is how hours asleep are
// counted; nothing when there are more routes than the setting allows.
func TestReadyEndpointsAreMeasured(t *testing.T) {
	for _, test := range []struct{ limit, asleep, awake string }{
		{"1", "} 0", "} 1"},
		{"0", "", ""},
	} {
		scraped := listen.Loopback(t)
		w := newWorldWith(t, plainRoute, listeners{metrics: scraped}, "OTEL_PROM_EXPORTER_ENABLED", "true", "KEDA_HTTP_METRICS_READY_ENDPOINTS_MAX_ROUTES", test.limit)
		value := func() string {
			response, err := w.client.Get("http://" + scraped.Addr().String() + "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			text, err := io.ReadAll(response.Body)
			if err != nil || !strings.Contains(string(text), "interceptor_request_concurrency{") {
				t.Fatalf("the scrape is %v\n%s", err, text)
			}
			_, after, _ := strings.Cut(string(text), `interceptor_route_ready_endpoints{route_name="app",route_namespace="default"`)
			line, _, _ := strings.Cut(after, "\n")
			return line
		}
		if got := value(); got != test.asleep {
			t.Errorf("asleep with a limit of %s: got %q, want %q", test.limit, got, test.asleep)
		}
		w.ready("app", w.backend(headers))
		if got := value(); got != test.awake {
			t.Errorf("awake with a limit of %s: got %q, want %q", test.limit, got, test.awake)
		}
	}
}

// headers is a backend that reports which tracing headers it got.
func headers(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s|%s|%s", r.Header.Get("Traceparent"), r.Header.Get("Tracestate"), r.Header.Get("Baggage"))
}

// span waits for a span of a name.
func (w *world) span(c *otlp.Collector, name string) otlp.Span {
	w.t.Helper()
	var found otlp.Span
	w.eventually("a span "+name, func() bool {
		all := c.Spans()
		i := slices.IndexFunc(all, func(s otlp.Span) bool { return s.Name == name })
		if i >= 0 {
			found = all[i]
		}
		return i >= 0
	})
	return found
}

func events(s otlp.Span) (names []string) {
	for _, e := range s.GetEvents() {
		names = append(names, e.GetName())
	}
	return names
}

func TestARequestIsTracedAndMeasured(t *testing.T) {
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			collector := otlp.New(t)
			endpoint := map[string]string{"http/protobuf": collector.HTTP, "grpc": collector.GRPC}[protocol]
			w := traced(t, protocol, endpoint, plainRoute)
			backend := w.backend(headers)
			w.ready("app", backend)
			got := w.do(w.request(http.MethodPost, "app.test", "/v1/x?key=secret", "body",
				"Traceparent", clientParent, "Tracestate", "vendor=1", "Baggage", "user=7", "User-Agent", "test"))
			got.expect(t, "the request is served", http.StatusOK, "|vendor=1|user=7")
			for name, values := range got.header {
				if strings.Contains(strings.Join(values, ","), backend) || strings.HasPrefix(strings.ToLower(name), "trace") {
					t.Errorf("the client received %s: %v", name, values)
				}
			}

			span := w.span(collector, "POST default/app")
			id := hex.EncodeToString(span.GetSpanId())
			if hex.EncodeToString(span.GetTraceId()) != clientTrace || hex.EncodeToString(span.GetParentSpanId()) != clientSpan {
				t.Errorf("the span is not in the trace of the client: %v", span)
			}
			call := w.calls(collector, 1)[0]
			if want := "00-" + clientTrace + "-" + hex.EncodeToString(call.GetSpanId()) + "-01"; !strings.HasPrefix(got.body, want+"|") {
				t.Errorf("the backend received %q, want %q", got.body, want)
			}
			if hex.EncodeToString(call.GetParentSpanId()) != id || call.Name != "POST" || call.GetStatus().GetCode() != tracev1.Status_STATUS_CODE_UNSET {
				t.Errorf("the call of the backend: %v", call)
			}
			host, port, _ := strings.Cut(backend, ":")
			if diff := cmp.Diff(map[string]string{
				"http.request.method": "POST", "http.response.status_code": "200", "url.full": "http://app.default:80/v1/x",
				"server.address": "app.default", "server.port": "80", "network.protocol.version": "1.1",
				"network.peer.address": host, "network.peer.port": port,
			}, otlp.Attributes(call.GetAttributes())); diff != "" {
				t.Errorf("attributes of the call (-want +got):\n%s", diff)
			}
			if span.GetKind() != tracev1.Span_SPAN_KIND_SERVER || span.GetStatus().GetCode() != tracev1.Status_STATUS_CODE_UNSET {
				t.Errorf("kind %v, status %v", span.GetKind(), span.GetStatus())
			}
			want := map[string]string{
				"http.request.method": "POST", "http.response.status_code": "200", "http.response.body.size": fmt.Sprint(len(got.body)),
				"url.scheme": "http", "url.path": "/v1/x", "server.address": "app.test", "network.protocol.version": "1.1",
				"network.peer.address": "127.0.0.1", "user_agent.original": "test", "upstream": backend,
				"route_name": "app", "route_namespace": "default", "cold_start": "false",
			}
			if diff := cmp.Diff(want, otlp.Attributes(span.GetAttributes())); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
			if who := span.Resource["service.name"]; who != "keda-http-interceptor" {
				t.Errorf("sent by %q", who)
			}

			w.eventually("the measurement names the trace", func() bool {
				return slices.ContainsFunc(collector.Metrics(), func(m otlp.Metric) bool {
					if m.Name != "interceptor.request.duration" {
						return false
					}
					exemplars := m.GetHistogram().GetDataPoints()[0].GetExemplars()
					return len(exemplars) == 1 && hex.EncodeToString(exemplars[0].GetTraceId()) == clientTrace
				})
			})
			w.eventually("the request is counted", func() bool {
				return slices.ContainsFunc(collector.Metrics(), func(m otlp.Metric) bool {
					if m.Name != "interceptor.request.count" {
						return false
					}
					point := m.GetSum().GetDataPoints()[0]
					labels := otlp.Attributes(point.GetAttributes())
					return point.GetAsInt() == 1 && cmp.Equal(labels, map[string]string{
						"code": "200", "method": "POST", "route_name": "app", "route_namespace": "default", "cold_start": "false",
					})
				})
			})
		})
	}
}

// calls waits for the spans of a number of calls of backends.
func (w *world) calls(c *otlp.Collector, number int) (calls []otlp.Span) {
	w.t.Helper()
	w.eventually("calls of backends", func() bool {
		calls = slices.DeleteFunc(c.Spans(), func(s otlp.Span) bool { return s.GetKind() != tracev1.Span_SPAN_KIND_CLIENT })
		return len(calls) >= number
	})
	return calls
}

// Each attempt is a separate span without the wait, and records its outcome.
func TestEveryAttemptIsACallOfItsOwn(t *testing.T) {
	collector := otlp.New(t)
	w := traced(t, "http/protobuf", collector.HTTP, plainRoute)
	var mu sync.Mutex
	var told []string
	backend := w.backend(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if told = append(told, r.Header.Get("Traceparent")); len(told) == 1 {
			panic(http.ErrAbortHandler) // closes the connection
		}
		rw.WriteHeader(http.StatusNotFound)
	})
	held := w.later(w.request(http.MethodGet, "app.test", "/x?key=secret", "", "Traceparent", clientParent))
	w.held("default/app", 1)
	w.ready("app", backend)
	(<-held).expect(t, "sent again", http.StatusNotFound, "")
	calls := w.calls(collector, 2)
	mu.Lock()
	defer mu.Unlock()
	var seen []string
	for i, call := range calls {
		a := otlp.Attributes(call.GetAttributes())
		seen = append(seen, strings.Join([]string{a["http.request.resend_count"], a["error.type"], a["http.response.status_code"]}, "|"))
		if want := "00-" + clientTrace + "-" + hex.EncodeToString(call.GetSpanId()) + "-01"; told[i] != want {
			t.Errorf("attempt %d told the backend %q, want %q", i, told[i], want)
		}
		if call.GetStatus().GetCode() != tracev1.Status_STATUS_CODE_ERROR {
			t.Errorf("attempt %d: %v", i, call.GetStatus())
		}
	}
	if want := []string{"|connection_lost|", "1|404|404"}; !slices.Equal(seen, want) {
		t.Errorf("resend count, error, status: %q, want %q", seen, want)
	}
	wait := w.span(collector, "cold start")
	if calls[0].GetStartTimeUnixNano() < wait.GetEndTimeUnixNano() {
		t.Error("the wait is in the call of the backend")
	}
}

func TestAColdStartIsTraced(t *testing.T) {
	collector := otlp.New(t)
	w := traced(t, "http/protobuf", collector.HTTP, streamRoute(`message: "Waking up", interval: 100ms`))
	held := w.later(w.request(http.MethodGet, "app.test", "/", ""))
	w.held("default/app", 1)
	response, _ := w.chat(`{"stream":true,"messages":[]}`)
	defer response.Body.Close()
	w.reports("app", map[string]any{"phase": "Loading", "reason": "ProbeFailing", "message": "of the cluster"})
	w.ready("app", w.backend(say("ok")))
	(<-held).expect(t, "the request is released", http.StatusOK, "ok")

	span := w.span(collector, "GET default/app")
	if got := events(span); !cmp.Equal(got, []string{"held"}) {
		t.Errorf("events of a held request: %q", got)
	}
	if got := otlp.Attributes(span.GetAttributes())["cold_start"]; got != "true" {
		t.Errorf("cold_start is %q", got)
	}
	w.eventually("the wait is a child", func() bool {
		return slices.ContainsFunc(collector.Spans(), func(s otlp.Span) bool {
			return s.Name == "cold start" && string(s.GetParentSpanId()) == string(span.GetSpanId()) &&
				s.GetStartTimeUnixNano() == span.GetStartTimeUnixNano() && s.GetEndTimeUnixNano() <= span.GetEndTimeUnixNano() &&
				cmp.Equal(otlp.Attributes(s.GetAttributes()), map[string]string{"outcome": "ready", "wake_phase": "loading", "wake_reason": "ProbeFailing"})
		})
	})
	if got := events(w.span(collector, "POST default/app")); !cmp.Equal(got, []string{"held", "stream committed"}) {
		t.Errorf("events of a stream: %q", got)
	}
}

func TestFailuresInTraces(t *testing.T) {
	collector := otlp.New(t)
	w := traced(t, "http/protobuf", collector.HTTP, route("timeouts: {readiness: 10ms}"))
	w.do(w.request("BREW", "other.test", "/secret", "")).expect(t, "no route", http.StatusNotFound, "")
	if span := w.span(collector, "_OTHER"); span.GetStatus().GetCode() != tracev1.Status_STATUS_CODE_UNSET {
		t.Error("an error of the client is not ours")
	}
	w.do(w.request(http.MethodGet, "app.test", "/", "")).expect(t, "never ready", http.StatusGatewayTimeout, "")
	span := w.span(collector, "GET default/app")
	if span.GetStatus().GetCode() != tracev1.Status_STATUS_CODE_ERROR || otlp.Attributes(span.GetAttributes())["error.type"] != "504" {
		t.Errorf("got %v", span)
	}
}

func TestWhatTheClientDecided(t *testing.T) {
	for _, test := range []struct{ reason, parent, want string }{
		{"not to sample", "00-" + clientTrace + "-" + clientSpan + "-00", "00-" + clientTrace + "-"},
		{"nothing that can be read: the state belongs to no trace", "nonsense", "00-"},
	} {
		collector := otlp.New(t)
		w := traced(t, "http/protobuf", collector.HTTP, plainRoute)
		w.ready("app", w.backend(headers))
		got := w.do(w.request(http.MethodGet, "app.test", "/", "", "Traceparent", test.parent, "Tracestate", "vendor=1"))
		got.expect(t, test.reason, http.StatusOK, test.want)
		sampled, state := strings.Contains(got.body, "-01|"), strings.Contains(got.body, "vendor=1")
		if readable := test.parent != "nonsense"; sampled == readable || state != readable {
			t.Errorf("%s: the backend received %q", test.reason, got.body)
		}
		if strings.Contains(got.body, clientSpan) {
			t.Errorf("%s: the backend's parent is the client, not us: %q", test.reason, got.body)
		}
	}
}

func TestTracesThatAreOffTouchNothing(t *testing.T) {
	w := newWorld(t, plainRoute)
	w.ready("app", w.backend(headers))
	for _, parent := range []string{clientParent, "nonsense", ""} {
		sent := w.request(http.MethodGet, "app.test", "/", "", "Traceparent", parent, "Tracestate", "vendor=1", "Baggage", "user=7")
		w.do(sent).expect(t, "headers pass", http.StatusOK, parent+"|vendor=1|user=7")
	}
}

// The collector takes connections and never answers: requests do not notice, and
// the end is not late.
func TestACollectorThatHangs(t *testing.T) {
	collector := otlp.NewHanging(t)
	var ended time.Time
	t.Cleanup(func() {
		if took := time.Since(ended); took > patience {
			t.Errorf("the interceptor took %v to end", took)
		}
	})
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600000")
	t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "600000")
	w := traced(t, "http/protobuf", collector.HTTP, plainRoute)
	t.Cleanup(func() { ended = time.Now() })
	w.ready("app", w.backend(say("ok")))
	for range 300 { // more than may stand in line
		w.do(w.request(http.MethodGet, "app.test", "/", "")).expect(t, "a request", http.StatusOK, "ok")
	}
	w.eventually("something is sent", func() bool { return collector.Asked() > 0 })
}
