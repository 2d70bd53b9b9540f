//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/kedacore/http-add-on/tests/e2e/cluster"
)

// Clients are programs of this machine that ask the interceptors: Chromium, curl, and OpenAI's SDK.

// pictures is where those of the browser go.
var pictures = flag.String("pictures", "", "folder for the pictures of pages; by default that of the test's artifacts")

// door is an address of this machine that leads to the interceptors.
func (s *scenario) door() string {
	s.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	s.Cleanup(func() {
		cancel()
		_ = listener.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // it is closed
			}
			all.Go(func() { s.lead(ctx, conn) })
		}
	})
	return listener.Addr().String()
}

// lead connects a client with the interceptors, until one of them leaves or ctx ends.
func (s *scenario) lead(ctx context.Context, client net.Conn) {
	defer func() { _ = client.Close() }()
	proxy, err := s.Dial(ctx, "tcp", cluster.Proxy)
	if err != nil {
		return // the client sees it
	}
	defer func() { _ = proxy.Close() }()
	over := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{client, proxy}, {proxy, client}} {
		go func() {
			_, _ = io.Copy(way[0], way[1])
			over <- struct{}{}
		}()
	}
	select {
	case <-ctx.Done():
	case <-over:
	}
}

// program finds one.
func (s *scenario) program(variable string, names ...string) string {
	s.Helper()
	for _, name := range append([]string{os.Getenv(variable)}, names...) {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	s.Fatalf("this test needs %[1]s: install it (Debian: apt-get install %[1]s) or name it by the environment variable %[2]s", names[0], variable)
	return ""
}

// window is Chromium with an address open.
type window struct {
	*scenario
	ctx context.Context
}

// look opens an address in Chromium, without waiting for its page. The hosts below example.com are
// this machine.
func (s *scenario) look(url string) *window {
	s.Helper()
	path := s.program("CHROMIUM", "chromium", "google-chrome")
	allocator, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.UserDataDir(s.TempDir()),
		chromedp.Flag("headless", true), chromedp.Flag("no-sandbox", true), chromedp.Flag("disable-gpu", true),
		chromedp.Flag("no-first-run", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("host-resolver-rules", "MAP *.example.com 127.0.0.1"),
	)
	ctx, leave := chromedp.NewContext(allocator)
	s.Cleanup(func() {
		leave()
		stop()
	})
	s.must(chromedp.Do(ctx, chromedp.EmulateViewport(480, 360)))
	_, err := chromedp.Call(ctx, page.Navigate, page.NavigateParams{URL: url})
	s.must(err)
	return &window{scenario: s, ctx: ctx}
}

// text returns what a person reads in the window.
func (w *window) text(context.Context) (string, error) {
	return chromedp.Run(w.ctx, chromedp.Evaluate[string]("document.body ? document.body.innerText : ''"))
}

// reload loads the page again, without waiting for it.
func (w *window) reload() {
	w.Helper()
	_, err := chromedp.Call(w.ctx, page.Reload, page.ReloadParams{})
	w.must(err)
}

// picture takes one of the window.
func (w *window) picture(name string) {
	w.Helper()
	shot, err := chromedp.Run(w.ctx, chromedp.CaptureScreenshot())
	w.must(err)
	folder := *pictures
	if folder == "" {
		folder = w.ArtifactDir()
	}
	w.must(os.WriteFile(filepath.Join(folder, name+".png"), shot, 0o644))
}

// talk is the program of OpenAI's SDK, built once.
var talk = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "http-add-on-talk-")
	if err != nil {
		return "", fmt.Errorf("making a folder for the SDK: %w", err)
	}
	path := filepath.Join(folder, "talk")
	build := exec.Command("go", "build", "-o", path, "./talk")
	build.Dir = filepath.Join("..", "clients")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the program of OpenAI's SDK: %w\n%s", err, out)
	}
	return path, nil
})

// heard is what a program has printed so far.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(p)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

// converse asks a question by OpenAI's SDK, and returns what it gets of the answer until it leaves.
func (s *scenario) converse(via, host string) (said *heard, leave func()) {
	s.Helper()
	path, err := talk()
	s.must(err)
	said = &heard{}
	command := exec.Command(path, "-url", "http://"+host+"/v1", "-via", via, "Are you there?")
	command.Stdout, command.Stderr = said, said
	s.must(command.Start())
	over := make(chan struct{})
	go func() {
		_ = command.Wait()
		close(over)
	}()
	leave = sync.OnceFunc(func() {
		_ = command.Process.Signal(os.Interrupt)
		<-over
	})
	s.Cleanup(leave)
	return said, leave
}

// curl returns what curl prints for a URL, with the headers of the response.
func (s *scenario) curl(ctx context.Context, via, url string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "curl", append([]string{"--silent", "--show-error", "--include", "--connect-to", "::" + via, url}, args...)...)
	out, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("curl: %w\n%s", err, out)
	}
	return string(out), nil
}

// shown waits until a text has all of the words, and returns when it had.
func (s *scenario) shown(ctx context.Context, text func(context.Context) (string, error), words ...string) (time.Time, string, error) {
	last := ""
	for {
		got, err := text(ctx)
		if err == nil && hasAll(got, words) {
			return time.Now(), got, nil
		}
		if err == nil {
			last = got
		}
		select {
		case <-ctx.Done():
			return time.Time{}, last, fmt.Errorf("it never shows %q (%w): %s", words, err, last)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func hasAll(text string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// load returns the load of this machine.
func load(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(text))[0]
}
