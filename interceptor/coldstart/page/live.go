package page

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/kedacore/http-add-on/interceptor/coldstart/eta"
)

const (
	// Interval is the time between two calls of Live.Tick. It is also how soon the
	// departure of a client is noticed that the connection did not report.
	Interval = time.Second
	// liveFor bounds a live page. A browser has six connections to a host on
	// HTTP/1.1: a tab that waits must give up its own now and then.
	liveFor = 20 * time.Second
	// writeTimeout bounds each write, so that a client that stopped reading frees
	// its place.
	writeTimeout = 30 * time.Second
)

// Live is a page that stays open until its target is ready, and then makes the browser reload at
// once, with or without JavaScript. After 20 seconds it ends, and the browser comes back by
// itself. The goroutine that serves the request owns it.
//
// On HTTP/1.1 the end of the body is the end of the connection (RFC 9112, section 6.3), never a
// last chunk. A crash of the interceptor or a proxy may cut a chunked body. A browser then never
// finishes loading, and a refresh counts from the end of loading. A body that runs to the end of
// the connection is complete however it ends (measured with Chromium 156).
type Live struct {
	out     deadlineWriter
	page    *Page
	began   eta.Progress // when the page was opened
	opened  time.Time
	refresh string // for browsers without scripts, now
	own     bool   // the page is the user's
}

// Open answers with a live page. now is how far the wake is. The caller calls Tick each
// Interval, and ends the page by Reload when the target is ready, or by Late or Failed.
func (p *Page) Open(w http.ResponseWriter, r *http.Request, now eta.Progress) (*Live, error) {
	body, own := p.begin(r, now)
	p.setHeader(w.Header(), r, now, own)
	if r.ProtoMajor == 1 {
		// net/http reads this as "no length, no chunks, close at the end" and does
		// not send the header.
		w.Header().Set("Transfer-Encoding", "identity")
	}
	w.WriteHeader(p.status)
	l := &Live{
		out:     deadlineWriter{w: w, controller: http.NewResponseController(w)},
		page:    p,
		began:   now,
		opened:  time.Now(),
		refresh: refreshTo(r, 0),
		own:     own,
	}
	return l, l.out.write(body)
}

// Tick shows the time that has passed, and the stage of the wake. It reports false when the page has been open
// long enough and was closed.
func (l *Live) Tick(stage eta.Stage) (open bool, err error) {
	passed := time.Since(l.opened).Round(time.Second)
	if passed >= liveFor {
		return false, l.end(again, l.page.refresh+1)
	}
	// The user's page shows no time, but a write finds a dead connection.
	shown := []byte("\n")
	if !l.own {
		shown = l.page.clock(eta.Progress{Elapsed: l.began.Elapsed + passed, Estimate: l.began.Estimate, Stage: stage})
	}
	return true, l.out.write(shown)
}

// Reload makes the browser load the application, and says that it is ready.
func (l *Live) Reload() error {
	return l.end(ready+"<script>"+reloadNow+"</script>"+l.refresh, 1)
}

// Late says that the target did not become ready in time. The browser comes back by
// itself, and gets to know what came of it.
func (l *Live) Late() error { return l.end(late+again, 0) }

// Failed says that the target cannot start as it is. The browser comes back by itself, as after
// Late.
func (l *Live) Failed() error { return l.end(failed+again, 0) }

// end writes the last piece of the page. On the user's own page it appears after some seconds:
// the browser has left by then, unless something is wrong. Its links have the color of the user's
// text.
func (l *Live) end(piece string, seconds int) error {
	if l.own {
		return l.out.write(fmt.Appendf(nil,
			`<style>@keyframes keda{0%%{visibility:hidden}}.keda a{color:inherit}</style><div class="keda" style="animation:keda %ds step-end">%s</div>`, seconds, piece))
	}
	return l.out.write(append([]byte(piece), l.page.frame.closing...))
}

// clock is a clock with the phase, if the cluster reports one and the route's own message has
// no place for it.
func (p *Page) clock(now eta.Progress) []byte {
	if p.message.ShowsPhase() {
		now.Stage = eta.Stage{}
	}
	return clock(now)
}

// clock is an elapsed time in markup, with a bar while it is within the estimate.
// The style sheet hides all but the last one; minutes and seconds need no
// translation.
func clock(now eta.Progress) []byte {
	b := []byte("<p>")
	if now.Estimate > 0 && !now.Overdue() {
		b = fmt.Appendf(b, "<progress value=.%02d></progress>", min(99, 100*now.Elapsed/now.Estimate))
	}
	seconds := int(now.Elapsed / time.Second)
	b = fmt.Appendf(b, "%d:%02d", seconds/60, seconds%60)
	if now.Stage.Phase != eta.Requested {
		b = fmt.Appendf(b, " · %s", now.Stage.Phase)
	}
	if now.Stage.Reason != eta.None && now.Estimate <= 0 {
		b = append(b, "<br>Taking longer than usual."...)
	}
	return append(b, "</p>"...)
}

// deadlineWriter writes to a client under a deadline and flushes at once.
type deadlineWriter struct {
	w          http.ResponseWriter
	controller *http.ResponseController
}

// write writes and flushes. The deadline is cleared afterwards: on HTTP/2 an idle
// stream would be reset when it passes.
func (d deadlineWriter) write(part []byte) error {
	if err := supported(d.controller.SetWriteDeadline(time.Now().Add(writeTimeout))); err != nil {
		return fmt.Errorf("setting the write deadline: %w", err)
	}
	if err := write(d.w, part); err != nil {
		return err
	}
	if err := supported(d.controller.Flush()); err != nil {
		return fmt.Errorf("flushing the page: %w", err)
	}
	if err := supported(d.controller.SetWriteDeadline(time.Time{})); err != nil {
		return fmt.Errorf("clearing the write deadline: %w", err)
	}
	return nil
}

// supported forgives a ResponseWriter that cannot do it, as
// httptest.ResponseRecorder cannot set deadlines.
func supported(err error) error {
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}
