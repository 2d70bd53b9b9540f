package page

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedacore/http-add-on/interceptor/coldstart/eta"
)

// recorder is a client that writes down what reaches it, and when.
type recorder struct {
	*httptest.ResponseRecorder

	mu sync.Mutex
	// flushed is the body at the last flush; unflushed bytes do not reach the client.
	flushed string
	// deadline is the write deadline now in force.
	deadline time.Time
	// during is how far away the deadline was at each write.
	during []time.Duration
	// failure is what writes return.
	failure error
}

func newRecorder() *recorder { return &recorder{ResponseRecorder: httptest.NewRecorder()} }

func (c *recorder) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure != nil {
		return 0, c.failure
	}
	c.during = append(c.during, time.Until(c.deadline))
	return c.ResponseRecorder.Write(b)
}

func (c *recorder) FlushError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flushed = c.Body.String()
	return c.failure
}

func (c *recorder) SetWriteDeadline(deadline time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = deadline
	return nil
}

// page is what the client sees now.
func (c *recorder) page() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flushed
}

func (c *recorder) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure = err
}

func (c *recorder) deadlineInForce() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deadline
}

func navigation(ctx context.Context) *http.Request {
	return browser(ctx)
}

// serveLive keeps a live page open until ready is closed, as the caller of the package
// does.
func serveLive(p *Page, w http.ResponseWriter, r *http.Request, now eta.Progress, ready <-chan struct{}) error {
	live, err := p.Open(w, r, now)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ready:
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

// serve is serveLive on a goroutine; it returns its result.
func serve(p *Page, w http.ResponseWriter, r *http.Request, ready <-chan struct{}) <-chan error {
	done := make(chan error, 1)
	go func() { done <- serveLive(p, w, r, eta.Progress{}, ready) }()
	return done
}

func TestLivePageShowsItselfAtOnceAndReloadsWhenReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, w, ready := compile(t, Options{}), newRecorder(), make(chan struct{})
		done := serve(p, w, navigation(t.Context()), ready)
		synctest.Wait()
		body, _ := p.begin(navigation(t.Context()), eta.Progress{})
		head := string(body)
		if w.Code != 503 || w.page() != head {
			t.Fatalf("at once: status %d and\n%s\nwant\n%s", w.Code, w.page(), head)
		}
		<-time.After(2500 * time.Millisecond)
		synctest.Wait()
		if want := head + "<p>0:01</p><p>0:02</p>"; w.page() != want {
			t.Fatalf("after 2.5s\n%s\nwant\n%s", w.page(), want)
		}
		start := time.Now()
		close(ready)
		if err := <-done; err != nil || time.Since(start) != 0 {
			t.Fatalf("error %v after %v", err, time.Since(start))
		}
		const end = `<p>0:02</p><div role="alert" id="kedaReady"><h1>Ready</h1><p>The application is running. If you asked for a file, look in your downloads.</p>` +
			`<a href="">Open</a></div><script>document.title="Ready",location.reload()</script>` +
			`<noscript><meta http-equiv="refresh" content="0;url=/"></noscript></div></main></body></html>` + "\n"
		if !strings.HasSuffix(w.page(), end) {
			t.Errorf("the page ends\n%s\nwant\n%s", w.page(), end)
		}
	})
}

func TestLivePageEndsAfterTwentySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, start := newRecorder(), time.Now()
		if err := serveLive(compile(t, Options{}), w, navigation(t.Context()), eta.Progress{}, nil); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 20*time.Second {
			t.Errorf("it ended after %v", took)
		}
		if !strings.HasSuffix(w.page(), "<p>0:19</p><a href=\"\">Reload</a></div></main></body></html>\n") || strings.Contains(w.page(), `content="0`) {
			t.Errorf("the page must end without a reload:\n%s", w.page())
		}
	})
}

func TestLivePageSaysThatItIsLateOrCannotStart(t *testing.T) {
	for name, p := range map[string]*Page{"built in": compile(t, Options{}), "of the user": withTemplate(t, ownPage, Options{})} {
		for words, end := range map[string]func(*Live) error{
			"This takes unusually long.":                       (*Live).Late,
			"The application cannot be started at the moment.": (*Live).Failed,
		} {
			synctest.Test(t, func(t *testing.T) {
				w := newRecorder()
				live, err := p.Open(w, navigation(t.Context()), eta.Progress{})
				if err != nil {
					t.Fatal(err)
				}
				if err := end(live); err != nil || !strings.Contains(w.page(), `<p>`+words+`</p><a href="">Reload</a>`) || strings.Contains(w.page(), `content="0`) {
					t.Errorf("%s: error %v\n%s", name, err, w.page())
				}
			})
		}
	}
}

func TestLivePageOfAReadyTargetReloadsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ready, start := newRecorder(), make(chan struct{}), time.Now()
		close(ready)
		if err := serveLive(compile(t, Options{}), w, navigation(t.Context()), eta.Progress{}, ready); err != nil || time.Since(start) != 0 {
			t.Fatalf("error %v after %v", err, time.Since(start))
		}
		if !strings.Contains(w.page(), `<meta http-equiv="refresh" content="0;url=/">`) {
			t.Errorf("no reload in\n%s", w.page())
		}
	})
}

func TestLivePageEndsWhenTheClientStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newRecorder()
		done := serve(compile(t, Options{}), w, navigation(t.Context()), nil)
		synctest.Wait()
		w.fail(os.ErrDeadlineExceeded)
		if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

// A deadline that stays set resets an idle HTTP/2 stream when it passes.
func TestLivePageBoundsEachWriteAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newRecorder()
		done := serve(compile(t, Options{}), w, navigation(t.Context()), nil)
		for range 20 {
			synctest.Wait()
			if left := w.deadlineInForce(); !left.IsZero() {
				t.Fatalf("a deadline at %v is left after a write", left)
			}
			<-time.After(time.Second)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for _, left := range w.during {
			if left != 30*time.Second {
				t.Errorf("a write with %v to its deadline", left)
			}
		}
	})
}

// httptest.ResponseRecorder supports neither deadlines nor FlushError.
func TestLivePageNeedsNoDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := httptest.NewRecorder()
		if err := serveLive(compile(t, Options{}), w, navigation(t.Context()), eta.Progress{}, nil); err != nil || !w.Flushed {
			t.Errorf("error %v, flushed %v", err, w.Flushed)
		}
	})
}

// A reload continues the time, and the bar of the estimate.
func TestLivePageGoesOnWithTheWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newRecorder()
		now := eta.Progress{Elapsed: 35 * time.Second, Estimate: 40 * time.Second}
		if err := serveLive(compile(t, Options{}), w, navigation(t.Context()), now, nil); err != nil {
			t.Fatal(err)
		}
		const want = "<small>Usually ready in about 40 s.</small></div>"
		if !strings.Contains(w.page(), want) || !strings.Contains(w.page(), "<p><progress value=.87></progress>0:35</p><p><progress value=.90></progress>0:36</p>") ||
			!strings.Contains(w.page(), "<p><progress value=.99></progress>0:40</p><p>0:41</p>") {
			t.Errorf("got\n%s", w.page())
		}
		if got := w.Header().Get("Retry-After"); got != "5" {
			t.Errorf("Retry-After %s", got)
		}
	})
}

func TestClock(t *testing.T) {
	for now, want := range map[eta.Progress]string{
		{}:                            "<p>0:00</p>",
		{Elapsed: 9 * time.Second}:    "<p>0:09</p>",
		{Elapsed: 60 * time.Second}:   "<p>1:00</p>",
		{Elapsed: 3671 * time.Second}: "<p>61:11</p>",
		{Elapsed: time.Second, Estimate: 40 * time.Second}: "<p><progress value=.02></progress>0:01</p>",
		{Elapsed: time.Minute, Estimate: time.Minute}:      "<p><progress value=.99></progress>1:00</p>",
		{Elapsed: time.Minute, Estimate: 59 * time.Second}: "<p>1:00</p>",

		{Stage: eta.Stage{Phase: eta.Loading}}:                              "<p>0:00 · loading</p>",
		{Stage: eta.Stage{Phase: eta.Pulling, Reason: eta.ImagePullFailed}}: "<p>0:00 · pulling<br>Taking longer than usual.</p>",
	} {
		if got := string(clock(now)); got != want {
			t.Errorf("clock(%v) = %s, want %s", now, got, want)
		}
	}
}
