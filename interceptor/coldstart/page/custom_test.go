package page

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedacore/http-add-on/interceptor/coldstart/eta"
)

// at returns the finite page as it reads at a moment of the wake.
func at(t *testing.T, p *Page, now eta.Progress) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	if err := p.ServeFinite(w, httptest.NewRequest(http.MethodGet, "/", nil), now); err != nil {
		t.Fatal(err)
	}
	return w.Result()
}

func TestThePageTellsHowFarTheWakeIs(t *testing.T) {
	for _, c := range []struct {
		reason, message   string
		elapsed, estimate time.Duration
		want              []string
		forbid            string
		retry             string
	}{
		{"unknown", "", 12 * time.Second, 0, []string{"starting.</p></div>", "<p>0:12</p>"}, "<small>", "5"},
		{"known", "", 12 * time.Second, 38 * time.Second, []string{"<small>Usually ready in about 40 s.</small>", "<progress value=.31></progress>0:12</p>"}, "Taking", "26"},
		{"overdue", "", 70 * time.Second, 38 * time.Second, []string{"<small>Taking longer than the usual 40 s.</small>", "<p>1:10</p>"}, "<progress", "5"},
		{"a long wake", "", 0, 10 * time.Minute, []string{"about 10 min"}, "Taking", "60"},
		{"in the route's own words", "Noch {elapsed}[ von etwa {estimate}] <b>", 12 * time.Second, 38 * time.Second, []string{`<p dir="auto">Noch 12 s von etwa 40 s &lt;b&gt;</p></div>`, "<progress"}, "<small>", "26"},
		{"in the route's own words, unknown", "Noch {elapsed}[ von etwa {estimate}]", 12 * time.Second, 0, []string{`<p dir="auto">Noch 12 s</p></div>`}, "<small>", "5"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			response := at(t, compile(t, Options{Message: c.message}), eta.Progress{Elapsed: c.elapsed, Estimate: c.estimate})
			text := body(t, response)
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("no %s", want)
				}
			}
			if got := response.Header.Get("Retry-After"); strings.Contains(text, c.forbid) || got != c.retry || response.Header.Get("Refresh") != "5" {
				t.Errorf("Retry-After %s, want %s; and no %s in\n%s", got, c.retry, c.forbid, text[len(text)-500:])
			}
		})
	}
}

func withTemplate(t *testing.T, source string, spec Options) *Page {
	t.Helper()
	p, err := compile(t, spec).WithTemplate(source)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const ownPage = `<!doctype html><title>{{.Title}}</title><style>p{color:red}</style><script>console.log(1)</script>` +
	`<p>{{.Message}} {{.Elapsed}}{{with .Estimate}} of {{.}}{{end}} every {{.RefreshInterval}}`

func TestATemplateTakesThePlaceOfThePage(t *testing.T) {
	p := withTemplate(t, ownPage, Options{Title: "<T>", Message: "M[ about {estimate}]"})
	response := at(t, p, eta.Progress{Elapsed: 12 * time.Second, Estimate: 38 * time.Second})
	const want = `<!doctype html><title>&lt;T&gt;</title><style>p{color:red}</style><script>console.log(1)</script>` +
		`<p>M about 40 s 12 s of 40 s every 5<link rel="icon" href="data:,"><meta http-equiv="refresh" content="5">`
	if text := body(t, response); text != want || response.ContentLength != int64(len(want)) || response.StatusCode != 503 {
		t.Errorf("status %d, length %d\n%s\nwant\n%s", response.StatusCode, response.ContentLength, text, want)
	}
	if got := response.Header.Get("Refresh") + " " + response.Header.Get("Retry-After"); got != "5 26" {
		t.Errorf("Refresh and Retry-After: %s", got)
	}
	policy := response.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "script-src "+strings.Join(p.frame.hashes, " ")+" "+integrity("console.log(1)")+";") || strings.Contains(policy, "script-src 'unsafe-inline'") {
		t.Errorf("policy %s", policy)
	}
	if text := body(t, at(t, p, eta.Progress{})); !strings.Contains(text, "<p>M 0 s every 5") {
		t.Errorf("without an estimate\n%s", text)
	}
}

func TestATemplateWithAnIconKeepsIt(t *testing.T) {
	p := withTemplate(t, `<link href="data:," rel='shortcut icon'>x`, Options{})
	if text := body(t, at(t, p, eta.Progress{})); strings.Count(text, "<link") != 1 {
		t.Errorf("got %s", text)
	}
}

func TestATemplateThatFailsLateGivesWayToTheBuiltInPage(t *testing.T) {
	p := withTemplate(t, `own{{if eq .ElapsedSeconds 77}}{{.Title.Nonsense}}{{end}}`, Options{})
	if text := body(t, at(t, p, eta.Progress{})); !strings.HasPrefix(text, "own") {
		t.Errorf("got %s", text)
	}
	response := at(t, p, eta.Progress{Elapsed: 77 * time.Second})
	if text := body(t, response); !strings.Contains(text, DefaultMessage) || response.Header.Get("Content-Security-Policy") != p.frame.policy {
		t.Errorf("got %s", text)
	}
}

func TestATemplateIsRefusedWithItsReason(t *testing.T) {
	if _, err := compile(t, Options{}).WithTemplate("{{range 9}}{{end}}"); err == nil || !strings.Contains(err.Error(), "range may not be used") {
		t.Errorf("got %v", err)
	}
}

func TestALiveTemplateReloadsWhenReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, w, awake := withTemplate(t, ownPage+"</html>", Options{}), newRecorder(), make(chan struct{})
		done := serve(p, w, navigation(t.Context()), awake)
		<-time.After(2500 * time.Millisecond)
		synctest.Wait()
		begin := `every 5</html><link rel="icon" href="data:,"><noscript><meta http-equiv="refresh" content="5;url=/"></noscript>` + p.frame.scriptFor(browser(t.Context()), 5)
		if !strings.HasSuffix(w.page(), begin+"\n\n") {
			t.Fatalf("after 2.5s\n%s", w.page())
		}
		close(awake)
		if err := <-done; err != nil || !strings.HasSuffix(w.page(), begin+"\n\n"+
			`<style>@keyframes keda{0%{visibility:hidden}}.keda a{color:inherit}</style><div class="keda" style="animation:keda 1s step-end">`+ready+`<script>`+reloadNow+`</script><noscript><meta http-equiv="refresh" content="0;url=/"></noscript></div>`) {
			t.Errorf("error %v\n%s", err, w.page())
		}
		if got := w.Header().Get("Refresh"); got != "" {
			t.Errorf("a refresh would lose the fragment of the address: %q", got)
		}
	})
}

// A browser that does not come back by itself shows a link some time after it should have.
func TestALiveTemplateEndsWithALink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newRecorder()
		if err := serveLive(withTemplate(t, ownPage, Options{RefreshInterval: 7 * time.Second}), w, navigation(t.Context()), eta.Progress{}, nil); err != nil {
			t.Fatal(err)
		}
		if want := `<div class="keda" style="animation:keda 8s step-end"><a href="">Reload</a></div>`; !strings.HasSuffix(w.page(), want) {
			t.Errorf("the page ends\n%s\nwant\n%s", w.page(), want)
		}
	})
}
