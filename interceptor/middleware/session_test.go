package middleware

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedacore/http-add-on/interceptor/body"
	"github.com/kedacore/http-add-on/interceptor/clienterror"
	"github.com/kedacore/http-add-on/interceptor/endpoints"
	"github.com/kedacore/http-add-on/interceptor/exchange"
	"github.com/kedacore/http-add-on/interceptor/inflight"
	"github.com/kedacore/http-add-on/interceptor/session"
)

// A pod that one interceptor has seen ready and answered from may be news to another one. A pod
// that is not ready for a moment still has its sessions.
func TestARequestWaitsForThePodOfItsSession(t *testing.T) {
	const cookie, header = "cookie", "header"
	for _, test := range []struct {
		reason   string
		by       string
		age      time.Duration // of the session
		starting bool          // the pod is there, and not ready
		ready    time.Duration // until the pod is ready; 0 is never
		request  time.Duration // the route's request timeout
		status   int
		want     string        // the pod that serves
		after    time.Duration // when
	}{
		{reason: "seen a moment later", by: cookie, ready: 900 * time.Millisecond, status: http.StatusOK, want: "own", after: 900 * time.Millisecond},
		{reason: "seen a moment later", by: header, ready: 900 * time.Millisecond, status: http.StatusOK, want: "own", after: 900 * time.Millisecond},
		{reason: "gone soon after it answered", by: cookie, status: http.StatusOK, want: "other", after: time.Second},
		{reason: "gone soon after it answered", by: header, status: http.StatusNotFound, after: time.Second},
		{reason: "gone since long", by: cookie, age: time.Minute, ready: time.Second, status: http.StatusOK, want: "other"},
		{reason: "gone since long", by: header, age: time.Minute, ready: time.Second, status: http.StatusNotFound},
		{reason: "not ready for a moment", by: header, age: time.Hour, starting: true, ready: 9 * time.Second, status: http.StatusOK, want: "own", after: 9 * time.Second},
		{reason: "not ready for too long", by: header, age: time.Hour, starting: true, status: http.StatusNotFound, after: 10 * time.Second},
		{reason: "not ready; another pod will do", by: cookie, age: time.Hour, starting: true, ready: time.Second, status: http.StatusOK, want: "other"},
		{reason: "the request's time is over before", by: header, age: time.Hour, starting: true, request: 2 * time.Second, status: http.StatusGatewayTimeout, after: 2 * time.Second},
	} {
		t.Run(test.by+"/"+test.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				own, other := endpoints.Pod{UID: "own", Addresses: []string{"10.0.0.1:80"}}, endpoints.Pod{UID: "other", Addresses: []string{"10.0.0.2:80"}}
				store := endpoints.NewStore()
				pods := endpoints.Pods{Ready: []endpoints.Pod{other}}
				if test.starting {
					pods.Starting = []endpoints.ID{own.ID()}
				}
				port := store.Port(endpoints.Key{Namespace: "ns", Service: "app"})
				store.UpdatePods("ns", "app", map[string]endpoints.Pods{"": pods})
				if test.ready > 0 {
					time.AfterFunc(test.ready, func() {
						store.UpdatePods("ns", "app", map[string]endpoints.Pods{"": {Ready: []endpoints.Pod{own, other}}})
					})
				}
				r := httptest.NewRequest(http.MethodGet, "http://app.test/", http.NoBody)
				place := own.ID().String() + "." + strconv.FormatInt(time.Now().Add(-test.age).Unix(), 10)
				rule := &session.Rule{Now: time.Now}
				if test.by == cookie {
					rule.Cookie = "s"
					r.Header.Set("Cookie", "s="+place)
				} else {
					rule.Header = "Sid"
					r.Header.Set("Sid", "id."+place)
				}
				tracker := inflight.NewTracker(time.Now)
				x := &exchange.Exchange{Start: time.Now(), Route: &exchange.Route{
					Target: &exchange.Target{Endpoints: port}, Session: rule, Request: test.request,
					InFlight: tracker.Route("ns/app"),
				}}
				names := map[endpoints.ID]string{own.ID(): "own", other.ID(): "other"}
				got := ""
				forward := exchange.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request, x *exchange.Exchange) error {
					got = names[x.Upstream.Slot.ID()]
					x.Upstream.Slot.Release()
					return nil
				})
				start := time.Now()
				err := NewEndpointResolver(forward, nil, body.NewBudget(body.Held)).ServeExchange(httptest.NewRecorder(), r, x)
				status := http.StatusOK
				if failed := new(clienterror.Error); errors.As(err, &failed) {
					status = failed.Status
				} else if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); status != test.status || got != test.want || took != test.after {
					t.Errorf("status %d by %q after %v, want %d by %q after %v", status, got, took, test.status, test.want, test.after)
				}
				counted := tracker.Counts()["ns/app"].RequestCount
				if wakes := test.status != http.StatusNotFound || test.after > 0; counted != 0 != wakes {
					t.Errorf("%d requests are counted, and may wake the target: %t", counted, wakes)
				}
				time.Sleep(time.Minute) // pods that come late
			})
		})
	}
}
