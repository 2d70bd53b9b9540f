package conformance

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/interceptor/endpoints"
)

// sessionRoute is a route to "app" that keeps sessions.
func sessionRoute(spec string) string {
	return service + fmt.Sprintf(`
apiVersion: http.keda.sh/v1beta1
kind: InterceptorRoute
metadata: {name: app}
spec:
  target: {service: app, port: 80}
  rules: [{hosts: [app.test]}]
  scalingMetric: {concurrency: {targetValue: 100}}
  staticRoutes: [{rules: [{paths: [{value: /static}]}], response: {statusCode: 204}}]
  sessionPersistence: {%s}
`, spec)
}

// pod is a backend that names itself, as a pod of "app".
func (w *world) pod(uid string) endpoints.Pod {
	return endpoints.Pod{UID: uid, Addresses: []string{w.backend(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/begin":
			w.Header().Set("Sid", "session-of-"+uid)
		case "/fail":
			w.WriteHeader(http.StatusInternalServerError)
		}
		fmt.Fprint(w, uid, " ", r.Header.Get("Sid"))
	})}}
}

// pods makes these the pods of "app".
func (w *world) pods(ready ...endpoints.Pod) {
	w.store.UpdatePods("default", "app", map[string]endpoints.Pods{"http": {Ready: ready}})
}

// id is how clients know a pod.
func id(uid string) string { return endpoints.IDOf(uid).String() }

// ago is the time of a session, in seconds.
func ago(d time.Duration) string { return strconv.FormatInt(time.Now().Add(-d).Unix(), 10) }

// cookie is what a response sets, without its time.
func (a answer) cookie() string {
	return regexp.MustCompile(`\.\d{10};`).ReplaceAllString(a.header.Get("Set-Cookie"), ".TIME;")
}

const cookieName = "keda-session-a1989cdf"

func TestACookieKeepsASessionWithItsPod(t *testing.T) {
	w := newWorld(t, sessionRoute(`type: Cookie`))
	a, b := w.pod("a"), w.pod("b")
	w.pods(a)
	first := w.do(w.request("GET", "app.test", "/", ""))
	first.expect(t, "the first request", http.StatusOK, "a ")
	if got, want := first.cookie(), cookieName+"="+id("a")+".TIME; Path=/; HttpOnly; SameSite=Lax"; got != want {
		t.Fatalf("the cookie is %q, want %q", got, want)
	}
	cookie, _, _ := strings.Cut(first.header.Get("Set-Cookie"), ";")
	w.pods(a, b)
	for i := range 20 { // through a scale-up
		got := w.do(w.request("GET", "app.test", "/", "", "Cookie", "x=1; "+cookie))
		got.expect(t, fmt.Sprint("request ", i, " of the session"), http.StatusOK, "a ")
		if got.header.Get("Set-Cookie") != "" {
			t.Fatalf("an established session got %q", got.header.Get("Set-Cookie"))
		}
	}
	w.pods(b)
	moved := w.do(w.request("GET", "app.test", "/", "", "Cookie", strings.Replace(cookie, cookie[len(cookie)-10:], ago(time.Hour), 1)))
	moved.expect(t, "through a scale-down", http.StatusOK, "b ")
	if got := moved.cookie(); !strings.Contains(got, id("b")) {
		t.Errorf("the session goes on with %q", got)
	}
	failed := w.do(w.request("GET", "app.test", "/fail", ""))
	if failed.status != http.StatusInternalServerError || failed.cookie() == "" {
		t.Errorf("an error of the target is its answer: %d, %q", failed.status, failed.cookie())
	}
}

func TestNoCookieButOnAnswersOfTheTarget(t *testing.T) {
	w := newWorld(t, strings.Replace(sessionRoute(`type: Cookie`), "  sessionPersistence", `
  coldStart: {fallback: {service: {name: other, port: 80}}}
  timeouts: {readiness: 50ms}
  sessionPersistence`, 1)+`
---
apiVersion: v1
kind: Service
metadata: {name: other}
spec:
  ports: [{name: http, port: 80}]
`)
	w.ready("other", w.backend(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "fallback") }))
	for path, want := range map[string]int{"/": http.StatusOK, "/static": http.StatusNoContent} {
		got := w.do(w.request("GET", "app.test", path, ""))
		if got.status != want || got.cookie() != "" {
			t.Errorf("%s: %d with %q", path, got.status, got.cookie())
		}
	}
	w.ready("app", "127.0.0.1:1")
	got := w.do(w.request("POST", "app.test", "/", "", "Connection", "close"))
	if got.status != http.StatusBadGateway || got.cookie() != "" {
		t.Errorf("no target: %d with %q", got.status, got.cookie())
	}
}

func TestAHeaderKeepsASessionWithItsPod(t *testing.T) {
	w := newWorld(t, sessionRoute(`type: Header, header: {name: sid}`))
	a, b := w.pod("a"), w.pod("b")
	w.pods(a)
	first := w.do(w.request("POST", "app.test", "/begin", ""))
	sid := first.header.Get("Sid")
	if want := "session-of-a." + id("a") + "."; !strings.HasPrefix(sid, want) {
		t.Fatalf("the session is %q, want %q and a time", sid, want)
	}
	w.pods(a, b)
	for i := range 20 {
		w.do(w.request("POST", "app.test", "/", "", "Sid", sid)).expect(t, fmt.Sprint("request ", i, " of the session"), http.StatusOK, "a session-of-a")
	}
	w.pods(b)
	old := "session-of-a." + id("a") + "." + ago(time.Hour)
	for _, c := range []struct {
		reason, sid, body string
		status            int
	}{
		{"its pod is gone", old, "", http.StatusNotFound},
		{"its pod is gone, and the session young", sid, "", http.StatusNotFound},
		{"of another route", "x." + id("elsewhere") + "." + ago(time.Hour), "", http.StatusNotFound},
		{"from before the route kept sessions", "x", "b x", http.StatusOK},
	} {
		got := w.do(w.request("POST", "app.test", "/", "a body", "Sid", c.sid))
		if got.status != c.status || c.body != "" && got.body != c.body {
			t.Errorf("%s: %d %q", c.reason, got.status, got.body)
		}
		if strings.Contains(got.body, "127.0.0.1") {
			t.Errorf("%s: the client reads %q", c.reason, got.body)
		}
	}
	w.pods()
	// An answer reaches its client a moment before the request is over.
	w.eventually("nothing is in flight", func() bool { return w.counts()["default/app"].Concurrency == 0 })
	before := w.counts()["default/app"]
	got := w.do(w.request("DELETE", "app.test", "/", "", "Sid", old))
	// The scaler has KEDA wake a target whose requests have become more.
	if now := w.counts()["default/app"]; got.status != http.StatusNotFound || now != before {
		t.Errorf("a session whose pod is gone wakes nobody: %d, %+v after %+v", got.status, now, before)
	}
}

// A pod that is not ready for a moment has its sessions still.
func TestASessionOutlivesAMomentOfUnreadiness(t *testing.T) {
	w := newWorld(t, sessionRoute(`type: Header, header: {name: Sid}`))
	a, b := w.pod("a"), w.pod("b")
	w.store.UpdatePods("default", "app", map[string]endpoints.Pods{"http": {Ready: []endpoints.Pod{b}, Starting: []endpoints.ID{a.ID()}}})
	later := w.later(w.request("POST", "app.test", "/", "a body", "Sid", "x."+id("a")+"."+ago(time.Hour)))
	w.eventually("the request is there", func() bool { return w.counts()["default/app"].Concurrency == 1 })
	w.pods(a, b)
	(<-later).expect(t, "the request", http.StatusOK, "a x")
}

// A session that waits for its target goes on where it was.
func TestAHeldRequestPrefersItsPod(t *testing.T) {
	w := newWorld(t, sessionRoute(`type: Cookie, cookie: {name: s}`))
	a, b := w.pod("a"), w.pod("b")
	var answers []<-chan answer
	for i := range 6 {
		answers = append(answers, w.later(w.request("GET", "app.test", "/", "", "Cookie", "s="+id("b")+"."+ago(time.Hour))))
		w.held("default/app", int64(i+1))
	}
	w.pods(a, b)
	for _, got := range answers {
		if got := <-got; got.body != "b " || got.cookie() != "" {
			t.Errorf("got %q with %q", got.body, got.cookie())
		}
	}
}

// A pod that does not answer has no substitute. When it is gone, so is the session.
func TestAPinnedRequestDoesNotGoElsewhere(t *testing.T) {
	w := newWorld(t, sessionRoute(`type: Header, header: {name: Sid}`))
	b := w.pod("b")
	dying := endpoints.Pod{UID: "dying", Addresses: []string{w.backend(func(http.ResponseWriter, *http.Request) {
		w.pods(b)
		panic(http.ErrAbortHandler) // the request could be sent again
	})}}
	w.pods(dying, b)
	got := w.do(w.request("GET", "app.test", "/", "", "Sid", "x."+id("dying")+"."+ago(time.Hour)))
	if got.status != http.StatusNotFound {
		t.Errorf("got %d %q", got.status, got.body)
	}
}

func TestKeepAwake(t *testing.T) {
	for name, c := range map[string]struct {
		spec, path string
		fields     []string
		kept       bool
	}{
		"a session begins":              {"type: Cookie, cookie: {name: s}, keepAwake: 30m", "/", nil, true},
		"a session goes on":             {"type: Cookie, cookie: {name: s}, keepAwake: 30m", "/", []string{"Cookie", "s=" + id("a") + ".1"}, true},
		"the server begins a session":   {"type: Header, header: {name: Sid}, keepAwake: 30m", "/begin", nil, true},
		"a session of the server":       {"type: Header, header: {name: Sid}, keepAwake: 30m", "/", []string{"Sid", "x." + id("a") + ".1"}, true},
		"a request without a session":   {"type: Header, header: {name: Sid}, keepAwake: 30m", "/", nil, false},
		"a session whose pod is gone":   {"type: Header, header: {name: Sid}, keepAwake: 30m", "/", []string{"Sid", "x." + id("gone") + ".1"}, false},
		"a session that is too old":     {"type: Header, header: {name: Sid}, keepAwake: 30m, absoluteTimeout: 1h", "/", []string{"Sid", "x." + id("a") + ".1"}, false},
		"a static route has no session": {"type: Cookie, keepAwake: 30m", "/static", nil, false},
		"without keepAwake":             {"type: Cookie", "/", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, sessionRoute(c.spec))
			w.pods(w.pod("a"))
			w.do(w.request("GET", "app.test", c.path, "", c.fields...))
			leased := func() bool { return w.counts()["default/app"].Leased }
			if leased() != c.kept {
				t.Fatalf("the target is kept awake: %t", leased())
			}
			w.pass(29 * time.Minute)
			if leased() != c.kept {
				t.Errorf("after 29 minutes the target is kept awake: %t", leased())
			}
			w.pass(2 * time.Minute)
			if leased() {
				t.Error("after 31 minutes the target is kept awake")
			}
		})
	}
}

// What strangers send is a choice of pod at most.
func TestHostileSessions(t *testing.T) {
	w := newWorld(t, sessionRoute(`type: Cookie, cookie: {name: s}`))
	w.pods(w.pod("a"))
	for _, value := range []string{
		strings.Repeat("0", 8000), id("a") + "." + strings.Repeat("9", 5000), id("a") + ".-1", id("a") + ".1;s=" + id("a") + ".1",
		strings.Repeat("s=;", 3000), "%00." + id("a"), id("a") + "." + ago(-time.Hour*24*365),
	} {
		got := w.do(w.request("GET", "app.test", "/", "", "Cookie", "s="+value))
		got.expect(t, fmt.Sprintf("%.40q", value), http.StatusOK, "a ")
		if cookie := got.header.Get("Set-Cookie"); len(cookie) > 100 {
			t.Errorf("%.40q: the client gets %q", value, cookie)
		}
	}
}
