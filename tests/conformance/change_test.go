package conformance

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// A change of a route, or a new Service that it names, frees the requests that wait for it.
func TestHeldRequestsFollowTheirRoute(t *testing.T) {
	for _, c := range []struct{ reason, before, after string }{
		{"the Service comes later", strings.TrimPrefix(plainRoute, service), service},
		{"the target's name is mended", strings.Replace(plainRoute, "service: app", "service: ap", 1), plainRoute},
		{"an InterceptorRoute takes the place of an HTTPScaledObject", proposalPage, plainRoute},
	} {
		t.Run(c.reason, func(t *testing.T) {
			w := newWorld(t, c.before)
			w.ready("app", w.backend(say("app")))
			if strings.Contains(c.before, "HTTPScaledObject") {
				w.ready("app") // its target is right already
			}
			pending := w.later(w.request(http.MethodGet, "app.test", "/", ""))
			w.held("default/app", 1)
			w.change(c.after)
			if strings.Contains(c.before, "HTTPScaledObject") {
				w.ready("app", w.backend(say("app")))
			}
			(<-pending).expect(t, c.reason, http.StatusOK, "app")
		})
	}
	t.Run("a stream too", func(t *testing.T) {
		right := streamRoute(`message: Waking, interval: 1h`)
		w := newWorld(t, strings.Replace(right, "service: app", "service: ap", 1))
		w.ready("app", w.backend(answerWith(200, "text/event-stream", answerStream)))
		_, events := w.chat(`{"stream":true,"messages":[]}`)
		line(t, events)
		w.change(right)
		if rest, err := io.ReadAll(events); err != nil || !strings.HasSuffix(string(rest), "data: [DONE]\n\n") {
			t.Errorf("the stream goes on: %q, %v", rest, err)
		}
	})
}

// A route that is deleted while requests wait under it does not lose them.
func TestHeldRequestsOutliveTheirRoute(t *testing.T) {
	w := newWorld(t, plainRoute)
	pending := w.later(w.request(http.MethodGet, "app.test", "/", ""))
	w.held("default/app", 1)
	sink := <-w.sink
	w.sink <- sink
	for _, obj := range w.objects {
		if obj.GetObjectKind().GroupVersionKind().Kind == "InterceptorRoute" {
			sink.Delete(obj)
		}
	}
	w.eventually("the route is gone", func() bool {
		_, still := w.counts()["default/app"]
		return !still
	})
	w.do(w.request(http.MethodGet, "app.test", "/", "")).expect(t, "a new request", http.StatusNotFound, "")
	w.ready("app", w.backend(say("app")))
	(<-pending).expect(t, "the request that waited", http.StatusOK, "app")
}
