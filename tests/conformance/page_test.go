package conformance

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
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
		// In plain HTTP a browser does not describe the purpose of a request.
		{"Accept", "text/html, application/xhtml+xml", "Turbo-Frame", "messages"},
		{"Accept", "text/html, application/xhtml+xml", "X-Turbo-Request-Id", "5e9a"},
		{"Accept", "text/html, */*; q=0.01", "X-PJAX", "true"},
		{"Accept", "text/html", "X-Up-Version", "3.10.2"},
		{"Accept", "text/html", "HX-Request", "true"},
		{"Accept", "text/html", "Referer", "http://app.test/list"},
	} {
		pending := w.later(w.request(http.MethodGet, "app.test", "/", "", headers...))
		w.held("default/app", 1)
		w.ready("app", w.backend(say("app")))
		(<-pending).expect(t, strings.Join(headers, " "), http.StatusOK, "app")
		w.ready("app")
	}
}

// A browser gets a page that is complete, which the scripts of some pages wait for.
func TestDeliveryRefreshIsAFinitePage(t *testing.T) {
	w := newWorld(t, route("coldStart: {waitingPage: {delivery: Refresh}}"))
	got := w.do(w.request(http.MethodGet, "app.test", "/", "", "Accept", "text/html", "Sec-Fetch-Dest", "document", "Sec-Fetch-Mode", "navigate"))
	got.expect(t, "the finite page, which asks again by its script", http.StatusServiceUnavailable, `<script data-n="5">`)
	if got.header.Get("Content-Length") == "" {
		t.Error("no Content-Length")
	}
	got.expectHeader(t, "Refresh", "")
}

// The answer to the link itself reaches the browser: its cookies and its referrer are
// those of a navigation from another site.
func TestCrossSiteHoldWaits(t *testing.T) {
	w := newWorld(t, route("coldStart: {waitingPage: {crossSite: Hold}, placeholder: {response: {statusCode: 202}}}"))
	link := []string{"Accept", "text/html", "Sec-Fetch-Dest", "document", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site"}
	pending := w.later(w.request(http.MethodGet, "app.test", "/", "", append(link, "cross-site")...))
	w.held("default/app", 1)
	w.ready("app", w.backend(say("app")))
	(<-pending).expect(t, "the application", http.StatusOK, "app")
	w.ready("app")
	w.do(w.request(http.MethodGet, "app.test", "/", "", "Accept", "text/html", "Sec-Fetch-Site", "same-origin")).
		expect(t, "the page for those who come from the site itself", http.StatusServiceUnavailable, "Starting")
}

// A person who sent a form gets a page too, and is not made to send it twice.
func TestAFormThatTimesOutGetsAPage(t *testing.T) {
	w := newWorld(t, route("coldStart: {waitingPage: {}}\ntimeouts: {readiness: 50ms}"))
	got := w.do(w.request(http.MethodPost, "app.test", "/order", "item=1", "Accept", "text/html,*/*;q=0.8", "Upgrade-Insecure-Requests", "1",
		"Content-Type", "application/x-www-form-urlencoded"))
	got.expect(t, "the error page", http.StatusGatewayTimeout, "Reload this page to send it again.")
	got.expectHeader(t, "Refresh", "")
	w.do(w.request(http.MethodPost, "app.test", "/order", "{}", "Accept", "text/html, image/gif, */*; q=0.2", "Content-Type", "application/json")).
		expect(t, "a program that names text/html", http.StatusGatewayTimeout, "the service did not become ready in time\n")
}

func TestAPageThatIsLateBecomesAnErrorThatTriesAgain(t *testing.T) {
	w := newWorld(t, route("coldStart: {waitingPage: {}}\ntimeouts: {readiness: 30s}"))
	browse := func() answer { return w.do(w.request(http.MethodGet, "app.test", "/", "", "Accept", "text/html")) }
	browse().expect(t, "the page", http.StatusServiceUnavailable, "Starting")
	w.pass(29 * time.Second)
	browse().expect(t, "the page", http.StatusServiceUnavailable, "Starting")
	w.pass(2 * time.Second)
	for range 3 {
		got := browse()
		got.expect(t, "the error", http.StatusGatewayTimeout, "This page tries again by itself.")
		got.expectHeader(t, "Refresh", "10")
		if c := w.counts()["default/app"]; c.Concurrency != 1 {
			t.Errorf("a page that tries again is demand: %+v", c)
		}
		w.pass(10 * time.Second)
	}
	w.ready("app", w.backend(say("app")))
	browse().expect(t, "the application", http.StatusOK, "app")
}

// A browser that has seen the page for as long as others wait gets what they get.
func TestAPageThatIsLateBecomesTheFallback(t *testing.T) {
	w := newWorld(t, strings.Replace(service, "name: app", "name: other", 1)+
		route("coldStart: {waitingPage: {}, fallback: {service: {name: other, port: 80}}}\ntimeouts: {readiness: 30s}"))
	w.ready("other", w.backend(say("other")))
	browse := func() answer { return w.do(w.request(http.MethodGet, "app.test", "/", "", "Accept", "text/html")) }
	browse().expect(t, "the page", http.StatusServiceUnavailable, "Starting")
	w.pass(29 * time.Second)
	browse().expect(t, "the page", http.StatusServiceUnavailable, "Starting")
	w.pass(2 * time.Second)
	browse().expect(t, "the fallback", http.StatusOK, "other")
}
