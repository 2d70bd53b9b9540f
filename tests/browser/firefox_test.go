//go:build browser

package browser

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// firefox is Firefox, driven by WebDriver BiDi, which it speaks by itself.
type firefox struct {
	conn    *websocket.Conn
	writing sync.Mutex

	mu      sync.Mutex
	last    int64
	answers map[int64]chan answer
	tabs    map[string]*firefoxTab // by their browsing context
}

// answer is the answer to a command.
type answer struct {
	Result  json.RawMessage `json:"result"`
	Error   string          `json:"error"`
	Message string          `json:"message"`
}

// firefoxTab is the driver of a tab. The goroutine that reads events owns its statuses.
type firefoxTab struct {
	*firefox
	tab      *tab
	user     string // of cookies and connections
	context  string
	statuses map[string]int64 // of documents, by their navigation
	shown    chan struct{}    // closed when the next document takes the place of the one that is watched
}

// preferences are those of a test profile.
const preferences = `user_pref("remote.prefs.recommended", true);
user_pref("javascript.enabled", %t);
user_pref("nimbus.rollouts.enabled", false);
user_pref("network.dns.localDomains", %q);
user_pref("browser.download.dir", %q);
user_pref("browser.download.folderList", 2);
`

func startFirefox(scripts bool) (browser, error) {
	path, err := program("FIREFOX", "firefox-esr", "firefox")
	if err != nil {
		return nil, err
	}
	profile := filepath.Join(scratch, "firefox-"+strconv.FormatBool(scripts))
	if err := os.MkdirAll(profile, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(profile, "user.js"), fmt.Appendf(nil, preferences, scripts, plainHost, profile), 0o600); err != nil {
		return nil, err
	}
	process := exec.Command(path, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0")
	process.Env = append(os.Environ(), "HOME="+profile)
	output, err := process.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, fmt.Errorf("starting Firefox: %w", err)
	}
	atEnd(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	address, err := listening(bufio.NewScanner(output))
	if err != nil {
		return nil, err
	}
	conn, response, err := websocket.DefaultDialer.Dial(address+"/session", nil)
	if err != nil {
		return nil, fmt.Errorf("connecting to Firefox: %w", err)
	}
	_ = response.Body.Close()
	f := &firefox{conn: conn, answers: map[int64]chan answer{}, tabs: map[string]*firefoxTab{}}
	go f.read()
	if err := f.call("session.new", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{"acceptInsecureCerts": true}}}, nil); err != nil {
		return nil, err
	}
	return f, f.call("session.subscribe", map[string]any{"events": []string{
		"browsingContext.navigationCommitted", "log.entryAdded", "network.beforeRequestSent", "network.fetchError", "network.responseStarted",
	}}, nil)
}

// listening returns the address that Firefox reports, and reads on: a full pipe would stop
// it.
func listening(lines *bufio.Scanner) (string, error) {
	for lines.Scan() {
		if _, address, ok := strings.Cut(lines.Text(), "WebDriver BiDi listening on "); ok {
			go func() {
				for lines.Scan() {
				}
			}()
			return address, nil
		}
	}
	return "", errors.New("Firefox ended before it listened")
}

// call sends a command and waits for its answer. result may be nil.
func (f *firefox) call(method string, params, result any) error {
	back := make(chan answer, 1)
	f.mu.Lock()
	f.last++
	id := f.last
	f.answers[id] = back
	f.mu.Unlock()
	f.writing.Lock()
	err := f.conn.WriteJSON(map[string]any{"id": id, "method": method, "params": params})
	f.writing.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case got := <-back:
		switch {
		case got.Error != "":
			return fmt.Errorf("%s: %s: %s", method, got.Error, got.Message)
		case result != nil:
			return json.Unmarshal(got.Result, result)
		}
		return nil
	case <-time.After(patience):
		return fmt.Errorf("%s: no answer within %v", method, patience)
	}
}

// event is what the tests know of an event. Those of navigations have the context and
// the navigation, those of requests the rest too.
type event struct {
	Context    string `json:"context"`
	Navigation string `json:"navigation"`
	URL        string `json:"url"`
	Text       string `json:"text"`
	ErrorText  string `json:"errorText"`
	Source     struct {
		Context string `json:"context"`
	} `json:"source"`
	Request struct {
		URL         string `json:"url"`
		Destination string `json:"destination"`
	} `json:"request"`
	Response struct {
		Status int64 `json:"status"`
	} `json:"response"`
}

// read delivers answers and events until the connection ends.
func (f *firefox) read() {
	for {
		var message struct {
			answer
			ID     int64  `json:"id"`
			Method string `json:"method"`
			Params event  `json:"params"`
		}
		if err := f.conn.ReadJSON(&message); err != nil {
			return
		}
		f.mu.Lock()
		back := f.answers[message.ID]
		delete(f.answers, message.ID)
		of := f.tabs[message.Params.Context+message.Params.Source.Context]
		f.mu.Unlock()
		switch {
		case message.Method == "" && back != nil:
			back <- message.answer
		case of != nil:
			of.event(message.Method, &message.Params)
		}
	}
}

// event takes note of an event.
func (d *firefoxTab) event(method string, e *event) {
	document := e.Navigation != "" && e.Request.Destination == "document"
	switch method {
	case "log.entryAdded":
		d.tab.note(&d.tab.messages, e.Text)
	case "network.beforeRequestSent":
		d.tab.note(&d.tab.requests, e.Request.URL)
	case "network.responseStarted":
		if document {
			d.statuses[e.Navigation] = e.Response.Status
		}
	case "network.fetchError":
		if document && e.ErrorText == "NS_ERROR_CONNECTION_REFUSED" {
			d.tab.paint(unreachable, time.Now())
		}
	case "browsingContext.navigationCommitted":
		close(d.shown)
		d.shown = make(chan struct{})
		if status := d.statuses[e.Navigation]; status != 0 && strings.HasPrefix(e.URL, "http") {
			go d.watch(status, d.shown)
		}
	}
}

// watch reports when something of a document is shown, until the next one takes its place.
func (d *firefoxTab) watch(status int64, replaced <-chan struct{}) {
	const firstPaint = `(p => p && performance.timeOrigin + p.startTime)(performance.getEntriesByName("first-contentful-paint")[0])`
	for {
		raw, err := d.value(firstPaint)
		var at float64
		if err == nil && json.Unmarshal(raw, &at) == nil {
			d.tab.paint(status, time.UnixMicro(int64(at*1000)))
			return
		}
		select {
		case <-replaced:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (f *firefox) open(t *testing.T) *tab {
	t.Helper()
	var user struct {
		UserContext string `json:"userContext"`
	}
	if err := f.call("browser.createUserContext", map[string]any{}, &user); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.call("browser.removeUserContext", map[string]any{"userContext": user.UserContext}, nil); err != nil {
			t.Error(err)
		}
	})
	return f.openTab(t, user.UserContext)
}

func (d *firefoxTab) beside(t *testing.T) *tab {
	t.Helper()
	return d.openTab(t, d.user)
}

// openTab opens a window: a tab in the background is not painted.
func (f *firefox) openTab(t *testing.T, user string) *tab {
	t.Helper()
	var opened struct {
		Context string `json:"context"`
	}
	if err := f.call("browsingContext.create", map[string]any{"type": "window", "userContext": user}, &opened); err != nil {
		t.Fatal(err)
	}
	d := &firefoxTab{firefox: f, user: user, context: opened.Context, statuses: map[string]int64{}, shown: make(chan struct{})}
	d.tab = newTab(d)
	f.mu.Lock()
	f.tabs[d.context] = d
	f.mu.Unlock()
	return d.tab
}

// do sends a command to the tab.
func (d *firefoxTab) do(t *testing.T, method string, params map[string]any, result any) {
	t.Helper()
	params["context"] = d.context
	if err := d.call(method, params, result); err != nil {
		t.Fatal(err)
	}
}

func (d *firefoxTab) visit(t *testing.T, url string) {
	t.Helper()
	d.do(t, "browsingContext.navigate", map[string]any{"url": url, "wait": "none"}, nil)
}

// reload acts as a person who presses the button. Firefox refuses it while it is busy with its
// own error page.
func (d *firefoxTab) reload(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		err := d.call("browsingContext.reload", map[string]any{"context": d.context, "wait": "none"}, nil)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		<-time.After(100 * time.Millisecond)
	}
}

func (d *firefoxTab) address(t *testing.T) string {
	t.Helper()
	var tree struct {
		Contexts []struct {
			URL string `json:"url"`
		} `json:"contexts"`
	}
	if err := d.call("browsingContext.getTree", map[string]any{"root": d.context}, &tree); err != nil {
		t.Fatal(err)
	}
	return tree.Contexts[0].URL
}

// value evaluates in a sandbox, which works without scripts too.
func (d *firefoxTab) value(expression string) (json.RawMessage, error) {
	var evaluated struct {
		Type   string `json:"type"`
		Result struct {
			Value string `json:"value"`
		} `json:"result"`
		ExceptionDetails struct {
			Text string `json:"text"`
		} `json:"exceptionDetails"`
	}
	err := d.call("script.evaluate", map[string]any{
		"expression":   "JSON.stringify(" + expression + ")",
		"target":       map[string]any{"context": d.context, "sandbox": "test"},
		"awaitPromise": false, // without scripts a promise never ends
	}, &evaluated)
	switch {
	case err != nil:
		return nil, err
	case evaluated.Type != "success":
		return nil, errors.New(evaluated.ExceptionDetails.Text)
	}
	return json.RawMessage(evaluated.Result.Value), nil
}

func (d *firefoxTab) clickAt(t *testing.T, x, y float64) {
	t.Helper()
	d.do(t, "input.performActions", map[string]any{"actions": []any{map[string]any{
		"type": "pointer", "id": "mouse", "actions": []any{
			map[string]any{"type": "pointerMove", "x": int(x), "y": int(y)},
			map[string]any{"type": "pointerDown", "button": 0},
			map[string]any{"type": "pointerUp", "button": 0},
		},
	}}}, nil)
}

func (d *firefoxTab) press(t *testing.T, k key) {
	t.Helper()
	d.do(t, "input.performActions", map[string]any{"actions": []any{map[string]any{
		"type": "key", "id": "keyboard", "actions": []any{
			map[string]any{"type": "keyDown", "value": string(k)}, map[string]any{"type": "keyUp", "value": string(k)},
		},
	}}}, nil)
}
