package page

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/kedacore/http-add-on/interceptor/coldstart/wake"
)

const (
	// liveFor bounds a live page. A browser has six connections to a host on
	// HTTP/1.1: a tab that waits must give its own back now and then.
	liveFor = 20 * time.Second
	// tick is how often a live page shows the time that has passed. It is also
	// how soon a client is noticed to be gone whose departure the connection
	// did not report.
	tick = time.Second
	// writeTimeout bounds each write, so that a client that stopped reading
	// frees its place.
	writeTimeout = 30 * time.Second
)

// ServeLive answers with a page that stays open until ready is closed, and then
// makes the browser reload at once, with or without JavaScript; after 20
// seconds it just ends, and the browser comes back by the header Refresh. now is
// how far the wake is. A client that leaves ends it with an error.
//
// On HTTP/1.1 the end of the body is the end of the connection (RFC 9112,
// section 6.3), never a last chunk: a browser that sees a chunked body cut, by a
// crash of ours or by a proxy, never finishes loading, and a refresh counts
// from the end of loading. A body that runs to the end of the connection is
// complete however it ends (measured with Chromium 156).
func (p *Page) ServeLive(w http.ResponseWriter, r *http.Request, now wake.Progress, ready <-chan struct{}) error {
	if r.Method == http.MethodHead {
		return p.ServeFinite(w, r, now)
	}
	body, own := p.begin(r, now, p.frame.net)
	p.setHeader(w.Header(), now, own)
	if r.ProtoMajor == 1 {
		// What net/http takes as "no length, no chunks, close at the end"; the
		// header itself is not sent.
		w.Header().Set("Transfer-Encoding", "identity")
	}
	w.WriteHeader(p.status)

	out := deadlineWriter{w: w, controller: http.NewResponseController(w)}
	closing := p.frame.closing
	if own {
		closing = nil
	}
	if err := out.write(body); err != nil {
		return err
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	start := time.Now()
	for {
		select {
		case <-ready:
			return out.write(append(p.frame.reload[:len(p.frame.reload):len(p.frame.reload)], closing...))
		case <-r.Context().Done():
			return fmt.Errorf("keeping the page open: %w", context.Cause(r.Context()))
		case <-ticker.C:
			open := time.Since(start).Round(time.Second)
			if open >= liveFor {
				return out.write(closing)
			}
			// Something is written to the user's page too: it shows nothing.
			still := []byte("\n")
			if !own {
				still = clock(wake.Progress{Elapsed: now.Elapsed + open, Estimate: now.Estimate})
			}
			if err := out.write(still); err != nil {
				return err
			}
		}
	}
}

// clock is an elapsed time in markup, with a bar while it is within the estimate.
// The style sheet hides all but the last one; minutes and seconds need no
// translation.
func clock(now wake.Progress) []byte {
	b := []byte("<p>")
	if now.Estimate > 0 && !now.Overdue() {
		b = fmt.Appendf(b, "<progress value=.%02d></progress>", min(99, 100*now.Elapsed/now.Estimate))
	}
	seconds := int(now.Elapsed / time.Second)
	return fmt.Appendf(b, "%d:%02d</p>", seconds/60, seconds%60)
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
