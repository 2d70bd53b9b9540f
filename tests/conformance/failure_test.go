package conformance

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// failing is a report of a wake that cannot succeed.
func failing(at time.Time) map[string]any {
	return map[string]any{
		"phase": "Pulling", "reason": "ImagePullFailed", "message": "s3cr3t", "failedTime": at.UTC().Format(time.RFC3339),
	}
}

// What waits for a wake that has failed gets its answer, in its own shape, and so does what
// comes later. Both ask for the target nevertheless, and a success ends it.
func TestAWakeThatHasFailed(t *testing.T) {
	w := newWorld(t, route(`coldStart: {onFailure: Fail, waitingPage: {}, streamingCallback: {message: "Waking up", initialDelay: 1h}}`))
	held := w.later(w.request(http.MethodGet, "app.test", "/", ""))
	stream := w.later(w.request(http.MethodPost, "app.test", chatPath, `{"stream":true,"messages":[{"role":"user"}]}`))
	w.held("default/app", 2)
	w.reports("app", failing(time.Now()))
	const text = "the service cannot be started"
	for reason, pending := range map[string]<-chan answer{"held": held, "stream": stream} {
		got := <-pending
		got.expect(t, reason, http.StatusServiceUnavailable, text)
		got.expectHeader(t, "Retry-After", "30")
	}
	for _, c := range []struct{ reason, path, accept, body string }{
		{"later", "/", "*/*", text},
		{"a navigation", "/", "text/html", "<title>"},
		{"a client of an API", "/v1/models", "*/*", `{"error":{"message":"` + text},
	} {
		got := w.do(w.request(http.MethodGet, "app.test", c.path, "", "Accept", c.accept))
		got.expect(t, c.reason, http.StatusServiceUnavailable, c.body)
		got.expectHeader(t, "Retry-After", "30")
	}
	if counts := w.counts()["default/app"]; !counts.Cold || counts.Concurrency != 1 {
		t.Errorf("there is no demand: %+v", counts)
	}
	w.ready("app", w.backend(say("awake")))
	w.do(w.request(http.MethodGet, "app.test", "/", "")).expect(t, "it is mended", http.StatusOK, "awake")
}

func TestAWakeThatHasFailedHasAFallback(t *testing.T) {
	w := newWorld(t, strings.Replace(service, "name: app", "name: other", 1)+
		route("coldStart: {onFailure: Fail, waitingPage: {}, fallback: {service: {name: other, port: 80}}}"))
	w.ready("other", w.backend(say("sorry")))
	held := w.later(w.request(http.MethodPost, "app.test", "/", "a body"))
	w.held("default/app", 1)
	w.reports("app", failing(time.Now()))
	(<-held).expect(t, "held", http.StatusOK, "sorry")
	w.do(w.request(http.MethodPost, "app.test", "/", "a body")).expect(t, "later", http.StatusOK, "sorry")
	w.do(w.request(http.MethodGet, "app.test", "/", "", "Accept", "text/html")).expect(t, "a navigation", http.StatusOK, "sorry")
}

// An operator that has died fails no request, and neither does a route that waits.
func TestAFailureThatDoesNotCount(t *testing.T) {
	for reason, c := range map[string]struct {
		policy string
		at     time.Time
		seen   bool
	}{
		"an old one":                  {"Fail", time.Now().Add(-2 * time.Minute), false},
		"of a route with the default": {"Wait", time.Now(), true},
	} {
		w := newWorld(t, route("coldStart: {onFailure: "+c.policy+"}"))
		w.reported("app", failing(c.at), c.seen)
		held := w.later(w.request(http.MethodGet, "app.test", "/", ""))
		w.held("default/app", 1)
		w.ready("app", w.backend(say("awake")))
		(<-held).expect(t, reason, http.StatusOK, "awake")
	}
}
