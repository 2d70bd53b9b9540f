//go:build browser

package browser

import (
	"bytes"
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

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
	// picture is the file name of its picture; empty means no picture.
	picture string
	// status of the document.
	status int64
	// until is what the test waits for, an expression; empty is nothing.
	until string
	serve http.HandlerFunc
}

// mixed are lines of both directions. Each must be read in its own.
const mixed = "التطبيق قيد التشغيل (لحظة).\nThe application is starting (a moment).\nהיישום מתחיל: v2.0!"

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
	// failure is an error page; form makes it the answer to a form.
	failure := func(status int, message string, form bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if form {
				r = r.Clone(r.Context())
				r.Method = http.MethodPost
			}
			page.WriteError(w, r, status, message, 0)
		}
	}
	known := eta.Progress{Elapsed: 12 * time.Second, Estimate: 38 * time.Second}
	words := page.Options{Title: hostile, Message: hostile}
	plain := compile(page.Options{}, "")
	const notReady = "the service did not become ready in time"
	return []look{
		{name: "live", status: 503, serve: live(plain, eta.Progress{})},
		{name: "estimate", picture: "waiting-page", status: 503, serve: live(plain, known)},
		{name: "overdue", status: 503, serve: live(plain, eta.Progress{Elapsed: 70 * time.Second, Estimate: 38 * time.Second})},
		{name: "finite", status: 503, serve: func(w http.ResponseWriter, r *http.Request) {
			// A page that reloads itself would take axe-core away while it reads.
			_ = compile(page.Options{RefreshInterval: time.Hour}, "").ServeFinite(w, r, known)
		}},
		{name: "ready", picture: "ready-page", status: 503, until: reads("Ready"), serve: readyWithoutContent(plain)},
		{name: "ready-template", status: 503, until: reads("Ready"), serve: readyWithoutContent(compile(page.Options{Title: "Loading the model"}, ownPage))},
		{name: "late", picture: "late-page", status: 503, until: reads("unusually long"), serve: func(w http.ResponseWriter, r *http.Request) {
			if open, err := compile(page.Options{RefreshInterval: time.Hour}, "").Open(w, r, known); err == nil {
				_ = open.Late()
			}
		}},
		{name: "forced-colors", picture: "forced-colors", status: 503, serve: live(plain, known)},
		{name: "right-to-left", picture: "right-to-left", status: 503, serve: live(compile(page.Options{Title: "يبدأ التشغيل…", Message: mixed}, ""), known)},
		{name: "sandboxed", picture: "sandboxed-page", status: 200, until: `document.title == "Loaded"`, serve: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/frame" {
				readyWithoutContent(plain)(w, r)
				return
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, sandbox("/frame"))
		}},
		{name: "hostile", status: 503, serve: live(compile(words, ""), known)},
		{name: "template", picture: "own-page", status: 503, serve: live(compile(page.Options{Title: "Loading the model"}, ownPage), known)},
		{name: "hostile-template", status: 503, serve: live(compile(words, ownPage), known)},
		{name: "error", picture: "error-page", status: 504, serve: failure(http.StatusGatewayTimeout, notReady, false)},
		{name: "error-of-a-form", picture: "form-page", status: 504, serve: failure(http.StatusGatewayTimeout, notReady, true)},
		{name: "hostile-error", status: 503, serve: failure(http.StatusServiceUnavailable, hostile, false)},
	}
}

// readyWithoutContent is a page whose target is ready, and has nothing to show.
func readyWithoutContent(p *page.Page) http.HandlerFunc {
	var asked sync.Map // hosts: each test has a server of its own
	return func(w http.ResponseWriter, r *http.Request) {
		if _, again := asked.LoadOrStore(r.Host, true); again {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		awake := make(chan struct{})
		close(awake)
		_ = serveLive(p, w, r, eta.Progress{}, awake)
	}
}

// sandbox is a page with a frame that may do nothing by itself.
func sandbox(src string) string {
	return `<!doctype html><html lang="en"><head><title>A dashboard</title><meta name="viewport" content="width=device-width">` +
		`<style>:root{color-scheme:light dark}body{font:1rem system-ui;margin:2rem}iframe{width:100%;height:26rem;border:1px solid}</style></head>` +
		`<body><main><h1>A dashboard</h1><iframe title="The application" sandbox onload="document.title='Loaded'" src="` + src + `"></iframe></main></body></html>`
}

// screen is what a page is looked at on.
type screen struct {
	name          string
	width, height int64
	mobile        bool
	scheme        string
	forced        bool
}

var screens = []screen{
	{name: "phone-light", width: 360, height: 740, mobile: true, scheme: "light"},
	{name: "phone-dark", width: 360, height: 740, mobile: true, scheme: "dark"},
	{name: "desktop-light", width: 1280, height: 800, scheme: "light"},
	{name: "desktop-dark", width: 1280, height: 800, scheme: "dark"},
}

// forced is the screen of a person who needs strong contrasts.
var forced = screen{name: "desktop", width: 1280, height: 800, scheme: "dark", forced: true}

// chromium is the driver of a tab of Chromium.
func (tb *tab) chromium() *chromiumTab { return tb.driver.(*chromiumTab) }

// on makes the tab look as on a screen.
func (tb *tab) on(t *testing.T, s screen) {
	t.Helper()
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: s.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}
	if s.forced {
		features = append(features, &emulation.MediaFeature{Name: "forced-colors", Value: "active"})
	}
	call(t, tb.chromium(), emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
	call(t, tb.chromium(), emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: s.width, Height: s.height, DeviceScaleFactor: 1, Mobile: s.mobile,
	})
}

// shot returns a picture of the tab.
func (tb *tab) shot(t *testing.T) []byte {
	t.Helper()
	shot, err := chromedp.Run(tb.chromium().ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	return shot
}

// show opens a page on a screen.
func show(t *testing.T, l look, s screen) *tab {
	t.Helper()
	server := httptest.NewServer(l.serve)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	tb := kinds[0].open(t)
	tb.on(t, s)
	tb.visit(t, server.URL)
	tb.shows(t, l.status)
	if l.until != "" {
		tb.until(t, l.until)
	}
	return tb
}

func TestHostileWordsStayText(t *testing.T) {
	for _, l := range looks(t) {
		if !strings.HasPrefix(l.name, "hostile") {
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			tb := show(t, l, screens[2])
			if got := evaluate[string](t, tb, `document.querySelector("main").innerText`); !strings.Contains(got, hostile) {
				t.Errorf("the words are not shown as they are: %q", got)
			}
			if got := evaluate[int64](t, tb, `document.images.length + document.querySelectorAll("main script:not([data-n])").length`); got > 0 { // the pages have one themselves
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
	for _, l := range looks(t) {
		t.Run(l.name, func(t *testing.T) {
			tb := show(t, l, screens[0])
			if l.name == "template" {
				// Its own script runs: only that writes the time alone.
				const alone = `new Promise(done => setInterval(() => /^\d+ s$/.test(document.getElementById("time").textContent) && done(true), 50))`
				evaluate[bool](t, tb, alone)
			}
			tb.mu.Lock()
			defer tb.mu.Unlock()
			if len(tb.requests) != 1 && !strings.HasPrefix(l.name, "ready") && l.name != "sandboxed" {
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

// Forced colors take backgrounds away: a spinner that is one is not there.
func TestTheSpinnerIsVisibleInForcedColors(t *testing.T) {
	t.Parallel()
	for _, l := range looks(t) {
		if l.name != "forced-colors" && l.name != "ready" {
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			tb := show(t, l, forced)
			if !evaluate[bool](t, tb, `matchMedia("(forced-colors: active)").matches`) {
				t.Fatal("colors are not forced")
			}
			box := evaluate[[4]float64](t, tb, `(b => [b.left, b.top, b.width, b.height])(document.querySelector("i").getBoundingClientRect())`)
			picture, err := png.Decode(bytes.NewReader(tb.shot(t)))
			if err != nil {
				t.Fatal(err)
			}
			// seen reports whether a point of the ring differs from the ground. It looks at the
			// top and at the left, where the line is 5 pixels wide.
			seen := func(x, y float64) bool {
				ground := picture.At(int(box[0])-4, int(box[1])-4)
				return picture.At(int(box[0]+x), int(box[1]+y)) != ground
			}
			top, left := seen(box[2]/2, 2), seen(2, box[3]/2)
			if !left || top != (l.name == "ready") {
				t.Errorf("the ring is seen at its top %t, at its left %t; one that waits has a gap at its top", top, left)
			}
		})
	}
}

// A message may have two languages, one in each line.
func TestLinesAreReadInTheirOwnDirection(t *testing.T) {
	t.Parallel()
	for _, l := range looks(t) {
		if l.name != "right-to-left" {
			continue
		}
		tb := show(t, l, screens[2])
		// Reports whether the last letter of each line is to the right of the first one.
		const toTheRight = `(() => {
			const text = document.querySelector("p").firstChild, all = []
			const at = i => { const r = document.createRange(); r.setStart(text, i); r.setEnd(text, i + 1); return r.getBoundingClientRect().left }
			for (let begin = 0; begin < text.length;) {
				let end = text.data.indexOf("\n", begin)
				if (end < 0) end = text.length
				all.push(at(end - 1) > at(begin))
				begin = end + 1
			}
			return all
		})()`
		if got := evaluate[[]bool](t, tb, toTheRight); !slices.Equal(got, []bool{false, true, false}) {
			t.Errorf("the full stops are to the right of the lines: %v; want those of English lines only", got)
		}
	}
}
