//go:build browser

package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
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
	"github.com/chromedp/chromedp/kb"
)

// chromiumProcess is the one process. Its tabs have scripts or not.
var chromiumProcess = sync.OnceValues(func() (context.Context, error) {
	path, err := program("CHROMIUM", "chromium", "google-chrome")
	if err != nil {
		return nil, err
	}
	// Not chromedp's default flags: they say "automation", and such a browser
	// does not reload its own error pages as a person's does.
	allocator, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path),
		chromedp.UserDataDir(filepath.Join(scratch, "chromium")),
		chromedp.Flag("headless", true),
		chromedp.Flag("no-sandbox", true),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("no-first-run", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("host-resolver-rules", "MAP "+plainHost+" 127.0.0.1"),
	)
	ctx, closeBrowser := chromedp.NewContext(allocator)
	atEnd(func() {
		closeBrowser()
		stop()
	})
	if err := chromedp.Do(ctx); err != nil {
		return nil, fmt.Errorf("starting Chromium: %w", err)
	}
	return ctx, nil
})

// chromium is Chromium, with scripts or without, driven by its own protocol.
type chromium struct {
	process context.Context
	scripts bool
}

func startChromium(scripts bool) (browser, error) {
	process, err := chromiumProcess()
	return &chromium{process: process, scripts: scripts}, err
}

// chromiumTab is the driver of a tab.
type chromiumTab struct {
	ctx     context.Context
	scripts bool
}

func (c *chromium) open(t *testing.T) *tab {
	t.Helper()
	return openChromiumTab(c.process, t, c.scripts, chromedp.WithNewBrowserContext())
}

func (c *chromiumTab) beside(t *testing.T) *tab {
	t.Helper()
	return openChromiumTab(c.ctx, t, c.scripts)
}

func openChromiumTab(parent context.Context, t *testing.T, scripts bool, o ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(parent, o...)
	t.Cleanup(closeTab)
	driver := &chromiumTab{ctx: ctx, scripts: scripts}
	tb := newTab(driver)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("opening a tab: %v", err)
	}
	call(t, driver, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !scripts})
	call(t, driver, page.SetLifecycleEventsEnabled, page.SetLifecycleEventsEnabledParams{Enabled: true})
	call(t, driver, security.SetIgnoreCertificateErrors, security.SetIgnoreCertificateErrorsParams{Ignore: true})
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
				tb.paint(status, time.Now())
			}
		case *network.EventLoadingFailed:
			if event.Type == network.ResourceTypeDocument && event.ErrorText == "net::ERR_CONNECTION_REFUSED" {
				tb.paint(unreachable, time.Now())
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	return tb
}

func (c *chromiumTab) visit(t *testing.T, url string) {
	t.Helper()
	call(t, c, page.Navigate, page.NavigateParams{URL: url})
}

func (c *chromiumTab) address(t *testing.T) string {
	t.Helper()
	history := call(t, c, page.GetNavigationHistory, cdp.Empty{})
	return history.Entries[history.CurrentIndex].URL
}

func (c *chromiumTab) value(expression string) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[json.RawMessage](expression, chromedp.EvalAwaitPromise))
}

func (c *chromiumTab) clickAt(t *testing.T, x, y float64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.MouseClickXY(x, y)); err != nil {
		t.Fatalf("clicking: %v", err)
	}
}

// press does not wait for long. Chromium acknowledges a key when the page has handled it, so it
// never does if that page goes away at a bad moment. The test sees what the key did.
func (c *chromiumTab) press(t *testing.T, k key) {
	t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, keyPatience)
	defer cancel()
	err := chromedp.Do(ctx, chromedp.KeyEvent(map[key]string{tabKey: kb.Tab, enterKey: kb.Enter}[k]))
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("pressing a key: %v", err)
	}
}

// keyPatience bounds the wait for the acknowledgment of a key.
const keyPatience = 5 * time.Second

// call sends a command to a tab.
func call[P, R any](t *testing.T, c *chromiumTab, command cdp.Command[P, R], params P) R {
	t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	result, err := chromedp.Call(ctx, command, params)
	if err != nil {
		t.Fatalf("%s: %v", command.Method, err)
	}
	return result
}
