package coldstart

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/coldstart/eta"
	"github.com/kedacore/http-add-on/interceptor/coldstart/page"
	"github.com/kedacore/http-add-on/interceptor/exchange"
)

// forwarded notes where requests were forwarded to.
type forwarded struct{ to []string }

func (f *forwarded) ServeExchange(w http.ResponseWriter, _ *http.Request, x *exchange.Exchange) error {
	defer x.Upstream.Slot.Release()
	f.to = append(f.to, x.Upstream.Target.Service)
	w.WriteHeader(http.StatusOK)
	return nil
}

// browser is a person's browser at a route with a page.
type browser struct {
	*world
	route *exchange.Route
	next  *forwarded
}

func newBrowser(t *testing.T, route *exchange.Route, o page.Options) *browser {
	t.Helper()
	compiled, err := page.Compile(o)
	if err != nil {
		t.Fatal(err)
	}
	route.Page = compiled
	if route.Lease == 0 {
		route.Lease = route.Readiness
	}
	b := &browser{world: newWorld(t, route), route: route, next: &forwarded{}}
	b.p.next = b.next
	return b
}

// asks sends a request and waits for its end: one word for what came, and after how long.
func (b *browser) asks(ctx context.Context, header ...string) (got string, took time.Duration) {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	r.Header.Set("Accept", "text/html")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w, start, before := httptest.NewRecorder(), time.Now(), len(b.next.to)
	err := b.p.ServeExchange(w, r, &exchange.Exchange{Route: b.route, Start: start})
	took = time.Since(start)
	var failure *clienterror.Error
	failed, body := errors.As(err, &failure), w.Body.String()
	switch {
	case len(b.next.to) > before:
		return b.next.to[before], took
	case failed && failure.Sent && strings.Contains(body, "unusually long"):
		return "late", took
	case failed && failure.Sent && strings.Contains(body, "cannot be started"):
		return "failed", took
	case failed && !failure.Sent && body == "":
		return http.StatusText(failure.Status), took
	case err != nil:
		return err.Error(), took
	case strings.Contains(body, "<h1>Ready</h1>"):
		return "ready", took
	case strings.Contains(body, page.DefaultMessage):
		return "page", took
	}
	return body, took
}

// asked is what a browser does during a wake, step by step.
type asked struct {
	after  time.Duration // the pause before it asks
	header []string
	want   string
	took   time.Duration
}

// A wake that takes longer than the route allows ends as it does for held requests, even if a
// browser asks many times during it.
func TestReadinessTimeoutOfAPage(t *testing.T) {
	const s, timeout = time.Second, "Gateway Timeout"
	live := []string{"Sec-Fetch-Dest", "document"}
	for _, c := range []struct {
		reason   string
		route    *exchange.Route
		options  page.Options
		fallback bool
		ready    time.Duration // when the target is ready; 0 is never
		steps    []asked
	}{
		{reason: "an open page says so, then comes the error", route: &exchange.Route{Readiness: 10 * s}, steps: []asked{
			{0, live, "late", 10 * s}, {5 * s, live, timeout, 0}, {10 * s, live, timeout, 0}, {10 * s, live, timeout, 0},
		}},
		{reason: "in the middle of the second page", route: &exchange.Route{Readiness: 30 * s}, steps: []asked{
			{0, live, "page", 20 * s}, {5 * s, live, "late", 5 * s}, {5 * s, live, timeout, 0},
		}},
		{reason: "while no page is open", route: &exchange.Route{Readiness: 22 * s}, steps: []asked{
			{0, live, "page", 20 * s}, {5 * s, live, timeout, 0},
		}},
		{reason: "sooner than the browser comes back, whatever the lease", route: &exchange.Route{Readiness: 2 * s, Lease: s}, steps: []asked{
			{0, live, "late", 2 * s}, {5 * s, live, timeout, 0}, {10 * s, live, timeout, 0},
		}},
		{reason: "a browser that gets finite pages", route: &exchange.Route{Readiness: 10 * s}, options: page.Options{Finite: true}, steps: []asked{
			{0, live, "page", 0}, {5 * s, live, "page", 0}, {5 * s, live, timeout, 0},
		}},
		{reason: "a monitor", route: &exchange.Route{Readiness: 10 * s}, steps: []asked{
			{0, nil, "page", 0}, {9 * s, nil, "page", 0}, {s, nil, timeout, 0},
		}},
		{reason: "the fallback answers", route: &exchange.Route{Readiness: 10 * s}, fallback: true, steps: []asked{
			{0, live, "ready", 10 * s}, {0, live, "other", 0}, {60 * s, live, "ready", 10 * s},
		}},
		{reason: "the fallback answers, whatever the request's timeout was", route: &exchange.Route{Readiness: 10 * s, Request: 5 * s}, fallback: true, steps: []asked{
			{0, live, "ready", 10 * s}, {0, live, "other", 0},
		}},
		{reason: "the request's timeout is over with the page's first byte", route: &exchange.Route{Request: 5 * s}, steps: []asked{
			{0, live, "page", 20 * s}, {5 * s, live, "page", 20 * s},
		}},
		{reason: "no timeout", route: &exchange.Route{}, steps: []asked{{0, live, "page", 20 * s}, {5 * s, live, "page", 20 * s}, {time.Hour, live, "page", 20 * s}}},
		{reason: "in time", route: &exchange.Route{Readiness: 10 * s}, ready: 9 * s, steps: []asked{{0, live, "ready", 9 * s}}},
		{reason: "who comes when nobody has asked for long begins a new wake", route: &exchange.Route{Readiness: 10 * s}, steps: []asked{
			{0, live, "late", 10 * s}, {60 * s, live, "late", 10 * s},
		}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				route := c.route
				b := newBrowser(t, route, c.options)
				if c.fallback {
					route.Fallback = b.target("other")
					b.ready("other", "192.0.2.9:80")
				}
				if c.ready > 0 {
					time.AfterFunc(c.ready, func() { b.ready("app", "192.0.2.1:80") })
				}
				for i, step := range c.steps {
					<-time.After(step.after)
					if got, took := b.asks(t.Context(), step.header...); got != step.want || took != step.took {
						t.Fatalf("request %d: %q after %v, want %q after %v", i, got, took, step.want, step.took)
					}
				}
				if !route.InFlight.Hold(1) {
					t.Error("a page is still among the held requests")
				}
			})
		})
	}
}

// An open page says that the wake has failed. The browser comes back, and gets the error while
// that lasts.
func TestAPageOfAWakeThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const s, unavailable = time.Second, "Service Unavailable"
		route := &exchange.Route{FailEarly: true, Reported: &exchange.Reported{}}
		b := newBrowser(t, route, page.Options{})
		time.AfterFunc(3*s, func() {
			route.Reported.Set("", &exchange.Report{At: time.Now(), FailedUntil: time.Now().Add(60 * s)})
		})
		for i, step := range []asked{{0, nil, "failed", 3 * s}, {5 * s, nil, unavailable, 0}, {10 * s, nil, unavailable, 0}, {45 * s, nil, "page", 20 * s}} {
			<-time.After(step.after)
			if got, took := b.asks(t.Context(), "Sec-Fetch-Dest", "document"); got != step.want || took != step.took {
				t.Fatalf("request %d: %q after %v, want %q after %v", i, got, took, step.want, step.took)
			}
		}
	})
}

// An open page shows a report when it comes, not with its next tick.
func TestAPageShowsAReportAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		route := &exchange.Route{Reported: &exchange.Reported{}}
		b := newBrowser(t, route, page.Options{})
		time.AfterFunc(300*time.Millisecond, func() {
			route.Reported.Set("", &exchange.Report{At: time.Now(), Stage: eta.Stage{Phase: eta.Pulling}})
		})
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(400*time.Millisecond, leave)
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Sec-Fetch-Dest", "document")
		w := httptest.NewRecorder()
		_ = b.p.ServeExchange(w, r, &exchange.Exchange{Route: b.route, Start: time.Now()})
		if got := w.Body.String(); !strings.HasSuffix(got, "<p>0:00 · pulling</p>") {
			t.Errorf("the page is\n%s", got)
		}
	})
}

func TestCrossSiteNavigationIsHeld(t *testing.T) {
	for _, c := range []struct {
		reason, site, want string
		placeholder        bool
	}{
		{"from another site", "cross-site", "app", false},
		{"a placeholder does not take its place", "cross-site", "app", true},
		{"from the same site", "same-origin", "ready", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			route := &exchange.Route{}
			b := newBrowser(t, route, page.Options{HoldCrossSite: true})
			if c.placeholder {
				route.Placeholder = &exchange.StaticResponse{Status: http.StatusAccepted}
			}
			time.AfterFunc(3*time.Second, func() { b.ready("app", "192.0.2.1:80") })
			got, took := b.asks(t.Context(), "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", c.site)
			if got != c.want || took != 3*time.Second {
				t.Errorf("%s: %q after %v, want %q", c.reason, got, took, c.want)
			}
		})
	}
}
