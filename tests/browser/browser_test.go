//go:build browser

package browser

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait for a browser. What is measured is asserted where it is
// measured.
const patience = 60 * time.Second

// browser opens tabs, each with separate cookies and connections. All tests share one process of
// each browser, because starting one takes longer than most tests.
type browser interface {
	// open opens a tab, without loading anything.
	open(t *testing.T) *tab
}

// kind is a browser that a person may have.
type kind struct {
	name    string
	scripts bool
	start   func() (browser, error)
}

var kinds = []kind{
	kindOf("Chromium", true, startChromium),
	kindOf("Chromium without scripts", false, startChromium),
	kindOf("Firefox", true, startFirefox),
	kindOf("Firefox without scripts", false, startFirefox),
}

func kindOf(name string, scripts bool, start func(scripts bool) (browser, error)) kind {
	return kind{name, scripts, sync.OnceValues(func() (browser, error) { return start(scripts) })}
}

// open opens a tab.
func (k kind) open(t *testing.T) *tab {
	t.Helper()
	b, err := k.start()
	if err != nil {
		t.Fatal(err)
	}
	return b.open(t)
}

// ends are called once all tests are over.
var ends struct {
	mu  sync.Mutex
	all []func()
}

func atEnd(end func()) {
	ends.mu.Lock()
	defer ends.mu.Unlock()
	ends.all = append(ends.all, end)
}

func endAll() {
	ends.mu.Lock()
	defer ends.mu.Unlock()
	for _, end := range ends.all {
		end()
	}
}

// driver is what a browser can do with one of its tabs.
type driver interface {
	// visit begins to load an address, and does not wait: a live page does not end.
	visit(t *testing.T, url string)
	// address returns the address that the browser shows.
	address(t *testing.T) string
	// value returns the value of an expression in the page; Chromium waits for a promise.
	value(expression string) (json.RawMessage, error)
	// clickAt clicks with the mouse.
	clickAt(t *testing.T, x, y float64)
	// press presses a key.
	press(t *testing.T, key key)
	// beside opens another tab, with the same cookies and connections.
	beside(t *testing.T) *tab
}

// key is a key of the keyboard, as WebDriver names it.
type key rune

const (
	tabKey   key = '\uE004'
	enterKey key = '\uE007'
)

// tab is one page of a browser, and what a person would see of it.
type tab struct {
	driver
	paints chan paint

	mu       sync.Mutex
	requests []string
	messages []string
}

func newTab(d driver) *tab { return &tab{driver: d, paints: make(chan paint, 100)} }

// paint is the first time that something of a document was shown.
type paint struct {
	// status of the document, or unreachable.
	status int64
	at     time.Time
}

// unreachable stands for the error page that the browser shows when it cannot reach a
// server.
const unreachable = 0

func (tb *tab) note(list *[]string, text string) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	*list = append(*list, text)
}

// paint reports a paint; a test that looks away misses some.
func (tb *tab) paint(status int64, at time.Time) {
	select {
	case tb.paints <- paint{status: status, at: at}:
	default:
	}
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

// evaluate returns the value of an expression in the page.
func evaluate[T any](t *testing.T, tb *tab, expression string) T {
	t.Helper()
	var value T
	raw, err := tb.value(expression)
	if err == nil {
		err = json.Unmarshal(raw, &value)
	}
	if err != nil {
		t.Fatalf("evaluating %s: %v", expression, err)
	}
	return value
}

// until waits until an expression in the page is true. The page may change meanwhile.
func (tb *tab) until(t *testing.T, expression string) {
	t.Helper()
	ticker, timeout := time.NewTicker(50*time.Millisecond), time.After(patience)
	defer ticker.Stop()
	for {
		raw, err := tb.value("!!(" + expression + ")")
		if string(raw) == "true" {
			return
		}
		select {
		case <-ticker.C:
		case <-timeout:
			text, _ := tb.value("document.body.innerText")
			t.Fatalf("never true within %v: %s (%v); the page reads %s", patience, expression, err, text)
		}
	}
}

// text returns what a person reads in the page.
func (tb *tab) text(t *testing.T) string {
	t.Helper()
	return evaluate[string](t, tb, "document.body.innerText")
}

// reads waits until a person reads something in the page.
func (tb *tab) reads(t *testing.T, text string) {
	t.Helper()
	tb.until(t, reads(text))
}

// reads is the expression for that.
func reads(text string) string { return fmt.Sprintf("document.body.innerText.includes(%q)", text) }

// click clicks on an element, in a frame of the page if one is named.
func (tb *tab) click(t *testing.T, selector string) {
	t.Helper()
	at := evaluate[[2]float64](t, tb, fmt.Sprintf(`(() => {
		const box = document.querySelector(%q).getBoundingClientRect()
		return [box.x + box.width / 2, box.y + box.height / 2]
	})()`, selector))
	tb.clickAt(t, at[0], at[1])
}

// program finds one: the one that a variable names, else the first one of the names.
func program(variable string, names ...string) (string, error) {
	for _, name := range append([]string{os.Getenv(variable)}, names...) {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("these tests need %[1]s: install it (Debian: apt-get install %[1]s) or name it by the environment variable %[2]s", names[0], variable)
}
