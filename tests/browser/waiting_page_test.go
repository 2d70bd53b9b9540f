//go:build browser

package browser

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/interceptor/coldstart/page"
)

// goal is how long after readiness the application is shown, on a quiet machine.
const goal = 300 * time.Millisecond

// makeSystem makes a system whose page asks again after that time.
type makeSystem func(t *testing.T, refresh time.Duration) system

// systems are tested alike.
var systems = map[string]makeSystem{
	"pages":      newPages,
	"template":   newTemplatePages,
	"standalone": newStandalone,
}

// fragment is what a person may have opened, behind the address of a system. Chromium does
// not reload a document whose address has a fragment by a refresh.
const fragment = "/docs?x=1#/route/7"

// visitor is a person with a browser who opens an address.
type visitor struct {
	kind
	address string
}

// visitors runs a test for all browsers, several at a time. They open an address with a
// fragment.
func visitors(t *testing.T, test func(t *testing.T, v visitor)) {
	t.Helper()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			test(t, visitor{k, fragment})
		})
	}
}

// each runs a test for all visitors of all systems.
func each(t *testing.T, test func(t *testing.T, v visitor, newSystem makeSystem)) {
	t.Helper()
	for name, newSystem := range systems {
		t.Run(name, func(t *testing.T) {
			visitors(t, func(t *testing.T, v visitor) { test(t, v, newSystem) })
		})
	}
}

// visits opens the address of a server, and waits for nothing.
func (v visitor) visits(t *testing.T, server string) *tab {
	t.Helper()
	tb := v.open(t)
	tb.visit(t, strings.TrimSuffix(server, "/")+v.address)
	return tb
}

// arrived checks where the browser is in the end: one without scripts loses the fragment,
// but it arrives.
func (v visitor) arrived(t *testing.T, tb *tab) {
	t.Helper()
	want := v.address
	if !v.scripts {
		want, _, _ = strings.Cut(want, "#")
	}
	if got := tb.address(t); !strings.HasSuffix(got, want) {
		t.Errorf("the browser is at %s, want …%s", got, want)
	}
}

// The times are taken one by one: several browsers at a time are slow. A page that waits for
// its refresh takes much longer than any machine.
func TestTheBrowserIsOnTheApplicationWhenItIsReady(t *testing.T) {
	for name, newSystem := range systems {
		for _, k := range kinds {
			for place, address := range map[string]string{"root": "/", "fragment": fragment} {
				t.Run(name+"/"+k.name+"/"+place, func(t *testing.T) {
					v := visitor{k, address}
					s, begin := newSystem(t, 50*time.Second), time.Now()
					tb := v.visits(t, s.url())
					appeared := tb.shows(t, http.StatusServiceUnavailable).Sub(begin)
					ready := s.ready(t)
					took := tb.shows(t, http.StatusOK).Sub(ready)
					v.arrived(t, tb)
					t.Logf("the page after %v, the application %v after it was ready", appeared, took)
					if took > 100*goal {
						t.Errorf("the application was shown %v after it was ready", took)
					}
				})
			}
		}
	}
}

// A fragment may name a place of the page or be a route of the application. Every second page
// is complete from the start, so that its own refresh leads to the application.
func TestAddressesWithFragmentsArrive(t *testing.T) {
	t.Parallel()
	visitors(t, func(t *testing.T, v visitor) {
		tb := v.open(t)
		for i, address := range []string{"/#section", "/docs#install", "/?x=1#/route/7", "/docs#", "/a%20b?x=%23#a%20b?c=d&e#f"} {
			v.address = address
			s := newPagesOf(t, page.Options{Finite: i%2 > 0, RefreshInterval: time.Second}, "")
			tb.visit(t, strings.TrimSuffix(s.url(), "/")+address)
			tb.shows(t, http.StatusServiceUnavailable)
			s.ready(t)
			tb.shows(t, http.StatusOK)
			v.arrived(t, tb)
		}
	})
}

func TestACutPageRecovers(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, v visitor, newSystem makeSystem) {
		// A browser without scripts that cannot connect does not ask again, so the restart must
		// be over by then.
		s := newSystem(t, 5*time.Second)
		tb := v.visits(t, s.url())
		tb.shows(t, http.StatusServiceUnavailable)
		s.kill(t)
		s.start(t)
		// The body ran to the end of the connection, so the page has loaded and
		// asks again.
		tb.shows(t, http.StatusServiceUnavailable)
		s.ready(t)
		tb.shows(t, http.StatusOK)
		v.arrived(t, tb)
	})
}

func TestAPageWhoseServerStaysAwayRecovers(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, v visitor, newSystem makeSystem) {
		s := newSystem(t, time.Second)
		tb := v.visits(t, s.url())
		tb.shows(t, http.StatusServiceUnavailable)
		s.kill(t)
		// No process listens, so the browser shows its own error page. Chromium reloads that by
		// itself; in Firefox a person does.
		tb.shows(t, unreachable)
		s.start(t)
		if d, ok := tb.driver.(*firefoxTab); ok {
			d.reload(t)
		}
		tb.shows(t, http.StatusServiceUnavailable)
		s.ready(t)
		tb.shows(t, http.StatusOK)
		v.arrived(t, tb)
	})
}

// On HTTP/2 a cut is an error to the browser: the page never finishes loading,
// and only the script brings it back.
func TestACutHTTP2PageRecovers(t *testing.T) {
	t.Parallel()
	visitors(t, func(t *testing.T, v visitor) {
		if !v.scripts {
			return
		}
		p, err := page.Compile(page.Options{})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(handler(p, nil))
		server.EnableHTTP2 = true
		server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		server.StartTLS()
		defer server.Close()
		// A live page that is open would keep Close waiting.
		defer server.CloseClientConnections()

		tb := v.visits(t, server.URL)
		begin := tb.shows(t, http.StatusServiceUnavailable)
		server.CloseClientConnections()
		if took := tb.shows(t, http.StatusServiceUnavailable).Sub(begin); took < 20*time.Second {
			t.Errorf("the page came back after %v: it was not the script", took)
		}
	})
}

// The safety net must not ask again while the application is being loaded:
// some take long for their first byte.
func TestASlowApplicationIsAskedOnce(t *testing.T) {
	t.Parallel()
	visitors(t, func(t *testing.T, v visitor) {
		p, err := page.Compile(page.Options{})
		if err != nil {
			t.Fatal(err)
		}
		awake, answer := make(chan struct{}), make(chan struct{})
		var asked atomic.Int64
		waiting := handler(p, awake)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-awake:
				if !strings.HasSuffix(r.URL.Path, ".ico") {
					asked.Add(1)
				}
				select {
				case <-answer:
				case <-r.Context().Done():
					return
				}
			default:
			}
			waiting.ServeHTTP(w, r)
		}))
		defer server.Close()

		tb := v.visits(t, server.URL)
		tb.shows(t, http.StatusServiceUnavailable)
		close(awake)
		<-time.After(27 * time.Second)
		close(answer)
		tb.shows(t, http.StatusOK)
		v.arrived(t, tb)
		if n := asked.Load(); n != 1 {
			t.Errorf("the application was asked %d times", n)
		}
	})
}

func TestThePageIsReadableOnEveryScreen(t *testing.T) {
	for _, screen := range screens {
		background := map[string]string{"light": "rgb(243, 245, 250)", "dark": "rgb(12, 14, 19)"}[screen.scheme]
		t.Run(screen.name, func(t *testing.T) {
			t.Parallel()
			s, tb := newPages(t, time.Second), kinds[0].open(t)
			tb.on(t, screen)
			tb.visit(t, s.url())
			tb.shows(t, http.StatusServiceUnavailable)

			// The clock has moved on, so the page is being appended to.
			const visible = `[...document.querySelectorAll("p")].filter(p => p.getClientRects().length).map(p => p.textContent)`
			for deadline := time.Now().Add(patience); ; {
				words := evaluate[[]string](t, tb, visible)
				if len(words) != 2 || words[0] != page.DefaultMessage {
					t.Fatalf("visible paragraphs %q, want the message and one time", words)
				}
				if words[1] != "0:00" {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("the clock stands still")
				}
			}
			if got := evaluate[string](t, tb, `getComputedStyle(document.body).backgroundColor`); got != background {
				t.Errorf("background %s, want %s", got, background)
			}
			if got := evaluate[string](t, tb, `getComputedStyle(document.querySelector("i")).animationName`); got != "none" {
				t.Errorf("an animation %q although motion is to be reduced", got)
			}
			if got := evaluate[int64](t, tb, `document.documentElement.scrollWidth`); got > screen.width {
				t.Errorf("the page is %d wide on a screen of %d", got, screen.width)
			}

			tb.mu.Lock()
			defer tb.mu.Unlock()
			for _, url := range tb.requests {
				if !strings.HasPrefix(url, s.url()) || strings.Contains(url, "favicon") {
					t.Errorf("the page asked for %s", url)
				}
			}
			for _, message := range tb.messages {
				if !strings.Contains(message, "503") {
					t.Errorf("the browser complains: %s", message)
				}
			}
		})
	}
}
