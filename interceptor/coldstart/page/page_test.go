package page

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/kedacore/http-add-on/interceptor/coldstart/eta"
)

var update = flag.Bool("update", false, "rewrite the golden pages")

// limit is what a page may weigh.
const limit = 8 << 10

func compile(t *testing.T, spec Options) *Page {
	t.Helper()
	p, err := Compile(spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func finite(t *testing.T, p *Page, method string) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	if err := p.ServeFinite(w, httptest.NewRequest(method, "/", nil), eta.Progress{}); err != nil {
		t.Fatal(err)
	}
	return w.Result()
}

func body(t *testing.T, response *http.Response) string {
	t.Helper()
	var out bytes.Buffer
	if _, err := out.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// golden compares text with a file that a person has looked at.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", path, diff)
	}
}

func TestFinitePageGolden(t *testing.T) {
	w := httptest.NewRecorder()
	if err := compile(t, Options{Finite: true}).ServeFinite(w, browser(t.Context()), eta.Progress{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "browser.html", w.Body.String())
	golden(t, "default.html", body(t, finite(t, compile(t, Options{}), http.MethodGet)))
	golden(t, "custom.html", body(t, finite(t, compile(t, Options{
		Title:           "Loading <the> model",
		Message:         "Two \"minutes\" & a bit.\nالتطبيق قيد التشغيل",
		RefreshInterval: 90 * time.Second,
	}), http.MethodGet)))
}

func TestFinitePageHeader(t *testing.T) {
	for name, tc := range map[string]struct {
		spec    Options
		status  int
		seconds string
	}{
		"defaults":     {Options{}, 503, "5"},
		"empty spec":   {Options{}, 503, "5"},
		"own values":   {Options{StatusCode: 200, RefreshInterval: 7 * time.Second}, 200, "7"},
		"rounded up":   {Options{RefreshInterval: 1100 * time.Millisecond}, 503, "2"},
		"shortest":     {Options{RefreshInterval: time.Second}, 503, "1"},
		"unusual code": {Options{StatusCode: 599}, 599, "5"},
	} {
		t.Run(name, func(t *testing.T) {
			p := compile(t, tc.spec)
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				response := finite(t, p, method)
				got := body(t, response)
				want := http.Header{
					"Cache-Control":           {"no-store"},
					"Content-Length":          response.Header["Content-Length"],
					"Content-Security-Policy": {p.frame.policy},
					"Content-Type":            {"text/html; charset=utf-8"},
					"Refresh":                 {tc.seconds},
					"Retry-After":             {tc.seconds},
					"Vary":                    {"Accept"},
				}
				if diff := cmp.Diff(want, response.Header); diff != "" || response.StatusCode != tc.status {
					t.Errorf("%s: status %d, want %d; header (-want +got):\n%s", method, response.StatusCode, tc.status, diff)
				}
				if method == http.MethodHead {
					if got != "" {
						t.Errorf("HEAD has a body of %d bytes", len(got))
					}
					continue
				}
				if response.ContentLength != int64(len(got)) {
					t.Errorf("Content-Length %d of %d bytes", response.ContentLength, len(got))
				}
				if refresh := `<meta http-equiv="refresh" content="` + tc.seconds + `">`; strings.Count(got, refresh) != 1 {
					t.Errorf("no %s in\n%s", refresh, got)
				}
			}
		})
	}
}

func TestFinitePageKeepsTheCallersHeader(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("X-KEDA-HTTP-Cold-Start", "true")
	if err := compile(t, Options{}).ServeFinite(w, httptest.NewRequest(http.MethodGet, "/", nil), eta.Progress{}); err != nil {
		t.Fatal(err)
	}
	if got := w.Result().Header.Get("X-KEDA-HTTP-Cold-Start"); got != "true" {
		t.Errorf("X-KEDA-HTTP-Cold-Start = %q", got)
	}
}

// The policy permits exactly what stands in the page, counted over the bytes
// that a browser hashes.
func TestContentSecurityPolicyMatchesThePage(t *testing.T) {
	p := compile(t, Options{})
	want := "default-src 'none'; style-src " + hashesOf(livePage(t, p), "style") + "; script-src " + hashesOf(livePage(t, p), "script") +
		"; img-src data:; base-uri 'none'; form-action 'none'"
	if got := finite(t, p, http.MethodGet).Header.Get("Content-Security-Policy"); got != want {
		t.Errorf("Content-Security-Policy\n%s\nwant\n%s", got, want)
	}
	text := livePage(t, p)
	for _, forbidden := range []string{`style="`, "onload", "src=", "url("} {
		if strings.Contains(text, forbidden) {
			t.Errorf("the page contains %s, which the policy forbids", forbidden)
		}
	}
}

// hashesOf are the sources of a policy that permits the inline elements of a page.
func hashesOf(page, element string) string {
	var all []string
	for _, found := range regexp.MustCompile(`(?s)<`+element+`[^>]*>(.*?)</`+element+`>`).FindAllStringSubmatch(page, -1) {
		sum := sha256.Sum256([]byte(found[1]))
		all = append(all, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	}
	return strings.Join(all, " ")
}

// TestRefreshNamesTheAddressWithoutItsHost: whatever the address, the browser stays with
// the host, and the markup stays intact.
func TestRefreshNamesTheAddress(t *testing.T) {
	for target, want := range map[string]string{
		"/":                      "/",
		"/docs/a?x=1&y=%22":      "/docs/a?x=1&amp;y=%22",
		"//evil.example/a":       "/.//evil.example/a",
		"/a%2Fb%20c;v=1":         "/a%2Fb%20c;v=1",
		`/?q="><script>`:         "/?q=&#34;&gt;&lt;script&gt;",
		"http://app.example/a?b": "/a?b",
		"/a%2Fb|c":               "/a%2Fb%7Cc",
		`/\evil.example/%2f"`:    "/%5Cevil.example/%2f%22",
		"/ü%2F{b}":               "/%C3%BC%2F%7Bb%7D",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		u, err := url.ParseRequestURI(target)
		if err != nil {
			t.Fatal(err)
		}
		r.URL = u
		if got := refreshTo(r, 5); got != `<noscript><meta http-equiv="refresh" content="5;url=`+want+`"></noscript>` {
			t.Errorf("%s: %s", target, got)
		}
	}
	long := httptest.NewRequest(http.MethodGet, "/?"+strings.Repeat("x", 3000), nil)
	if got := refreshTo(long, 5); got != `<noscript><meta http-equiv="refresh" content="5"></noscript>` {
		t.Errorf("a page stays small: %d bytes", len(got))
	}
}

// browser returns a navigation that declares itself as one.
func browser(ctx context.Context) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	r.Header.Set("Sec-Fetch-Dest", "document")
	return r
}

// livePage is all that a live page can come to write.
func livePage(t *testing.T, p *Page) string {
	w, now := newRecorder(), eta.Progress{Elapsed: 10 * time.Minute, Estimate: 15 * time.Minute}
	var all string
	synctest.Test(t, func(t *testing.T) {
		ready := make(chan struct{})
		time.AfterFunc(liveFor-Interval/2, func() { close(ready) })
		if err := serveLive(p, w, browser(t.Context()), now, ready); err != nil {
			t.Error(err)
		}
		all = w.page()
	})
	return all
}

func TestPageStaysUnderItsLimit(t *testing.T) {
	if n := len(body(t, finite(t, compile(t, Options{Title: "t", Message: "m"}), http.MethodGet))); n > 2300 {
		t.Errorf("a page without words has %d bytes; the package comment says 2.3 KiB", n)
	}
	// What escaping makes most of, and the longest runes.
	for _, hostile := range []string{`"`, `'`, `+`, `<`, `&`, "&a", "\x00", "\xff", "😀", "\u2028"} {
		spec := Options{Message: strings.Repeat(hostile, maxMessage/utf8.RuneCountInString(hostile))}
		if n := len(livePage(t, compile(t, spec))); n > limit {
			t.Errorf("a live page with a message of %q has %d bytes", hostile, n)
		}
		spec.Title = strings.Repeat(hostile, maxTitle/utf8.RuneCountInString(hostile))
		if n := len(body(t, finite(t, compile(t, spec), http.MethodGet))); n > limit {
			t.Errorf("a page with a message and a title of %q has %d bytes", hostile, n)
		}
	}
}

var hostile = []string{
	`<script>alert(1)</script>`,
	`</title><script>alert(1)</script>`,
	`</style></p></div><img src=x onerror=alert(1)>`,
	`"><meta http-equiv="refresh" content="0;url=https://example.com">`,
	`' onmouseover='alert(1)`,
	"line\r\nline\u2028line\u2029line",
	"not UTF-8: \xff\xfe\xc3(",
	"\x00<b>",
	`<!--`,
	`{{.Title}}`,
	`&lt;b&gt;`,
}

func TestHostileWordsAreText(t *testing.T) {
	plain := tags(livePage(t, compile(t, Options{Title: "t", Message: "m"})))
	for _, words := range hostile {
		p := compile(t, Options{Title: words, Message: words})
		text := livePage(t, p)
		if diff := cmp.Diff(plain, tags(text)); diff != "" {
			t.Errorf("%q changes the page's elements (-want +got):\n%s", words, diff)
		}
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			t.Errorf("%q makes a page that is not UTF-8", words)
		}
	}
}

// tags lists the markup of a page; text in it that is escaped has none.
func tags(text string) []string {
	return regexp.MustCompile(`<[^>]*>`).FindAllString(text, -1)
}

func TestCompileRefusesNonsense(t *testing.T) {
	for name, tc := range map[string]struct {
		spec Options
		want string
	}{
		"refresh too often":  {Options{RefreshInterval: 999 * time.Millisecond}, "waitingPage.refreshInterval must be at least 1s"},
		"refresh negative":   {Options{RefreshInterval: -time.Second}, "waitingPage.refreshInterval must be at least 1s"},
		"status without end": {Options{StatusCode: 101}, "waitingPage.statusCode 101 cannot carry a page"},
		"status no content":  {Options{StatusCode: 204}, "waitingPage.statusCode 204 cannot carry a page"},
		"status unmodified":  {Options{StatusCode: 304}, "waitingPage.statusCode 304 cannot carry a page"},
		"status no status":   {Options{StatusCode: 1000}, "waitingPage.statusCode 1000 cannot carry a page"},
		"message":            {Options{Message: strings.Repeat("é", 1025)}, "waitingPage.message must have at most 1024 characters"},
		"title":              {Options{Title: strings.Repeat("é", 129)}, "waitingPage.title must have at most 128 characters"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Compile(tc.spec); err == nil || err.Error() != tc.want {
				t.Errorf("error %v, want %s", err, tc.want)
			}
		})
	}
}

func TestErrorPageGolden(t *testing.T) {
	w := httptest.NewRecorder()
	WriteError(w, browser(t.Context()), 504, "The application did <not> become ready in time.", 0)
	response := w.Result()
	text := body(t, response)
	if response.StatusCode != 504 || response.ContentLength != int64(len(text)) || response.Header["Retry-After"] != nil {
		t.Errorf("status %d, length %d of %d, Retry-After %q", response.StatusCode, response.ContentLength, len(text), response.Header["Retry-After"])
	}
	golden(t, "error.html", text)
}

func TestErrorPage(t *testing.T) {
	const (
		again = "This page tries again by itself."
		link  = `<a href="">Try again</a>`
		form  = "What you sent may not have arrived. Reload this page to send it again."
	)
	for name, tc := range map[string]struct {
		status     int
		retryAfter time.Duration
		method     string
		// want are texts of the page, refresh the time after which a client that is not a browser
		// asks again.
		want    []string
		refuses []string
		refresh string
	}{
		"not ready in time":      {504, 0, "GET", []string{"<h1 dir=\"auto\">No answer yet</h1>", "504 Gateway Timeout: Words.", again, link}, []string{form}, "10"},
		"no connection":          {502, 0, "GET", []string{"No connection", "502 Bad Gateway: Words.", again, link}, []string{form}, "10"},
		"busy, known until when": {503, 1500 * time.Millisecond, "GET", []string{"Not available", "503 Service Unavailable: Words.", again, link}, []string{form}, "2"},
		"busy for long":          {503, time.Minute, "GET", []string{again, link}, []string{form}, "10"},
		"too many requests":      {429, time.Minute, "GET", []string{"Request refused", again, link}, []string{form}, "60"},
		"no route":               {404, 0, "GET", []string{"Nothing here", "404 Not Found: Words.", link}, []string{form, again}, ""},
		"internal":               {500, 0, "GET", []string{"Something went wrong", link}, []string{form, again}, ""},
		"too large":              {431, 0, "GET", []string{"Request refused", "431 Request Header Fields Too Large: Words.", link}, []string{form, again}, ""},
		"unusual":                {555, 0, "GET", []string{"Something went wrong", "555: Words.", link}, []string{form, again}, ""},
		"a form":                 {504, 0, "POST", []string{"No answer yet", form}, []string{again, link}, ""},
		"a form, busy":           {503, time.Minute, "POST", []string{"Not available", form}, []string{again, link}, ""},
		"head":                   {504, 0, "HEAD", nil, []string{"<"}, "10"},
	} {
		t.Run(name, func(t *testing.T) {
			for kind, r := range map[string]*http.Request{"browser": browser(t.Context()), "monitor": httptest.NewRequest(http.MethodGet, "/", nil)} {
				r.Method = tc.method
				w := httptest.NewRecorder()
				WriteError(w, r, tc.status, "Words.", tc.retryAfter)
				response := w.Result()
				text := body(t, response)
				for _, want := range tc.want {
					if !strings.Contains(text, want) {
						t.Errorf("%s: no %s in\n%s", kind, want, text)
					}
				}
				for _, refused := range tc.refuses {
					if strings.Contains(text, refused) {
						t.Errorf("%s: %s in\n%s", kind, refused, text)
					}
				}
				seconds := tc.refresh
				if seconds == "" {
					seconds = "0"
				}
				refresh, script := tc.refresh, `data-n="`+seconds+`"`
				if kind == "browser" {
					refresh = "" // it has the script
				} else {
					script = `http-equiv="refresh" content="` + tc.refresh
				}
				if got := response.Header.Get("Refresh"); response.StatusCode != tc.status || got != refresh {
					t.Errorf("%s: status %d, Refresh %q, want %q", kind, response.StatusCode, got, refresh)
				}
				if tc.method != http.MethodHead && strings.Contains(text, script) != (kind == "browser" || tc.refresh != "") {
					t.Errorf("%s: %s in\n%s", kind, script, text)
				}
				if response.ContentLength < 1000 || tc.method != http.MethodHead && response.ContentLength != int64(len(text)) {
					t.Errorf("%s: length %d of %d", kind, response.ContentLength, len(text))
				}
			}
		})
	}
}

func TestErrorPageStaysUnderItsLimit(t *testing.T) {
	w := httptest.NewRecorder()
	WriteError(w, browser(t.Context()), 504, strings.Repeat("<", 1024), time.Minute)
	if n := w.Body.Len(); n > limit {
		t.Errorf("an error page has %d bytes", n)
	}
}

func BenchmarkServeFinite(b *testing.B) {
	p, err := Compile(Options{})
	if err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	w := discard{}
	b.ReportAllocs()
	for b.Loop() {
		clear(w)
		if err := p.ServeFinite(w, r, eta.Progress{Elapsed: 12 * time.Second, Estimate: 40 * time.Second}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// discard is a ResponseWriter that is its header.
type discard http.Header

func (d discard) Header() http.Header         { return http.Header(d) }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
