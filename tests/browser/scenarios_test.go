//go:build browser

package browser

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/interceptor/coldstart/page"
)

// at returns the visitor at another path, with the query and the fragment of the address.
func (v visitor) at(path string) visitor {
	if cut := strings.IndexAny(v.address, "?#"); cut >= 0 {
		path += v.address[cut:]
	}
	v.address = path
	return v
}

// spins reports whether the spinner or the bar of a page still moves.
const spins = `!!document.querySelector("i") && getComputedStyle(document.querySelector("i")).animationName != "none" ||
	[...document.querySelectorAll("progress")].some(p => p.getClientRects().length)`

// Follows a link to a file, or to nothing: the page stays, so it says what happened, and the file
// comes once.
func TestAPageThatStaysSaysThatItIsReady(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"file", "nothing"} {
		t.Run(path, func(t *testing.T) {
			visitors(t, func(t *testing.T, v visitor) {
				v = v.at("/" + path)
				s := newStandalone(t, time.Second).(*standalone)
				tb := v.visits(t, s.url())
				tb.shows(t, http.StatusServiceUnavailable)
				s.ready(t)
				tb.reads(t, "look in your downloads")
				text := tb.text(t)
				if strings.Contains(text, "Starting") || strings.Contains(text, "0:0") {
					t.Errorf("the page still waits: %q", text)
				}
				if evaluate[bool](t, tb, spins) {
					t.Error("something still moves")
				}
				// Three times as long as the page's refresh takes.
				<-time.After(3 * time.Second)
				if got := s.get(t, "/asked/"+path); got != "1" {
					t.Errorf("it was asked for %s times", got)
				}
				if tb.text(t) != text {
					t.Errorf("the page changed to %q", tb.text(t))
				}
			})
		})
	}
}

// An open page says that it takes long, then comes the error, which tries again by itself.
func TestAReadinessTimeoutIsShown(t *testing.T) {
	t.Parallel()
	visitors(t, func(t *testing.T, v visitor) {
		s := newStandaloneOf(t, "readiness: 3s", "waitingPage: {refreshInterval: 2s}")
		tb := v.visits(t, s.url())
		tb.shows(t, http.StatusServiceUnavailable)
		tb.reads(t, "This takes unusually long.")
		tb.shows(t, http.StatusGatewayTimeout)
		if text := tb.text(t); !strings.Contains(text, "This page tries again by itself.") {
			t.Errorf("the page reads %q", text)
		}
		s.ready(t)
		tb.shows(t, http.StatusOK)
		v.arrived(t, tb)
	})
}

func TestTryAgainKeepsTheFragment(t *testing.T) {
	t.Parallel()
	visitors(t, func(t *testing.T, v visitor) {
		mended := make(chan struct{})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-mended:
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				fmt.Fprint(w, application)
			default:
				// A failure that does not pass by itself.
				page.WriteError(w, r, http.StatusNotFound, "no route for this host and path", 0)
			}
		}))
		defer server.Close()
		tb := v.visits(t, server.URL)
		tb.shows(t, http.StatusNotFound)
		close(mended)
		tb.click(t, "a")
		tb.shows(t, http.StatusOK)
		v.arrived(t, tb)
	})
}

// A form that waited too long gets a page; to send it again is up to the person.
func TestAFormThatTimesOutGetsAPage(t *testing.T) {
	t.Parallel()
	visitors(t, func(t *testing.T, v visitor) {
		s := newStandaloneOf(t, "readiness: 1s", "waitingPage: {}")
		form := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprintf(w, `<!doctype html><title>Order</title><form method="post" action="%sorder"><input name="item" value="tea"><button>Order</button></form>`, s.url())
		}))
		defer form.Close()
		tb := v.visits(t, form.URL)
		tb.shows(t, http.StatusOK)
		tb.click(t, "button")
		tb.shows(t, http.StatusGatewayTimeout)
		if text := tb.text(t); !strings.Contains(text, "Reload this page to send it again.") || strings.Contains(text, "Try again") {
			t.Errorf("the page reads %q", text)
		}
	})
}

// ownScripts is a page whose scripts wait until it is complete.
const ownScripts = `<!doctype html><title>{{.Title}}</title><h1>{{.Title}}</h1><p></p>
<script>
	const note = text => document.querySelector("p").append(text + " ")
	document.addEventListener("DOMContentLoaded", () => note("DOMContentLoaded"))
	addEventListener("load", () => note("load"))
</script>
<script type="module">note("module")</script>`

// Pages whose scripts wait for the end of the page are for delivery Refresh.
func TestScriptsThatWaitForTheEndOfThePage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason string
		finite bool
		want   string
	}{{"Refresh", true, "module DOMContentLoaded load"}, {"Live", false, ""}} {
		t.Run(c.reason, func(t *testing.T) {
			visitors(t, func(t *testing.T, v visitor) {
				if !v.scripts {
					return
				}
				s := newPagesOf(t, page.Options{Finite: c.finite, RefreshInterval: 3 * time.Second}, ownScripts)
				tb := v.visits(t, s.url())
				tb.shows(t, http.StatusServiceUnavailable)
				if c.finite {
					tb.reads(t, c.want)
				} else if text := evaluate[string](t, tb, `document.querySelector("p").textContent`); text != c.want {
					t.Errorf("%q ran: the documentation says that nothing does", text)
				}
				s.ready(t)
				tb.shows(t, http.StatusOK)
				v.arrived(t, tb)
			})
		})
	}
}

// After a link of another site the application must see what it would have seen awake,
// if the route asks for that.
func TestLinksOfOtherSites(t *testing.T) {
	t.Parallel()
	const held = "site cross-site, referrer true, cookie none"
	for _, c := range []struct{ reason, coldStart, want string }{
		{"Hold", "waitingPage: {crossSite: Hold}", held},
		{"Page", "waitingPage: {}", "site same-origin, referrer true, cookie sent"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			visitors(t, func(t *testing.T, v visitor) {
				s := newStandaloneOf(t, "", c.coldStart)
				// A site does not depend on the port: this server sets the application's cookie,
				// and is another site under another name.
				other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Set-Cookie", "strict=sent; SameSite=Strict; Path=/")
					w.Header().Set("Referrer-Policy", "unsafe-url")
					w.Header().Set("Content-Type", "text/html; charset=utf-8")
					fmt.Fprintf(w, `<!doctype html><title>Another site</title><a href="%s">A link</a>`, strings.TrimSuffix(s.url(), "/")+v.at("/seen").address)
				}))
				defer other.Close()
				tb := v.at("/").visits(t, strings.Replace(other.URL, "127.0.0.1", "app.localhost", 1))
				tb.shows(t, http.StatusOK)
				tb.visit(t, other.URL)
				tb.shows(t, http.StatusOK)
				tb.click(t, "a")
				want := c.want
				if c.reason == "Page" {
					tb.shows(t, http.StatusServiceUnavailable)
					if v.name == "Firefox" {
						want = held // it remembers what led to a page that reloads itself
					}
				}
				s.ready(t)
				tb.shows(t, http.StatusOK)
				if text := strings.TrimSpace(tb.text(t)); text != want {
					t.Errorf("the application saw %s; want %s", text, want)
				}
			})
		})
	}
}

// In plain HTTP a browser does not say that a script asks. The page would land in the
// script's hands.
func TestAScriptInPlainHTTPWaits(t *testing.T) {
	t.Parallel()
	visitors(t, func(t *testing.T, v visitor) {
		if !v.scripts {
			return
		}
		p, err := page.Compile(page.Options{})
		if err != nil {
			t.Fatal(err)
		}
		awake, asked := make(chan struct{}), make(chan struct{}, 1)
		cold := handler(p, awake)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/part") {
				if r.Header.Get("Sec-Fetch-Mode") != "" {
					t.Error("the browser says what it does: the test shows nothing")
				}
				asked <- struct{}{}
				cold.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, `<!doctype html><title>Application</title><p>waits</p><script>
				fetch("/part", {headers: {Accept: "text/html, application/xhtml+xml"}}).then(r => r.text()).then(text => document.querySelector("p").textContent = text.slice(0, 40))
			</script>`)
		}))
		defer server.Close()
		tb := v.visits(t, strings.Replace(server.URL, "127.0.0.1", plainHost, 1))
		tb.shows(t, http.StatusOK)
		select {
		case <-asked:
		case <-time.After(patience):
			t.Fatal("the script did not ask")
		}
		close(awake)
		tb.until(t, `document.querySelector("p").textContent != "waits"`)
		if got := tb.text(t); got != "an answer" && !strings.HasPrefix(got, application[:10]) {
			t.Errorf("the script got %q", got)
		}
	})
}

// A frame that may do nothing by itself shows a link, which a person follows. The test runs before
// those that run in parallel: beside eight browsers, keys reach a frame's process late or never.
func TestASandboxedFrameHasALink(t *testing.T) {
	visitors(t, func(t *testing.T, v visitor) {
		s := newPages(t, time.Second).(*pages)
		outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, sandbox(strings.TrimSuffix(s.url(), "/")+v.address))
		}))
		defer outer.Close()
		tb := v.open(t)
		tb.visit(t, outer.URL)
		await(t, s.opened)
		s.ready(t)
		await(t, s.closed)
		// The page's own refreshes are over; the link is the only thing in the frame
		// that takes the focus.
		<-time.After(3 * time.Second)
		select {
		case <-s.met:
			t.Fatal("the frame left by itself: then it needs no link")
		default:
		}
		// The focus goes over to the frame's process when it likes, and not at all if the
		// frame still loads.
		ticker, timeout := time.NewTicker(time.Second), time.After(patience)
		defer ticker.Stop()
		for n, met := 0, false; !met; n++ {
			if n%5 == 0 {
				tb.click(t, "h1")
				tb.press(t, tabKey)
			}
			tb.press(t, enterKey)
			select {
			case <-s.met:
				met = true
			case <-ticker.C:
			case <-timeout:
				t.Fatal("the link does not lead to the application")
			}
		}
	})
}

// Chromium has six connections to a host with HTTP/1. With pages that stay open, the seventh tab
// waits for one of them; with complete pages, none waits. Firefox has some more for navigations,
// and takes long to open seven windows.
func TestSevenTabs(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		if !k.scripts {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			first := k.open(t)
			tabs := []*tab{first}
			for range 6 {
				tabs = append(tabs, first.beside(t))
			}
			for _, finite := range []bool{true, false} {
				s := newPagesOf(t, page.Options{Finite: finite, RefreshInterval: time.Second}, "")
				for i, tb := range tabs {
					tb.visit(t, fmt.Sprint(s.url(), i, fragment))
				}
				blank := s.came(t, "/6/").Sub(s.came(t, "/0/"))
				for _, tb := range tabs {
					tb.shows(t, http.StatusServiceUnavailable)
				}
				s.ready(t)
				for _, tb := range tabs {
					tb.shows(t, http.StatusOK)
				}
				// An open page lasts 20 s.
				if k.name == "Chromium" && blank < 15*time.Second != finite {
					t.Errorf("finite %t: the seventh tab was blank for %v", finite, blank)
				}
			}
		})
	}
}

// get asks the application, which is ready, by the way of the interceptor.
func (s *standalone) get(t *testing.T, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", s.port, path), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "app.localhost"
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
