//go:build browser

package browser

import (
	"context"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/security"
	"github.com/chromedp/chromedp"
)

// patience bounds every wait for the browser. What is measured is asserted
// where it is measured.
const patience = 60 * time.Second

// chromium is one browser, with a profile of its own.
type chromium struct{ ctx context.Context }

// executable finds the browser.
func executable(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "google-chrome"} {
		if name == "" {
			continue
		}
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("these tests need Chromium: install it (Debian: apt-get install chromium) or name it by the environment variable CHROMIUM")
	return ""
}

func startChromium(t *testing.T) *chromium {
	t.Helper()
	// Not chromedp's default flags: they say "automation", and such a browser
	// does not reload its own error pages as a person's does.
	allocator, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(executable(t)),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("headless", true),
		chromedp.Flag("no-sandbox", true),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("no-first-run", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true),
	)
	t.Cleanup(stop)
	ctx, closeBrowser := chromedp.NewContext(allocator)
	t.Cleanup(closeBrowser)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	return &chromium{ctx: ctx}
}

// tab is one page of the browser, and what a person would see of it.
type tab struct {
	ctx    context.Context
	paints chan paint

	mu       sync.Mutex
	requests []string
	messages []string
}

// paint is the first time that something of a document was shown.
type paint struct {
	// status of the document; unreachable if there is none.
	status int64
	at     time.Time
}

// unreachable stands for the error page that the browser shows when it cannot
// reach a server.
const unreachable = 0

// open opens a tab, without loading anything.
func (c *chromium) open(t *testing.T, javascript bool) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(c.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(closeTab)
	tb := &tab{ctx: ctx, paints: make(chan paint, 100)}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("opening a tab: %v", err)
	}
	call(t, tb, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !javascript})
	call(t, tb, page.SetLifecycleEventsEnabled, page.SetLifecycleEventsEnabledParams{Enabled: true})
	call(t, tb, security.SetIgnoreCertificateErrors, security.SetIgnoreCertificateErrorsParams{Ignore: true})
	statuses := map[cdp.LoaderID]int64{}
	// The listener runs on one goroutine, in the order of events.
	if err := chromedp.Listen(ctx, func(event any) {
		switch event := event.(type) {
		case *network.EventRequestWillBeSent:
			tb.note(&tb.requests, event.Request.URL)
		case *log.EventEntryAdded:
			tb.note(&tb.messages, event.Entry.Text)
		case *network.EventResponseReceived:
			if event.Type == network.ResourceTypeDocument {
				statuses[event.LoaderID] = event.Response.Status
			}
		case *page.EventLifecycleEvent:
			if status := statuses[event.LoaderID]; status != 0 && event.Name == "firstContentfulPaint" {
				tb.paint(status)
			}
		case *network.EventLoadingFailed:
			if event.Type == network.ResourceTypeDocument && event.ErrorText == "net::ERR_CONNECTION_REFUSED" {
				tb.paint(unreachable)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	return tb
}

func (tb *tab) note(list *[]string, text string) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	*list = append(*list, text)
}

// paint reports a paint; a test that looks away misses some.
func (tb *tab) paint(status int64) {
	select {
	case tb.paints <- paint{status: status, at: time.Now()}:
	default:
	}
}

// visit begins to load an address, and does not wait: a live page does not end.
func (tb *tab) visit(t *testing.T, url string) {
	t.Helper()
	call(t, tb, page.Navigate, page.NavigateParams{URL: url})
}

// address returns the address that the browser shows, without running a script.
func (tb *tab) address(t *testing.T) string {
	t.Helper()
	history := call(t, tb, page.GetNavigationHistory, cdp.Empty{})
	return history.Entries[history.CurrentIndex].URL
}

// shows waits until a document of the status is shown, and returns when it was.
func (tb *tab) shows(t *testing.T, status int64) time.Time {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case p := <-tb.paints:
			t.Logf("shown: status %d", p.status)
			if p.status == status {
				return p.at
			}
		case <-timeout:
			t.Fatalf("the browser did not show a document of status %d within %v", status, patience)
		}
	}
}

// call sends a command to the tab.
func call[P, R any](t *testing.T, tb *tab, command cdp.Command[P, R], params P) R {
	t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	result, err := chromedp.Call(ctx, command, params)
	if err != nil {
		t.Fatalf("%s: %v", command.Method, err)
	}
	return result
}

// evaluate returns the value of an expression in the page, or of its promise.
func evaluate[T any](t *testing.T, tb *tab, expression string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(tb.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("evaluating %s: %v", expression, err)
	}
	return value
}
