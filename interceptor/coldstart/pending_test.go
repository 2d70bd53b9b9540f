package coldstart

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/inflight"
	"github.com/kedacore/http-add-on/interceptor/metrics"
)

// recorder is a responder that notes when it is called, and with what.
type recorder struct {
	hold
	began time.Time
	// nexts are what start and tick return, one after the other; the last one stays.
	nexts []time.Duration
	err   error // of the last one
	calls []string
	upon  func(p *pending) // called by each tick
}

func (r *recorder) note(call string) {
	r.calls = append(r.calls, time.Since(r.began).String()+" "+call)
}

func (r *recorder) next() (time.Duration, error) {
	next := r.nexts[0]
	if len(r.nexts) > 1 {
		r.nexts = r.nexts[1:]
		return next, nil
	}
	return next, r.err
}

func (r *recorder) start(*pending) (time.Duration, error) {
	r.note("start")
	return r.next()
}

func (r *recorder) tick(p *pending) (time.Duration, error) {
	r.note("tick")
	if r.upon != nil {
		r.upon(p)
	}
	return r.next()
}

func (r *recorder) ready(p *pending) error {
	r.note("ready " + p.x.Upstream.Target.Service + " " + p.x.Upstream.Slot.Addr())
	p.x.Upstream.Slot.Release()
	return nil
}

func (r *recorder) failed(_ *pending, failure *clienterror.Error) error {
	r.note("failed")
	return failure
}

// world is a target that can become ready, and a request for it.
type world struct {
	store *endpoints.Store
	p     *pending
}

func newWorld(t *testing.T, route *exchange.Route) *world {
	t.Helper()
	m, err := metrics.New(sdkmetric.NewMeterProvider(), metrics.Gauges{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{store: endpoints.NewStore()}
	route.Target = w.target("app")
	route.InFlight = inflight.NewTracker(nil).Route("default/app")
	x := &exchange.Exchange{Route: route, Start: time.Now(), Cold: true}
	c := New(nil, Options{Budget: body.NewBudget(0), Metrics: m, Now: time.Now})
	w.p = &pending{ColdStart: c, w: httptest.NewRecorder(), r: httptest.NewRequest(http.MethodGet, "/", nil), x: x}
	return w
}

func (w *world) target(service string) *exchange.Target {
	return &exchange.Target{Service: service, Endpoints: w.store.Port(endpoints.Key{Namespace: "default", Service: service, Port: "http"})}
}

// ready makes a Service ready.
func (w *world) ready(service, address string) {
	w.store.Update("default", service, map[string][]string{"http": {address}})
}

func TestWaitEnds(t *testing.T) {
	const second = time.Second
	lost := errors.New("the client does not read")
	for _, c := range []struct {
		reason    string
		route     *exchange.Route // nil is one without timeouts
		nexts     []time.Duration
		err       error         // of the responder's last call
		ready     time.Duration // when the target is ready; 0 is never
		leaves    time.Duration // when the client does; 0 is never
		fallback  bool
		want      []string
		wantError any // an error or a status; nil means no error
	}{
		{reason: "with an endpoint", nexts: []time.Duration{0}, ready: 3 * second, want: []string{"0s start", "3s ready app 192.0.2.1:80"}},
		{reason: "ticks come when they are asked for", nexts: []time.Duration{second, 2 * second, 0}, ready: 9 * second,
			want: []string{"0s start", "1s tick", "3s tick", "9s ready app 192.0.2.1:80"}},
		{reason: "the readiness timeout", route: &exchange.Route{Readiness: second}, nexts: []time.Duration{0},
			want: []string{"0s start", "1s failed"}, wantError: 504},
		{reason: "the request's timeout", route: &exchange.Route{Request: second}, nexts: []time.Duration{0},
			want: []string{"0s start", "1s failed"}, wantError: 504},
		{reason: "readiness before the request's", route: &exchange.Route{Readiness: second, Request: 2 * second}, nexts: []time.Duration{0}, fallback: true,
			want: []string{"0s start", "1s ready other 192.0.2.9:80"}},
		{reason: "the request's before readiness: nobody can answer any more", route: &exchange.Route{Readiness: 2 * second, Request: second},
			nexts: []time.Duration{0}, fallback: true, want: []string{"0s start", "1s failed"}, wantError: 504},
		{reason: "both at a time", route: &exchange.Route{Readiness: second, Request: second}, nexts: []time.Duration{0}, fallback: true,
			want: []string{"0s start", "1s failed"}, wantError: 504},
		{reason: "the client leaves", nexts: []time.Duration{second}, leaves: 1500 * time.Millisecond,
			want: []string{"0s start", "1s tick"}, wantError: context.Canceled},
		{reason: "answered at the start", nexts: []time.Duration{answered}, want: []string{"0s start"}},
		{reason: "answered at a tick", nexts: []time.Duration{second, answered}, want: []string{"0s start", "1s tick"}},
		{reason: "the responder fails", nexts: []time.Duration{second, second}, err: lost, want: []string{"0s start", "1s tick"}, wantError: lost},
	} {
		t.Run(c.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				route := c.route
				if route == nil {
					route = &exchange.Route{}
				}
				w := newWorld(t, route)
				if c.fallback {
					route.Fallback = w.target("other")
					w.ready("other", "192.0.2.9:80")
				}
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				w.p.r = w.p.r.WithContext(ctx)
				if c.ready > 0 {
					time.AfterFunc(c.ready, func() { w.ready("app", "192.0.2.1:80") })
				}
				if c.leaves > 0 {
					time.AfterFunc(c.leaves, leave)
				}
				r := &recorder{began: time.Now(), nexts: c.nexts, err: c.err}
				err := w.p.wait(r)
				if !slices.Equal(r.calls, c.want) {
					t.Errorf("got %q, want %q", r.calls, c.want)
				}
				var failure *clienterror.Error
				switch want := c.wantError.(type) {
				case nil:
					if err != nil {
						t.Error(err)
					}
				case int:
					if !errors.As(err, &failure) || failure.Status != want {
						t.Errorf("got %v", err)
					}
				case error:
					if !errors.Is(err, want) {
						t.Errorf("got %v", err)
					}
				}
				// Its place is free again.
				if !route.InFlight.Hold(1) {
					t.Error("it still is among the held requests")
				}
			})
		})
	}
}

// TestTwoEndingsAtATime: an endpoint that is there when the time is up is used, one that
// is there when the client has left is not. Select picks at random, so each is tried
// often.
func TestTwoEndingsAtATime(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, &exchange.Route{Readiness: time.Second})
			time.AfterFunc(time.Second, func() { w.ready("app", "192.0.2.1:80") })
			r := &recorder{began: time.Now(), nexts: []time.Duration{0}}
			r.nexts = []time.Duration{500 * time.Millisecond, 0}
			r.upon = func(p *pending) { <-time.After(time.Second) } // both are there when it returns
			if err := w.p.wait(r); err != nil || r.calls[len(r.calls)-1] != "1.5s ready app 192.0.2.1:80" {
				t.Fatalf("in the last moment: %q, %v", r.calls, err)
			}

			w = newWorld(t, &exchange.Route{})
			gone, leave := context.WithCancel(t.Context())
			leave()
			w.p.r = w.p.r.WithContext(gone)
			w.ready("app", "192.0.2.1:80")
			r = &recorder{began: time.Now(), nexts: []time.Duration{0}}
			if err := w.p.wait(r); !errors.Is(err, context.Canceled) || len(r.calls) != 1 {
				t.Fatalf("for nobody: %q, %v", r.calls, err)
			}
			if slot, ok := w.p.x.Route.Target.Endpoints.PickWithin(1); !ok {
				t.Fatal("the endpoint was not given back")
			} else {
				slot.Release()
			}
		})
	}
}

// A failure that is reported ends the wait at once, on routes that ask for that.
func TestAWakeThatHasFailedEndsTheWait(t *testing.T) {
	const second = time.Second
	for _, c := range []struct {
		reason   string
		patient  bool          // the route waits
		reported time.Duration // when the failure is
		lasts    time.Duration // how long it counts
		lost     time.Duration // when the target had an endpoint for the last time
		fallback bool
		want     []string
		status   int
	}{
		{reason: "while it waits", reported: 2 * second, lasts: time.Minute, want: []string{"0s start", "1s tick", "2s failed"}, status: 503},
		{reason: "with a fallback", reported: 2 * second, lasts: time.Minute, fallback: true, want: []string{"0s start", "1s tick", "2s ready other 192.0.2.9:80"}},
		{reason: "a route that waits", patient: true, reported: 2 * second, lasts: time.Minute, want: []string{"0s start", "1s tick", "5s ready app 192.0.2.1:80"}},
		{reason: "one that is over", reported: 2 * second, lasts: -second, want: []string{"0s start", "1s tick", "5s ready app 192.0.2.1:80"}},
		{reason: "of an earlier wake", reported: 2 * second, lasts: time.Minute, lost: 3 * second, want: []string{"0s start", "1s tick", "2.5s ready app 192.0.2.2:80"}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				route := &exchange.Route{FailEarly: !c.patient, Reported: &exchange.Reported{}}
				w := newWorld(t, route)
				if c.fallback {
					route.Fallback = w.target("other")
					w.ready("other", "192.0.2.9:80")
				}
				time.AfterFunc(c.reported-second/2, func() { route.Reported.Set("", &exchange.Report{At: time.Now()}) })
				time.AfterFunc(c.reported, func() {
					route.Reported.Set("", &exchange.Report{At: time.Now().Add(-c.lost), FailedUntil: time.Now().Add(c.lasts)})
				})
				if c.lost > 0 {
					time.AfterFunc(c.reported+second/2, func() { w.ready("app", "192.0.2.2:80") })
				}
				time.AfterFunc(5*second, func() { w.ready("app", "192.0.2.1:80") })
				r := &recorder{began: time.Now(), nexts: []time.Duration{second, 0}}
				err := w.p.wait(r)
				if !slices.Equal(r.calls, c.want) {
					t.Errorf("got %q, want %q", r.calls, c.want)
				}
				var failure *clienterror.Error
				if errors.As(err, &failure); (failure == nil) != (c.status == 0) || failure != nil && (failure.Status != c.status || failure.RetryAfter != failureAgain) {
					t.Errorf("got %v", err)
				}
				if !route.InFlight.Hold(1) {
					t.Error("it still is among the held requests")
				}
			})
		})
	}
}

// A responder that shows reports is ticked for each, and the wake may have failed by then.
func TestAReportIsShownAtOnce(t *testing.T) {
	const second = time.Second
	for shows, want := range map[bool][]string{
		true:  {"0s start", "1.5s tick", "3s tick", "4.5s failed"},
		false: {"0s start", "2s tick", "4s tick", "4.5s failed"},
	} {
		synctest.Test(t, func(t *testing.T) {
			route := &exchange.Route{FailEarly: true, Reported: &exchange.Reported{}}
			w := newWorld(t, route)
			w.p.shows = shows
			for _, at := range []time.Duration{second * 3 / 2, 3 * second} {
				time.AfterFunc(at, func() { route.Reported.Set("", &exchange.Report{At: time.Now()}) })
			}
			time.AfterFunc(second*9/2, func() {
				route.Reported.Set("", &exchange.Report{At: time.Now(), FailedUntil: time.Now().Add(second)})
			})
			r := &recorder{began: time.Now(), nexts: []time.Duration{2 * second, 2 * second, 2 * second, 2 * second}}
			if err := w.p.wait(r); err == nil || !slices.Equal(r.calls, want) {
				t.Errorf("got %q, want %q: %v", r.calls, want, err)
			}
		})
	}
}

// A route that is edited while requests wait decides again.
func TestAFailureEndsTheWaitOnceItsRouteAsksForThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reported := &exchange.Reported{}
		route := &exchange.Route{Reported: reported, Replacement: exchange.NewReplacement()}
		w := newWorld(t, route)
		reported.Set("", &exchange.Report{At: time.Now(), FailedUntil: time.Now().Add(time.Minute)})
		next := &exchange.Route{FailEarly: true, Reported: reported, Target: route.Target, InFlight: route.InFlight, Replacement: exchange.NewReplacement()}
		time.AfterFunc(time.Second, func() { route.Replace(next) })
		r := &recorder{began: time.Now(), nexts: []time.Duration{0}}
		if err := w.p.wait(r); err == nil || !slices.Equal(r.calls, []string{"0s start", "1s failed"}) {
			t.Errorf("got %q, %v", r.calls, err)
		}
	})
}

// TestWaitFollowsItsRoute: the endpoint of the new target counts, and ticks go on.
func TestWaitFollowsItsRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		route := &exchange.Route{Replacement: exchange.NewReplacement()}
		w := newWorld(t, route)
		next := &exchange.Route{Target: w.target("mended"), InFlight: route.InFlight, Replacement: exchange.NewReplacement()}
		time.AfterFunc(500*time.Millisecond, func() { route.Replace(next) })
		time.AfterFunc(1500*time.Millisecond, func() { w.ready("app", "192.0.2.1:80") }) // no request waits for that
		time.AfterFunc(2500*time.Millisecond, func() { w.ready("mended", "192.0.2.2:80") })
		r := &recorder{began: time.Now(), nexts: []time.Duration{time.Second}}
		if err := w.p.wait(r); err != nil {
			t.Error(err)
		}
		if want := []string{"0s start", "1s tick", "2s tick", "2.5s ready mended 192.0.2.2:80"}; !slices.Equal(r.calls, want) {
			t.Errorf("got %q, want %q", r.calls, want)
		}
	})
}

// TestCapCountsWhoWaits: the one over it is answered at once.
func TestCapCountsWhoWaits(t *testing.T) {
	w := newWorld(t, &exchange.Route{MaxPending: 1})
	if !w.p.x.Route.InFlight.Hold(1) {
		t.Fatal("the first place is taken")
	}
	var failure *clienterror.Error
	if err := w.p.wait(&recorder{}); !errors.As(err, &failure) || failure.Status != 503 {
		t.Errorf("got %v", err)
	}
}

func TestBudgetIsChargedForWhoWaits(t *testing.T) {
	const one = body.Held + 100
	for _, test := range []struct {
		reason  string
		route   *exchange.Route
		status  int // of the answer
		failure int
	}{
		{"rejected", &exchange.Route{}, 0, 503},
		{"the placeholder of the overflow", &exchange.Route{
			Placeholder: &exchange.StaticResponse{Status: 202}, OverflowPlaceholder: true,
		}, 202, 0},
	} {
		t.Run(test.reason, func(t *testing.T) {
			w := newWorld(t, test.route)
			w.p.budget = body.NewBudget(2*one - 1)
			w.p.x.Head = 100
			if !w.p.budget.Reserve(one) { // another request that waits
				t.Fatal("no room for one")
			}
			err := w.p.wait(&recorder{})
			var failure *clienterror.Error
			if errors.As(err, &failure); (failure == nil) != (test.failure == 0) || failure != nil && (failure.Status != test.failure) {
				t.Errorf("got %v", err)
			}
			if got := w.p.w.(*httptest.ResponseRecorder); test.status != 0 && got.Code != test.status {
				t.Errorf("answered with %d", got.Code)
			}
			if n := test.route.InFlight.Held(); n != 0 {
				t.Errorf("%d requests are held", n)
			}

			w.p.budget.Release(one)
			r := &recorder{nexts: []time.Duration{time.Nanosecond, answered}, upon: func(p *pending) {
				if p.budget.Reserve(one) {
					t.Error("the budget has room for another one")
				}
			}}
			if err := w.p.wait(r); err != nil {
				t.Error(err)
			}
			if !w.p.budget.Reserve(2*one - 1) {
				t.Error("the budget is not given back")
			}
		})
	}
}

// A large head is charged to the waiting requests or to those in service, never to both.
func TestLargeHeadsMoveWithTheirRequests(t *testing.T) {
	const head = 100
	full := func(b *body.Budget) bool {
		if !b.Reserve(head) {
			return true
		}
		b.Release(head)
		return false
	}
	w := newWorld(t, &exchange.Route{})
	heads := body.NewBudget(head)
	w.p.budget = body.NewBudget(body.Held + head)
	w.p.x.Head, w.p.x.Heads = head, heads
	heads.Take(head) // as the edge does
	r := &recorder{nexts: []time.Duration{answered}, upon: func(p *pending) {
		if full(heads) || !full(p.budget) {
			t.Error("a request that waits takes the room of those in service")
		}
	}}
	if err := w.p.wait(r); err != nil {
		t.Error(err)
	}
	if !full(heads) || full(w.p.budget) {
		t.Error("a request in service takes the room of those that wait")
	}

	w.p.budget.Take(head)
	if err := w.p.wait(&recorder{}); err == nil || !full(heads) {
		t.Errorf("without room: %v", err)
	}
}

// When memory is short the newest requests go first, each with a separate failure. All are
// counted, also those that only wait for their turn.
func TestNewestRequestsAreShed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &exchange.Route{})
		reader := sdkmetric.NewManualReader()
		var err error
		if w.p.metrics, err = metrics.New(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), metrics.Gauges{}); err != nil {
			t.Fatal(err)
		}
		type ending struct {
			n   int
			err error
		}
		ended := make(chan ending, 3)
		for n := range 3 {
			p := *w.p
			x := *w.p.x
			x.Cold = n != 1
			p.x = &x
			go func() { ended <- ending{n, p.wait(hold{})} }()
			synctest.Wait()
		}
		if n := w.p.Waiting(); n != 3 {
			t.Errorf("%d wait", n)
		}
		for _, want := range []int{2, 1} {
			if n := w.p.Shed(1); n != 1 {
				t.Errorf("%d were shed", n)
			}
			got := <-ended
			var failure *clienterror.Error
			if got.n != want || !errors.As(got.err, &failure) || failure.Status != 503 {
				t.Errorf("request %d ended with %v, want request %d", got.n, got.err, want)
			}
		}
		if n := w.p.Shed(5); n != 1 {
			t.Errorf("%d of 1 were shed", n)
		}
		<-ended
		if n := w.p.Waiting() + w.p.Shed(1); n != 0 {
			t.Errorf("%d are left", n)
		}
		var found metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &found); err != nil {
			t.Fatal(err)
		}
		shed := uint64(0)
		for _, m := range found.ScopeMetrics[0].Metrics {
			if waits, ok := m.Data.(metricdata.Histogram[float64]); ok {
				for _, point := range waits.DataPoints {
					if outcome, _ := point.Attributes.Value("outcome"); outcome.AsString() == string(metrics.OutcomeShed) {
						shed += point.Count
					}
				}
			}
		}
		if shed != 3 {
			t.Errorf("%d of 3 are counted", shed)
		}
	})
}

// TestShedWhileTheRouteIsReplaced: a request that was shed does not wait under the next route.
func TestShedWhileTheRouteIsReplaced(t *testing.T) {
	for _, first := range []string{"shed", "replaced"} {
		t.Run(first, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				route := &exchange.Route{Replacement: exchange.NewReplacement()}
				w := newWorld(t, route)
				next := &exchange.Route{Target: w.target("next"), InFlight: route.InFlight, Replacement: exchange.NewReplacement()}
				ended := make(chan error, 1)
				go func() { ended <- w.p.wait(hold{}) }()
				synctest.Wait()
				if first == "replaced" {
					route.Replace(next)
					synctest.Wait()
				}
				w.p.Shed(1)
				if first == "shed" {
					route.Replace(next) // whichever the loop sees first
				}
				failure := new(clienterror.Error)
				if err := <-ended; !errors.As(err, &failure) || failure.Status != http.StatusServiceUnavailable {
					t.Errorf("ended with %v", err)
				}
			})
		})
	}
}

// TestAResponderThatPanicsTakesNoPlaceWithIt: the edge recovers, and the route goes on.
func TestAResponderThatPanicsTakesNoPlaceWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &exchange.Route{MaxPending: 1, ReleaseConcurrency: 1})
		func() {
			defer func() { _ = recover() }()
			_ = w.p.wait(&recorder{began: time.Now(), nexts: []time.Duration{time.Second}, upon: func(*pending) { panic("odd") }})
		}()
		if !w.p.x.Route.InFlight.Hold(1) {
			t.Fatal("its place among the held requests is taken forever")
		}
		w.p.x.Route.InFlight.Unhold()
		w.ready("app", "192.0.2.1:80")
		slot, ok := w.p.x.Route.Target.Endpoints.PickWithin(1)
		if !ok {
			t.Fatal("its place in the queue is taken forever")
		}
		slot.Release()
	})
}

// TestTheFallbackIsNotAskedForNobody: a client that left as the time was up.
func TestTheFallbackIsNotAskedForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		route := &exchange.Route{Readiness: time.Second}
		w := newWorld(t, route)
		route.Fallback = w.target("other")
		ctx, leave := context.WithCancel(t.Context())
		w.p.r = w.p.r.WithContext(ctx)
		r := &recorder{began: time.Now(), nexts: []time.Duration{500 * time.Millisecond, 0}}
		r.upon = func(*pending) { <-time.After(time.Second); leave() }
		if err := w.p.wait(r); !errors.Is(err, context.Canceled) || len(r.calls) != 2 {
			t.Errorf("%q, %v", r.calls, err)
		}
	})
}
