package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"runtime"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/kedacore/http-add-on/tests/support/capture"
	"github.com/kedacore/http-add-on/tests/support/listen"
	"github.com/kedacore/http-add-on/tests/support/otlp"
)

// each runs a test by both protocols.
func each(t *testing.T, test func(t *testing.T, protocol string, endpoint func(*otlp.Collector) string)) {
	t.Run("HTTP", func(t *testing.T) {
		test(t, ProtocolHTTP, func(c *otlp.Collector) string { return c.HTTP })
	})
	t.Run("gRPC", func(t *testing.T) {
		test(t, ProtocolGRPC, func(c *otlp.Collector) string { return c.GRPC })
	})
}

// start starts all telemetry by one protocol.
func start(t *testing.T, protocol string, log logr.Logger) *Telemetry {
	t.Helper()
	all, err := New(Settings{OTLPMetrics: true, MetricsProtocol: protocol, Traces: true, TracesProtocol: protocol, Component: "component"}, log)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func use(t *testing.T, all *Telemetry) {
	t.Helper()
	counter, err := all.Provider().Meter("test").Int64Counter("things")
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(t.Context(), 3, metric.WithAttributes(attribute.String("color", "red")))
	_, span := all.Traces().Tracer("test").Start(t.Context(), "work")
	span.End()
}

func TestMetricsAndTracesArriveAtTheEndAtTheLatest(t *testing.T) {
	each(t, func(t *testing.T, protocol string, endpoint func(*otlp.Collector) string) {
		collector := otlp.New(t)
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint(collector))
		t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "team=llm")
		all := start(t, protocol, testr.New(t))
		use(t, all)
		if err := all.Shutdown(within(t, 20*time.Second)); err != nil {
			t.Fatal(err)
		}
		spans, metrics := collector.Spans(), collector.Metrics()
		if len(spans) != 1 || spans[0].Name != "work" {
			t.Fatalf("spans %v", spans)
		}
		if len(metrics) != 1 || metrics[0].Name != "things" || metrics[0].GetSum().GetDataPoints()[0].GetAsInt() != 3 {
			t.Fatalf("metrics %v", metrics)
		}
		for _, who := range []map[string]string{spans[0].Resource, metrics[0].Resource} {
			if who["service.name"] != "component" || who["team"] != "llm" || who["service.instance.id"] == "" || who["host.name"] == "" {
				t.Errorf("sent by %v", who)
			}
		}
	})
}

func TestTheEnvironmentNamesTheService(t *testing.T) {
	collector := otlp.New(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.HTTP)
	t.Setenv("OTEL_SERVICE_NAME", "mine")
	all := start(t, ProtocolHTTP, testr.New(t))
	use(t, all)
	if err := all.Shutdown(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	if spans := collector.Spans(); len(spans) != 1 || spans[0].Resource["service.name"] != "mine" {
		t.Errorf("spans %v", spans)
	}
}

func TestTheSamplerOfTheEnvironment(t *testing.T) {
	collector := otlp.New(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.HTTP)
	t.Setenv("OTEL_TRACES_SAMPLER", "traceidratio")
	t.Setenv("OTEL_TRACES_SAMPLER_ARG", "0")
	all := start(t, ProtocolHTTP, testr.New(t))
	use(t, all)
	if err := all.Shutdown(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	if spans := collector.Spans(); len(spans) != 0 {
		t.Errorf("spans %v", spans)
	}
}

// More spans than the queue holds end while the collector takes nothing. No caller waits, and
// Shutdown does not wait beyond its context. goleak finds what stays behind.
func TestACollectorThatHangsHoldsUpNobody(t *testing.T) {
	const bound = 300 * time.Millisecond
	each(t, func(t *testing.T, protocol string, endpoint func(*otlp.Collector) string) {
		collector := otlp.NewHanging(t)
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint(collector))
		t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
		// Waiting for the collector would take ten minutes.
		t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600000")
		t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "600000")
		all := start(t, protocol, logr.Discard())
		tracer := all.Traces().Tracer("test")
		began := time.Now()
		for range 10_000 {
			_, span := tracer.Start(t.Context(), "work")
			span.End()
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("10,000 spans took %v", took)
		}
		for collector.Asked() == 0 { // the exporter sends in the background
			if time.Since(began) > time.Minute {
				t.Fatal("nothing was sent at all")
			}
			runtime.Gosched()
		}
		use(t, all)
		began = time.Now()
		if err := all.Shutdown(within(t, bound)); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < bound || took > time.Minute {
			t.Errorf("the end took %v, want about %v", took, bound)
		}
	})
}

func TestACollectorThatIsNotThereIsSaidOnce(t *testing.T) {
	nobody := "http://" + listen.Refusing(t)
	each(t, func(t *testing.T, protocol string, _ func(*otlp.Collector) string) {
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", nobody)
		t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
		t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
		t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "1")
		var log capture.Log
		all := start(t, protocol, log.Logger(0, nil))
		tracer := all.Traces().Tracer("test")
		for range 2_000 { // some batches
			_, span := tracer.Start(t.Context(), "work")
			span.End()
		}
		use(t, all)
		if err := all.Shutdown(within(t, time.Minute)); err != nil {
			t.Error(err)
		}
		if log.Count(`"kind"="metrics"`) != 1 || log.Count(`"kind"="traces"`) != 1 {
			t.Errorf("lines of the log: %q, want one for each signal", log.Lines())
		}
	})
}

func TestTheConsoleGetsSpans(t *testing.T) {
	var console bytes.Buffer
	traces, err := NewTraces(TraceOptions{Protocol: ProtocolConsole, Console: &console, Component: "component", Log: testr.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	_, span := traces.Provider().Tracer("test").Start(t.Context(), "work")
	span.End()
	if err := traces.Shutdown(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	var got struct{ Name string }
	if err := json.Unmarshal(console.Bytes(), &got); err != nil || got.Name != "work" {
		t.Errorf("got %s (%v)", console.String(), err)
	}
}

func TestTracesThatAreOffHaveNoProvider(t *testing.T) {
	all, err := New(Settings{}, testr.New(t))
	if err != nil {
		t.Fatal(err)
	}
	if all.Traces() != nil {
		t.Error("there is a provider")
	}
	if err := all.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
