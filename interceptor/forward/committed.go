package forward

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

const (
	// maxRedirects is how many redirects are followed. net/http follows 10.
	maxRedirects = 5
	// maxBusy is for how long a backend that is not available yet is asked again, and
	// minBusy the shortest pause before that. SDKs wait for a minute at most.
	maxBusy, minBusy = time.Minute, time.Second
)

// committed is what the forwarder does for a client whose response is committed.
type committed struct {
	redirects int
	busyUntil time.Time // zero until the backend was busy
}

// again prepares to send r once more if res asks for that, and reports whether it does. Then
// res is closed. An error means that the call has ended meanwhile.
func (c *call) again(r *http.Request, res *http.Response) (bool, error) {
	if c.x.Committed == nil || !c.body.Repeatable() {
		return false, nil
	}
	switch res.StatusCode {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		to := c.x.Committed.Redirected(r.URL, res.Header.Get("Location"))
		if c.committed.redirects++; to == nil || c.committed.redirects > maxRedirects {
			return false, nil
		}
		_ = res.Body.Close() // never fails
		r.URL = to
		keepTarget(r)
		return true, nil
	case http.StatusServiceUnavailable:
		wait, ok := retryAfter(res.Header, time.Now())
		if !ok || !c.fits(wait) {
			return false, nil
		}
		_ = res.Body.Close() // never fails
		c.clock.Rest()
		if err := c.pause(wait); err != nil {
			return false, err
		}
		c.clock.Resume() // it is the backend's turn again
		return true, nil
	}
	return false, nil
}

// fits reports whether the time of the call suffices to wait for a busy backend.
func (c *call) fits(wait time.Duration) bool {
	now := time.Now()
	if c.committed.busyUntil.IsZero() {
		c.committed.busyUntil = now.Add(maxBusy)
	}
	at := now.Add(wait)
	return !at.After(c.committed.busyUntil) && c.clock.lasts(at)
}

// retryAfter returns how long a backend wants to be left alone (RFC 9110, 10.2.3).
func retryAfter(header http.Header, now time.Time) (wait time.Duration, ok bool) {
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 16); err == nil {
		return max(minBusy, time.Duration(seconds)*time.Second), true
	}
	at, err := http.ParseTime(value)
	return max(minBusy, at.Sub(now)), err == nil
}

// pause waits. It returns why the call ended meanwhile.
func (c *call) pause(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.in.Context().Done():
		return context.Cause(c.in.Context())
	case <-c.clock.done():
		return errTimeout
	}
}
