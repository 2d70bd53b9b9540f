//go:build browser

package browser

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kedacore/http-add-on/interceptor/coldstart/eta"
	"github.com/kedacore/http-add-on/interceptor/coldstart/page"
)

// system is what the browser visits: an application that sleeps until the test makes it ready,
// behind something that shows the waiting page meanwhile. A new one sleeps.
type system interface {
	// url of the application.
	url() string
	// ready makes the application ready and returns when it was.
	ready(t *testing.T) time.Time
	// kill ends what shows the waiting page as kill -9 does: every connection
	// is cut.
	kill(t *testing.T)
	// start starts it again on the same port, with the application asleep.
	start(t *testing.T)
}

// application is the page of the application once it is up.
const application = "<!doctype html><title>Application</title><h1>The application</h1>"

// pages is the page package behind a bare server.
type pages struct {
	page    *page.Page
	address string
	server  *http.Server

	mu    sync.Mutex
	awake chan struct{}
	first map[string]time.Time // when the page was first asked for at each place, such as /docs
	// Notes for a test: a page was opened, it ended, the application was met.
	opened, closed, met chan struct{}
}

func newPages(t *testing.T, refresh time.Duration) system {
	t.Helper()
	return newPagesOf(t, page.Options{RefreshInterval: refresh}, "")
}

// newTemplatePages serves a user's page.
func newTemplatePages(t *testing.T, refresh time.Duration) system {
	t.Helper()
	return newPagesOf(t, page.Options{RefreshInterval: refresh}, ownPage)
}

func newPagesOf(t *testing.T, o page.Options, template string) *pages {
	t.Helper()
	p, err := page.Compile(o)
	if err == nil && template != "" {
		p, err = p.WithTemplate(template)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &pages{page: p, address: "127.0.0.1:0", first: map[string]time.Time{}, opened: make(chan struct{}, 1), closed: make(chan struct{}, 1), met: make(chan struct{}, 1)}
	s.start(t)
	t.Cleanup(func() { s.server.Close() })
	return s
}

func (s *pages) url() string { return "http://" + s.address + "/" }

func (s *pages) ready(*testing.T) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	close(s.awake)
	return now
}

// asked takes note of when the page was asked for.
func (s *pages) asked(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first[path].IsZero() {
		s.first[path] = time.Now()
	}
}

// came returns when the page was first asked for at a path that begins like this.
func (s *pages) came(t *testing.T, prefix string) time.Time {
	t.Helper()
	ticker, timeout := time.NewTicker(50*time.Millisecond), time.After(patience)
	defer ticker.Stop()
	for {
		s.mu.Lock()
		for path, at := range s.first {
			if strings.HasPrefix(path, prefix) {
				s.mu.Unlock()
				return at
			}
		}
		s.mu.Unlock()
		select {
		case <-ticker.C:
		case <-timeout:
			t.Fatalf("nobody came to %s within %v", prefix, patience)
		}
	}
}

// note leaves a note, if there is room for it.
func note(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// await waits for a note.
func await(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("nothing within %v", patience)
	}
}

func (s *pages) kill(t *testing.T) {
	t.Helper()
	if err := s.server.Close(); err != nil {
		t.Fatal(err)
	}
}

func (s *pages) start(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.address = listener.Addr().String()
	s.awake = make(chan struct{})
	awake, serve := s.awake, handler(s.page, s.awake)
	s.server = &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-awake:
			note(s.met)
			serve.ServeHTTP(w, r)
			return
		default:
		}
		s.asked(r.URL.Path)
		note(s.opened)
		serve.ServeHTTP(w, r)
		note(s.closed)
	})}
	go func() { _ = s.server.Serve(listener) }()
}

// serveLive keeps a live page open until its target is awake, as the cold start does.
func serveLive(p *page.Page, w http.ResponseWriter, r *http.Request, now eta.Progress, awake <-chan struct{}) error {
	live, err := p.Open(w, r, now)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(page.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-awake:
			return live.Reload()
		case <-r.Context().Done():
			return r.Context().Err()
		case <-ticker.C:
			if open, err := live.Tick(eta.Stage{}); err != nil || !open {
				return err
			}
		}
	}
}

// handler answers as the endpoint resolver does: the application when it is
// awake, else the page.
func handler(p *page.Page, awake <-chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-awake:
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, application)
			return
		default:
		}
		switch p.For(r) {
		case page.AnswerLive:
			// The error is the browser's departure.
			_ = serveLive(p, w, r, eta.Progress{}, awake)
		case page.AnswerFinite:
			_ = p.ServeFinite(w, r, eta.Progress{})
		default:
			select {
			case <-awake:
				fmt.Fprint(w, "an answer")
			case <-r.Context().Done():
			}
		}
	})
}
