package externalscaler

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	api "github.com/kedacore/http-add-on/operator/apis/http"
	"github.com/kedacore/http-add-on/pkg/queue"
	"github.com/kedacore/http-add-on/scaler/externalscaler/pb"
)

const (
	ms     = time.Millisecond
	second = time.Second
)

func TestStreamIsActive(t *testing.T) {
	idle := queue.Count{}
	cold := queue.Count{Concurrency: 1, RequestCount: 1, Cold: true, Leased: true}
	// requests returns a count of a warm route.
	requests := func(inFlight, total int64) queue.Count {
		return queue.Count{Concurrency: inFlight, RequestCount: total}
	}
	for name, test := range map[string]struct {
		before queue.Count
		happen func(report func(queue.Count))
		want   []time.Duration
	}{
		"idle": {idle, func(func(queue.Count)) { pass(time.Hour) }, nil},
		"active at open, and never again while it stays so": {
			requests(3, 3), func(func(queue.Count)) { pass(time.Hour) }, []time.Duration{0},
		},
		"cold at open, and while it stays so": {
			cold, func(func(queue.Count)) { pass(50 * second) },
			[]time.Duration{0, 500 * ms, 2500 * ms, 6500 * ms, 14500 * ms, 29500 * ms, 44500 * ms},
		},
		"cold hit": {
			idle, func(report func(queue.Count)) {
				pass(second)
				report(cold)
				pass(20 * second)
				report(queue.Count{RequestCount: 1})
				pass(time.Hour)
			}, []time.Duration{1000 * ms, 1500 * ms, 3500 * ms, 7500 * ms, 15500 * ms},
		},
		"cold, ready, and cold again": {
			idle, func(report func(queue.Count)) {
				report(cold)
				pass(100 * ms)
				report(queue.Count{RequestCount: 1})
				pass(100 * ms)
				report(queue.Count{Concurrency: 1, RequestCount: 2, Cold: true})
				pass(3 * second)
			}, []time.Duration{0, 200 * ms, 700 * ms, 2700 * ms},
		},
		"further hits while cold come at once, but not within 2 s": {
			idle, func(report func(queue.Count)) {
				report(cold)
				pass(20 * second)
				report(queue.Count{Concurrency: 2, RequestCount: 2, Cold: true})
				pass(second)
				report(queue.Count{Concurrency: 3, RequestCount: 3, Cold: true})
				pass(5 * second)
			}, []time.Duration{0, 500 * ms, 2500 * ms, 6500 * ms, 14500 * ms, 20 * second, 22 * second},
		},
		"a request that is over before it is seen": {
			idle, func(report func(queue.Count)) {
				pass(second)
				report(requests(0, 1))
				pass(time.Hour)
			}, []time.Duration{second},
		},
		"requests of a route that is awake": {
			idle, func(report func(queue.Count)) {
				for n := range int64(45) { // each second one
					report(requests(1, n+1))
					pass(500 * ms)
					report(requests(0, n+1))
					pass(500 * ms)
				}
				pass(time.Hour) // the last one was at 44 s, and the stream sends it at 50 s
			}, []time.Duration{0, 10 * second, 20 * second, 30 * second, 40 * second, 50 * second},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, interceptorRoute("llm", concurrency(10)))
				w.report("apps/llm", test.before)
				pass(time.Minute) // earlier requests do not count for the stream
				s := w.open(ref(api.TriggerInterceptorRoute, "llm"))
				synctest.Wait()
				test.happen(func(c queue.Count) { w.report("apps/llm", c) })
				synctest.Wait()
				if diff := cmp.Diff(test.want, s.taken()); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		})
	}
}

// KEDA's operator has 20 requests a second for everything, and writes one for
// each "active".
func TestManyRoutesShareABudgetAndColdOnesGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 60
		w := newWorld(t)
		streams := make([]*stream, many+1)
		for n := range streams {
			streams[n] = w.open(ref(api.TriggerInterceptorRoute, fmt.Sprint(n)))
		}
		synctest.Wait()
		requests := int64(0)
		for range 60 { // all but the last flap for half a minute
			requests++
			for n := range many {
				w.report(fmt.Sprintf("apps/%d", n), queue.Count{Concurrency: requests % 2, RequestCount: requests})
			}
			pass(500 * ms)
		}
		w.report(fmt.Sprintf("apps/%d", many), queue.Count{Concurrency: 1, RequestCount: 1, Cold: true})
		synctest.Wait()
		if got := streams[many].taken(); !slices.Equal(got, []time.Duration{30 * second}) {
			t.Errorf("the cold one had to wait: %v", got)
		}
		w.report(fmt.Sprintf("apps/%d", many), queue.Count{RequestCount: 1})
		pass(time.Minute)
		synctest.Wait()
		var all []time.Duration
		for n, s := range streams[:many] {
			taken := s.taken()
			if len(taken) < 2 {
				t.Errorf("route %d sent \"active\" only %d times", n, len(taken))
			}
			for i := 1; i < len(taken); i++ {
				if taken[i]-taken[i-1] < warmSpacing {
					t.Errorf("route %d sent \"active\" twice within %v", n, taken[i]-taken[i-1])
				}
			}
			all = append(all, taken...)
		}
		slices.Sort(all)
		for i := 5; i < len(all); i++ {
			if all[i]-all[i-5] < second {
				t.Fatalf("more than five within a second at %v", all[i])
			}
		}
	})
}

// So many routes stay cold that repeating them all would take the whole budget.
func TestManyColdRoutesDoNotSilenceTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 200
		w := newWorld(t)
		for n := range many {
			w.open(ref(api.TriggerInterceptorRoute, fmt.Sprint(n)))
		}
		awake := w.open(ref(api.TriggerInterceptorRoute, "awake"))
		synctest.Wait()
		for n := range many {
			w.report(fmt.Sprintf("apps/%d", n), queue.Count{Concurrency: 1, RequestCount: 1, Cold: true, Leased: true})
		}
		pass(time.Minute)
		for n := range int64(5) {
			w.report("apps/awake", queue.Count{RequestCount: n + 1})
			pass(2 * second)
			if got := awake.taken(); len(got) != 1 {
				t.Errorf("request %d: told %v", n, got)
			}
			pass(20 * second)
		}
	})
}

// 60 routes that were active become idle one by one. The scaler sends nothing about that.
func TestGoingIdleIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for n := range 60 {
			w.report(fmt.Sprintf("apps/%d", n), queue.Count{Concurrency: 1, RequestCount: 1})
		}
		var streams []*stream
		for n := range 60 {
			streams = append(streams, w.open(ref(api.TriggerInterceptorRoute, fmt.Sprint(n))))
		}
		pass(2 * time.Minute) // the scaler also sends what it learned before they opened
		for _, s := range streams {
			if len(s.taken()) == 0 {
				t.Error("an active route did not send \"active\" at open")
			}
		}
		for n := range 60 {
			w.report(fmt.Sprintf("apps/%d", n), queue.Count{RequestCount: 1})
			pass(second)
		}
		pass(time.Hour)
		for n, s := range streams {
			if got := s.taken(); len(got) > 0 {
				t.Errorf("route %d: %v", n, got)
			}
		}
	})
}

func TestEveryStreamOfARouteIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		one, two := w.open(ref(api.TriggerInterceptorRoute, "llm")), w.open(ref(api.TriggerHTTPScaledObject, "llm"))
		other, fleet := w.open(ref(api.TriggerInterceptorRoute, "web")), w.open(ref(api.TriggerPendingRequests, "100"))
		synctest.Wait()
		w.report("apps/llm", queue.Count{Concurrency: 1, RequestCount: 1, Cold: true})
		pass(400 * ms)
		if a, b, c, d := len(one.taken()), len(two.taken()), len(other.taken()), len(fleet.taken()); a != 1 || b != 1 || c != 0 || d != 1 {
			t.Errorf("told %d, %d, %d, %d times; want 1, 1, 0, 1", a, b, c, d)
		}
		one.cancel()
		if err := <-one.ended; status.Code(err) != codes.Canceled {
			t.Error(err)
		}
		w.report("apps/llm", queue.Count{RequestCount: 1})
		w.report("apps/llm", queue.Count{Concurrency: 1, RequestCount: 2, Cold: true})
		synctest.Wait()
		if got := len(two.taken()); got != 1 {
			t.Errorf("told %d times after the other stream ended", got)
		}
	})
}

// Covers a route that is deleted and made again, or made after its ScaledObject.
func TestStreamsOutliveTheirRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.open(ref(api.TriggerInterceptorRoute, "llm"))
		synctest.Wait() // a stream that opens during a report gets it twice
		cold := queue.Count{Concurrency: 1, RequestCount: 1, Cold: true}
		for range 3 {
			w.routes.Set(interceptorRoute("llm", concurrency(1)))
			w.report("apps/llm", cold)
			synctest.Wait()
			if got := s.taken(); len(got) != 1 {
				t.Errorf("told %d times", len(got))
			}
			w.routes.Delete(interceptorRoute("llm", nil))
			w.interceptor.Apply(queue.Event{Type: queue.Snapshot})
			pass(time.Minute)
			if got := s.taken(); len(got) != 0 {
				t.Errorf("told %v of a route that is gone", got)
			}
		}
	})
}

func TestStreamsWaitForTheFirstReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStartingWorld(t)
		s := w.open(ref(api.TriggerInterceptorRoute, "llm"))
		w.report("apps/llm", queue.Count{Concurrency: 1})
		pass(time.Second)
		if got := s.taken(); len(got) > 0 {
			t.Errorf("told %v before anything is known", got)
		}
		close(w.ready)
		synctest.Wait()
		if got := s.taken(); len(got) != 1 {
			t.Errorf("told %d times", len(got))
		}
	})
}

func TestStopEndsEveryStreamCleanly(t *testing.T) {
	for name, w := range map[string]func(*testing.T) *world{
		"running": func(t *testing.T) *world { return newWorld(t) }, "starting": newStartingWorld,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := w(t)
				s := w.open(ref(api.TriggerInterceptorRoute, "llm"))
				specs, err := w.keda.StreamMetricSpec(t.Context(), ref(api.TriggerInterceptorRoute, "llm"))
				if err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				start := time.Now()
				w.server.Stop()
				if err := <-s.ended; !errors.Is(err, io.EOF) {
					t.Errorf("StreamIsActive ends with %v", err)
				}
				if _, err := specs.Recv(); !errors.Is(err, io.EOF) {
					t.Errorf("StreamMetricSpec ends with %v", err)
				}
				if err := <-w.open(ref(api.TriggerInterceptorRoute, "llm")).ended; !errors.Is(err, io.EOF) {
					t.Errorf("a stream that is opened afterwards ends with %v", err)
				}
				if took := time.Since(start); took > 0 {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestStreamMetricSpec(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, interceptorRoute("llm", concurrency(10)))
		client, err := w.keda.StreamMetricSpec(t.Context(), ref(api.TriggerInterceptorRoute, "llm"))
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string, 100)
		go func() {
			for {
				response, err := client.Recv()
				if err != nil {
					return
				}
				got <- told(response)
			}
		}()
		step := func(reason string, change func(), want ...string) {
			t.Helper()
			change()
			synctest.Wait()
			var all []string
			for len(got) > 0 {
				all = append(all, <-got)
			}
			if !slices.Equal(all, want) {
				t.Errorf("%s: %q, want %q", reason, all, want)
			}
			if len(want) == 0 {
				return
			}
			response, err := w.keda.GetMetricSpec(t.Context(), ref(api.TriggerInterceptorRoute, "llm"))
			if err != nil || told(response) != want[len(want)-1] {
				t.Errorf("%s: GetMetricSpec says %q, %v", reason, told(response), err)
			}
		}
		set := func(metric map[string]any) func() {
			return func() { w.routes.Set(interceptorRoute("llm", metric)) }
		}
		step("open", func() {}, "http_llm_concurrency=10")
		step("nothing new", set(concurrency(10)))
		step("a new target", set(concurrency(11)), "http_llm_concurrency=11")
		step("nonsense keeps what was", set(map[string]any{"concurrency": "many"}))
		step("no metric keeps what was", set(nil))
		step("deleted", func() { w.routes.Delete(interceptorRoute("llm", nil)) })
		step("made again as it was", set(concurrency(11)))
		step("made with another metric", set(map[string]any{"requestRate": map[string]any{"targetValue": int64(5)}}), "http_llm_rate=5")
	})
}

// told writes metric specs in a line.
func told(response *pb.GetMetricSpecResponse) string {
	line := ""
	for _, s := range response.GetMetricSpecs() {
		if line != "" {
			line += " "
		}
		line += s.GetMetricName() + "="
		if s.GetTargetSize() != 0 {
			line += fmt.Sprintf("%dint", s.GetTargetSize())
		}
		if s.GetTargetSizeFloat() != 0 {
			line += fmt.Sprint(s.GetTargetSizeFloat())
		}
	}
	return line
}
