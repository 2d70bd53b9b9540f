package collect

import (
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/kedacore/http-add-on/pkg/demand"
	"github.com/kedacore/http-add-on/pkg/queue"
	"github.com/kedacore/http-add-on/pkg/telemetry"
	"github.com/kedacore/http-add-on/tests/support/otlp"
)

// inBubble runs a test in fake time.
func inBubble(t *testing.T, f func(t *testing.T, n *network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newNetwork(t, nil)) })
}

func TestAColdHitIsHeardAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		p := n.start("a:9090", counting(0))
		n.list("a:9090")
		n.collector.Synced()
		pass(time.Minute)
		n.demand.Hits()
		start := time.Now()
		p.set(llm, queue.Count{Concurrency: 1, RequestCount: 1, Cold: true, Leased: true})
		<-n.demand.Changed()
		if took := time.Since(start); took > 5*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		if got := n.demand.Hits()[llm]; got != demand.Cold {
			t.Errorf("hit %d", got)
		}
	})
}

func TestInterceptorsComeAndGo(t *testing.T) {
	inBubble(t, func(_ *testing.T, n *network) {
		n.start("a:9090", counting(2))
		n.start("b:9090", counting(3))
		n.list("a:9090")
		pass(time.Second)
		n.inFlight("one is listed", 2)
		n.list("a:9090", "b:9090")
		pass(time.Second)
		n.inFlight("two are listed", 5)
		n.list("b:9090")
		pass(time.Second)
		n.inFlight("one has gone", 3)
		// The same address, another pod.
		n.collector.List(map[string]string{"another": "b:9090"})
		pass(time.Second)
		n.inFlight("another one has its address", 3)
		n.list()
		pass(time.Second)
		n.inFlight("all have gone", 0)
	})
}

func TestAnInterceptorThatIsNotUpYetIsTriedAgainSoon(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		n.list("a:9090")
		pass(10 * time.Minute)
		// A pause is between half and one and a half times maxRetry, after a few short ones.
		if got := n.tries("a:9090"); got < 200 || got > 620 {
			t.Errorf("tried %d times in 10 minutes, want about every two seconds", got)
		}
		n.start("a:9090", counting(2))
		pass(3 * time.Second)
		n.inFlight("it has come up", 2)
	})
}

// An EndpointSlice changes when an interceptor becomes ready. Its first cold hit must not wait
// for a pause to end.
func TestAnInterceptorIsTriedWhenTheListChanges(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		n.list("a:9090")
		for range 20 {
			pass(time.Minute)
			n.start("a:9090", counting(2))
			n.list("a:9090")
			pass(time.Millisecond)
			n.inFlight("it is ready", 2)
			n.kill("a:9090")
		}
	})
}

func TestAnInterceptorThatDies(t *testing.T) {
	inBubble(t, func(_ *testing.T, n *network) {
		n.start("a:9090", counting(2))
		n.list("a:9090")
		pass(time.Second)
		n.kill("a:9090")
		pass(time.Hour)
		n.inFlight("what it said last is kept while it is listed", 2)
		n.start("a:9090", counting(1))
		pass(3 * time.Second)
		n.inFlight("it was restarted", 1)
		n.kill("a:9090")
		n.list()
		pass(time.Second)
		n.inFlight("it is listed no more", 0)
	})
}

func TestARestartIsNoNegativeRate(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		n.demand.Measure(llm, time.Minute, time.Second)
		n.start("a:9090", counting(1000))
		n.list("a:9090")
		pass(time.Second)
		n.kill("a:9090")
		n.start("a:9090", counting(0)).set(llm, queue.Count{RequestCount: 30})
		pass(3 * time.Second)
		if got := n.demand.State(llm).Rate; math.Abs(got-0.5) > 0.02 {
			t.Errorf("%v, want 30 requests in a minute", got)
		}
	})
}

// Lists every way in which an interceptor can hang, beside one that works.
func TestAnInterceptorThatHangsCostsNothingButItsOwnNumbers(t *testing.T) {
	for name, test := range map[string]struct {
		address string
		process *process
	}{
		"it answers nothing":      {"b:9090", &process{hangs: true}},
		"its packets are dropped": {"void:9090", &process{}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				p := n.start("a:9090", counting(2))
				n.start(test.address, test.process)
				n.list("a:9090", test.address)
				n.collector.Synced()
				pass(10 * time.Millisecond)
				n.inFlight("the one that works is heard", 2)
				pass(settleTimeout)
				if !n.ready() {
					t.Error("not ready when its time is over")
				}
				p.set(llm, busy(5))
				pass(10 * time.Millisecond)
				n.inFlight("the one that works is heard on", 5)
				pass(time.Minute)
				if got := n.tries(test.address); got > 60 {
					t.Errorf("tried %d times in a minute", got)
				}
			})
		})
	}
}

func TestAStreamThatFallsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, nil)
		p := counting(2)
		var calls atomic.Int64
		p.answers = func(w http.ResponseWriter, r *http.Request) bool {
			if calls.Add(1) > 1 {
				return false
			}
			w.Header().Set("Content-Type", queue.ContentTypeWatch)
			_, _ = w.Write([]byte(`{"type":"SNAPSHOT","counts":{"apps/llm":{"Concurrency":7,"RequestCount":7}}}` + "\n"))
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
			case <-p.done:
			}
			return true
		}
		n.start("a:9090", p)
		n.list("a:9090")
		pass(14 * time.Second)
		n.inFlight("it was heard once", 7)
		pass(3 * time.Second)
		n.inFlight("the silence was noticed", 2)
	})
}

func TestAnInterceptorOf016IsPolled(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		p := counting(2)
		p.old = true
		n.start("a:9090", p)
		n.list("a:9090")
		n.collector.Synced()
		pass(time.Millisecond)
		n.inFlight("the first look", 2)
		if !n.ready() {
			t.Error("not ready")
		}
		n.demand.Hits()
		p.set(llm, queue.Count{Concurrency: 3, RequestCount: 5})
		pass(500 * time.Millisecond)
		n.inFlight("the next look", 3)
		p.set(llm, queue.Count{RequestCount: 5})
		pass(500 * time.Millisecond)
		n.demand.Hits()
		p.set(llm, queue.Count{RequestCount: 6}) // a request between two looks
		pass(500 * time.Millisecond)
		if got := n.demand.Hits()[llm]; got != demand.Warm {
			t.Errorf("a short request is hit %d", got)
		}
		if got := n.tries("a:9090"); got > 2 {
			t.Errorf("%d connections", got)
		}
		// It is replaced by one that streams.
		n.kill("a:9090")
		n.start("a:9090", counting(9))
		pass(3 * time.Second)
		n.inFlight("its successor", 9)
		dialled := n.tries("a:9090")
		pass(time.Minute)
		if n.tries("a:9090") != dialled {
			t.Error("its successor does not stay connected")
		}
	})
}

func TestNonsenseIsNotBelieved(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"no JSON":       func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"negative":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"a/b":{"Concurrency":-1}}`)) },
		"another type":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`["a"]`)) },
		"a failure":     func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) },
		"not found":     http.NotFound,
		"a redirection": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) },
		"a cut answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t, nil)
				p := counting(2)
				var broken atomic.Bool
				p.old = true
				p.answers = func(w http.ResponseWriter, r *http.Request) bool {
					if broken.Load() {
						answer(w, r)
						return true
					}
					return false
				}
				n.start("a:9090", p)
				n.list("a:9090")
				pass(time.Second + time.Millisecond)
				broken.Store(true)
				pass(time.Minute)
				n.inFlight("what it said last", 2)
				broken.Store(false)
				p.set(llm, busy(4))
				pass(4 * time.Second)
				n.inFlight("it makes sense again", 4)
			})
		})
	}
}

func TestReady(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		pass(time.Hour)
		if n.ready() {
			t.Error("ready before the list is complete")
		}
		n.list("void:9090", "refused:9090")
		pass(time.Hour)
		if n.ready() {
			t.Error("ready before the list is complete")
		}
		n.collector.Synced()
		pass(time.Millisecond)
		if !n.ready() {
			t.Error("not ready though each was given up long ago")
		}
	})
	t.Run("nobody is listed", func(t *testing.T) {
		inBubble(t, func(t *testing.T, n *network) {
			n.collector.Synced()
			pass(time.Millisecond)
			if !n.ready() {
				t.Error("not ready")
			}
		})
	})
	t.Run("an interceptor that goes before it was heard", func(t *testing.T) {
		inBubble(t, func(t *testing.T, n *network) {
			n.start("a:9090", &process{hangs: true})
			n.list("a:9090")
			n.collector.Synced()
			pass(time.Second)
			if n.ready() {
				t.Error("ready before it reported")
			}
			n.list()
			pass(time.Millisecond)
			if !n.ready() {
				t.Error("not ready though it has gone")
			}
		})
	})
}

// A restarted scaler reports nothing until the slow interceptors have reported, and is right
// then.
func TestASlowInterceptorIsWaitedFor(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		slow := counting(3)
		slow.answers = func(_ http.ResponseWriter, r *http.Request) bool {
			select {
			case <-time.After(settleTimeout - time.Second):
			case <-r.Context().Done():
			}
			return false
		}
		n.start("a:9090", counting(2))
		n.start("b:9090", slow)
		n.list("a:9090", "b:9090")
		n.collector.Synced()
		for range 100 {
			if n.ready() {
				n.inFlight("the first number", 5)
				return
			}
			pass(100 * time.Millisecond)
		}
		t.Error("not ready")
	})
}

// The network of a pod that has just started may not be up yet. A scaler that takes the first
// failure for an answer reports to KEDA that no client wants anything.
func TestAFailureAtTheStartIsNoAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		n.start("a:9090", counting(2))
		n.list("a:9090", "b:9090")
		n.collector.Synced()
		pass(settleTimeout / 2)
		if n.ready() {
			t.Fatal("ready before every interceptor reported")
		}
		n.start("b:9090", counting(3))
		for range 100 {
			if n.ready() {
				n.inFlight("the first number", 5)
				return
			}
			pass(100 * time.Millisecond)
		}
		t.Error("not ready")
	})
}

func TestNobodyListedIsLogged(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		n.list()
		pass(time.Second)
		if got := n.logs(); len(got) > 0 {
			t.Errorf("before the list is complete: %q", got)
		}
		n.collector.Synced()
		pass(time.Second)
		if got := n.logs(); len(got) != 1 || !strings.Contains(got[0], "Deployment keda/interceptor") || !strings.Contains(got[0], "keda/admin") {
			t.Errorf("nobody is listed: %q", got)
		}
		n.list()
		pass(time.Second)
		if got := n.logs(); len(got) > 0 {
			t.Errorf("nothing new: %q", got)
		}
		n.start("a:9090", counting(0))
		n.list("a:9090")
		pass(time.Second)
		if got := n.logs(); len(got) != 1 || !strings.Contains(got[0], "again") {
			t.Errorf("one is listed: %q", got)
		}
	})
}

// Names, labels, types and buckets are a contract with dashboards and alerts. The
// reference page is generated from the golden file.
func TestMetricsAreFrozen(t *testing.T) {
	out, err := telemetry.NewMetrics(telemetry.Options{Prometheus: true, Log: testr.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := out.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	scrape := func() (lines []string) {
		w := httptest.NewRecorder()
		out.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		for line := range strings.Lines(w.Body.String()) {
			if strings.Contains(line, "scaler_") {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		return lines
	}
	var got []string
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, out.Provider())
		n.start("a:9090", counting(2))
		n.start("b:9090", counting(2))
		n.list("a:9090", "b:9090", "refused:9090")
		pass(time.Millisecond)
		got = scrape()
	})
	want, err := os.ReadFile(filepath.Join("testdata", "metrics.golden"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(string(want)), "\n"), got); diff != "" {
		t.Errorf("the metrics have changed (-frozen +now):\n%s", diff)
	}
}

// Users who send metrics to a collector have dashboards on these names and types (0.16).
func TestInstrumentsAreFrozen(t *testing.T) {
	reader := sdk.NewManualReader()
	m, err := newMeasurements(sdk.NewMeterProvider(sdk.WithReader(reader)))
	if err != nil {
		t.Fatal(err)
	}
	m.fetched(t.Context(), time.Second)
	want := []string{
		"keda-external-scaler scaler.pinger.endpoints gauge",
		"keda-external-scaler scaler.pinger.fetch.duration histogram [0.005 0.01 0.025 0.05 0.075 0.1 0.25 0.5 0.75 1 2.5 5] s",
		"keda-external-scaler scaler.pinger.fetch.errors counter",
		"keda-external-scaler scaler.pinger.unreachable_pods gauge",
	}
	if diff := cmp.Diff(want, otlp.Instruments(t, reader)); diff != "" {
		t.Errorf("the instruments have changed (-frozen +now):\n%s", diff)
	}
}
