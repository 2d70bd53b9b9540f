package conformance

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The first proposal's own scenario: an HTTPScaledObject without a port.
const proposalPage = service + `
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: {name: app}
spec:
  hosts: [app.test]
  scaleTargetRef: {name: app, kind: Deployment, apiVersion: apps/v1, service: app}
  coldStartMessage: "Waking up the <application>, please wait..."
`

func TestProposalPageScenario(t *testing.T) {
	w := newWorld(t, proposalPage)
	r := httptest.NewRequest(http.MethodGet, "http://app.test/", nil)
	r.Header.Set("Accept", "text/html")
	recorder := httptest.NewRecorder()
	w.app.Handler().ServeHTTP(recorder, r)
	body := recorder.Body.String()
	if got := recorder.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/html") {
		t.Errorf("Content-Type: %q", got)
	}
	if !strings.Contains(body, "Waking up the &lt;application&gt;, please wait...") {
		t.Errorf("the message is escaped: %q", body)
	}
	if !strings.Contains(strings.ToLower(body), `http-equiv="refresh" content="5"`) {
		t.Errorf("the page asks again after 5 s: %q", body)
	}
	if c := w.counts()["default/app"]; !c.Cold || c.Concurrency != 1 {
		t.Errorf("a page fetched once wakes: %+v", c)
	}

	pending := w.later(w.request(http.MethodGet, "app.test", "/", "", "Accept", "*/*"))
	w.held("default/app", 1)
	w.ready("app", w.backend(say("the application")))
	(<-pending).expect(t, "a client that is no browser is held and answered by the application", http.StatusOK, "the application")
}

func TestLivePageEndsWhenReady(t *testing.T) {
	w := newWorld(t, proposalPage)
	r := w.request(http.MethodGet, "app.test", "/", "", "Accept", "text/html,*/*;q=0.8", "Sec-Fetch-Dest", "document", "Sec-Fetch-Mode", "navigate")
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	response, err := w.client.Do(r.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable || len(response.TransferEncoding) != 0 || response.ContentLength != -1 {
		t.Errorf("an open page is a 503 that ends with its connection: %d %v %d", response.StatusCode, response.TransferEncoding, response.ContentLength)
	}
	body := bufio.NewReader(response.Body)
	if _, err := body.ReadString('>'); err != nil {
		t.Fatalf("the page comes at once: %v", err)
	}
	w.held("default/app", 1)
	w.ready("app", w.backend(say("the application")))
	rest, err := io.ReadAll(body)
	if err != nil || !strings.Contains(string(rest), `content="0;url=/`) {
		t.Errorf("readiness reloads the page: %q, %v", rest, err)
	}
	w.held("default/app", 0)
}

func TestBrowserOverTheCapGetsAFinitePage(t *testing.T) {
	w := newWorld(t, route("coldStart: {waitingPage: {}, maxPendingRequests: 1}"))
	held := w.later(w.request(http.MethodGet, "app.test", "/", ""))
	w.held("default/app", 1)
	got := w.do(w.request(http.MethodGet, "app.test", "/", "", "Accept", "text/html", "Sec-Fetch-Dest", "document"))
	got.expect(t, "the finite page", http.StatusServiceUnavailable, "<html")
	got.expectHeader(t, "Retry-After", "5")
	w.ready("app", w.backend(say("app")))
	(<-held).expect(t, "the held request", http.StatusOK, "app")
}

func TestScriptsOfAPageAreNotNavigations(t *testing.T) {
	w := newWorld(t, route("coldStart: {waitingPage: {}}"))
	for _, headers := range [][]string{
		{"Accept", "text/html", "Sec-Fetch-Mode", "cors"},
		{"Accept", "text/html", "X-Requested-With", "XMLHttpRequest"},
		{"Accept", "*/*"},
	} {
		pending := w.later(w.request(http.MethodGet, "app.test", "/", "", headers...))
		w.held("default/app", 1)
		w.ready("app", w.backend(say("app")))
		(<-pending).expect(t, strings.Join(headers, " "), http.StatusOK, "app")
		w.ready("app")
	}
}
