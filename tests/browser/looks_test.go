//go:build browser

package browser

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"

	"github.com/kedacore/http-add-on/interceptor/coldstart/eta"
	"github.com/kedacore/http-add-on/interceptor/coldstart/page"
)

// hostile are words that would be more than text if anything let them.
const hostile = `<script>document.title="run"</script><img src=x onerror="document.title='run'">"'&--><!--`

// ownPage is the template of the documentation.
const ownPage = `<!doctype html>
<html lang="en">
<head>
<meta name="viewport" content="width=device-width">
<title>{{.Title}}</title>
<style>
  :root { color-scheme: light dark }
  body { font: 1.1rem/1.6 Georgia, serif; max-width: 32rem; margin: 20vh auto; padding: 0 1.5rem }
  progress { width: 100% }
</style>
</head>
<body>
<main>
  <h1>{{.Title}}</h1>
  <p>{{.Message}}</p>
  {{if .EstimateSeconds}}<progress aria-label="Progress" max="{{.EstimateSeconds}}" value="{{.ElapsedSeconds}}"></progress>{{end}}
  <p id="time" data-elapsed="{{.ElapsedSeconds}}">{{.Elapsed}}{{with .Estimate}} of about {{.}}{{end}}</p>
</main>
<script>
  const time = document.getElementById("time"), begin = Date.now() - time.dataset.elapsed * 1000
  setInterval(() => time.textContent = Math.round((Date.now() - begin) / 1000) + " s", 1000)
</script>
</body>
</html>
`

// look is a page as a browser may meet it.
type look struct {
	name string
	// status of the document.
	status int64
	serve  http.HandlerFunc
}

// looks are all pages there are.
func looks(t *testing.T) []look {
	t.Helper()
	compile := func(spec page.Options, template string) *page.Page {
		p, err := page.Compile(spec)
		if err == nil && template != "" {
			p, err = p.WithTemplate(template)
		}
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	live := func(p *page.Page, now eta.Progress) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			// The error is the browser's departure.
			_ = serveLive(p, w, r, now, nil)
		}
	}
	known := eta.Progress{Elapsed: 12 * time.Second, Estimate: 38 * time.Second}
	words := page.Options{Title: hostile, Message: hostile}
	return []look{
		{"live", 503, live(compile(page.Options{}, ""), eta.Progress{})},
		{"estimate", 503, live(compile(page.Options{}, ""), known)},
		{"overdue", 503, live(compile(page.Options{}, ""), eta.Progress{Elapsed: 70 * time.Second, Estimate: 38 * time.Second})},
		{"finite", 503, func(w http.ResponseWriter, r *http.Request) {
			_ = compile(page.Options{}, "").ServeFinite(w, r, known)
		}},
		{"hostile", 503, live(compile(words, ""), known)},
		{"template", 503, live(compile(page.Options{Title: "Loading the model"}, ownPage), known)},
		{"hostile-template", 503, live(compile(words, ownPage), known)},
		{"error", 504, func(w http.ResponseWriter, r *http.Request) {
			page.WriteError(w, r, http.StatusGatewayTimeout, "The service did not become ready in time.", 0)
		}},
		{"hostile-error", 503, func(w http.ResponseWriter, r *http.Request) {
			page.WriteError(w, r, http.StatusServiceUnavailable, hostile, 30*time.Second)
		}},
	}
}

// screen is what a page is looked at on.
type screen struct {
	name          string
	width, height int64
	mobile        bool
	scheme        string
}

var screens = []screen{
	{"phone-light", 360, 740, true, "light"},
	{"phone-dark", 360, 740, true, "dark"},
	{"desktop-light", 1280, 800, false, "light"},
	{"desktop-dark", 1280, 800, false, "dark"},
}

// on makes the tab look as on a screen.
func (tb *tab) on(t *testing.T, s screen) {
	t.Helper()
	call(t, tb, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: s.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	call(t, tb, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: s.width, Height: s.height, DeviceScaleFactor: 1, Mobile: s.mobile,
	})
}

// show opens a page on a screen.
func (c *chromium) show(t *testing.T, l look, s screen) *tab {
	t.Helper()
	server := httptest.NewServer(l.serve)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	tb := c.open(t, true)
	tb.on(t, s)
	tb.visit(t, server.URL)
	tb.shows(t, l.status)
	return tb
}

func TestHostileWordsStayText(t *testing.T) {
	c := startChromium(t)
	for _, l := range looks(t) {
		if !strings.HasPrefix(l.name, "hostile") {
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			tb := c.show(t, l, screens[2])
			if got := evaluate[string](t, tb, `document.querySelector("main").innerText`); !strings.Contains(got, hostile) {
				t.Errorf("the words are not shown as they are: %q", got)
			}
			if got := evaluate[int64](t, tb, `document.images.length + document.querySelectorAll("main script:not([data-n]):not([data-again])").length`); got > 0 { // the pages have two of their own
				t.Errorf("%d elements that nobody meant", got)
			}
			if got := evaluate[string](t, tb, `document.title`); got == "run" {
				t.Error("a script ran")
			}
		})
	}
}

// Nothing is loaded but the page, and no policy keeps anything of it away.
func TestPagesLoadNothing(t *testing.T) {
	c := startChromium(t)
	for _, l := range looks(t) {
		t.Run(l.name, func(t *testing.T) {
			tb := c.show(t, l, screens[0])
			if l.name == "template" {
				// Its own script runs: only that writes the time alone.
				const alone = `new Promise(done => setInterval(() => /^\d+ s$/.test(document.getElementById("time").textContent) && done(true), 50))`
				evaluate[bool](t, tb, alone)
			}
			tb.mu.Lock()
			defer tb.mu.Unlock()
			if len(tb.requests) != 1 {
				t.Errorf("the page asked for %q", tb.requests)
			}
			for _, message := range tb.messages {
				if !strings.Contains(message, "the server responded with a status of") {
					t.Errorf("the browser complains: %s", message)
				}
			}
		})
	}
}
