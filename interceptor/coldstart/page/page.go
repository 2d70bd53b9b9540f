// Package page is what a browser sees while a backend wakes: a waiting page
// that turns into the application the moment an endpoint is ready, and the
// error page of the same look. It writes bytes and headers; it knows neither
// routes nor endpoints nor what an exchange is, and it decides nothing: who
// gets a page, and until when, is its caller's business.
//
// A page stays under 8 KiB: it is under 1.8 KiB without title and message, and
// escaping makes at most five bytes of one rune (a four-byte rune is not
// escaped), so that the longest message (1024 runes) and the longest title (128
// runes, written twice) add at most 6400 bytes. A live page grows by its safety
// net and its elapsed times, about 450 bytes, which fits beside the longest
// message and a title of ordinary length.
package page

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/kedacore/http-add-on/operator/apis/http/v1beta1"
)

// What a waiting page shows and does when its spec does not say. They live
// here and not only in the CRD's schema: objects that are converted or read from
// files never passed an API server.
const (
	DefaultTitle           = "Starting…"
	DefaultMessage         = "The application is starting."
	DefaultRefreshInterval = 5 * time.Second
	DefaultStatusCode      = http.StatusServiceUnavailable
)

const (
	maxMessage      = 1024
	maxTitle        = 128
	refreshAtLeast  = time.Second
	contentTypeHTML = "text/html; charset=utf-8"
)

// Page is the waiting page of one route, rendered. It is immutable and safe
// for concurrent use.
type Page struct {
	frame *frame
	// own is the page's own part, between the frame's head and tail.
	own []byte
	// status that the page is answered with.
	status int
	// refresh is the number of whole seconds after which a browser asks again.
	refresh string
	// length of the finite page.
	length string
}

// Compile renders the page of spec; nil means all defaults. It refuses what no
// page can be made of; the message names the field.
func Compile(spec *v1beta1.WaitingPageSpec) (*Page, error) {
	if spec == nil {
		spec = &v1beta1.WaitingPageSpec{}
	}
	refresh := spec.RefreshInterval.Duration
	switch {
	case refresh == 0:
		refresh = DefaultRefreshInterval
	case refresh < refreshAtLeast:
		return nil, fmt.Errorf("waitingPage.refreshInterval must be at least %v", refreshAtLeast)
	}
	status := int(spec.StatusCode)
	if status == 0 {
		status = DefaultStatusCode
	}
	if !carriesPage(status) {
		return nil, fmt.Errorf("waitingPage.statusCode %d cannot carry a page", status)
	}
	if utf8.RuneCountInString(spec.Message) > maxMessage {
		return nil, fmt.Errorf("waitingPage.message must have at most %d characters", maxMessage)
	}
	if utf8.RuneCountInString(spec.Title) > maxTitle {
		return nil, fmt.Errorf("waitingPage.title must have at most %d characters", maxTitle)
	}
	f, err := shared()
	if err != nil {
		return nil, err
	}
	v := view{Title: spec.Title, Message: spec.Message, Refresh: wholeSeconds(refresh), Busy: true}
	if v.Title == "" {
		v.Title = DefaultTitle
	}
	if v.Message == "" {
		v.Message = DefaultMessage
	}
	own, err := f.render(v)
	if err != nil {
		return nil, err
	}
	return &Page{
		frame:   f,
		own:     own,
		status:  status,
		refresh: strconv.Itoa(v.Refresh),
		length:  strconv.Itoa(len(f.head) + len(own) + len(f.tail)),
	}, nil
}

// ServeFinite answers with the whole page and its length: for everybody who
// does not say that it is a browser, and for browsers over the cap. The browser
// comes back by the page's meta refresh.
func (p *Page) ServeFinite(w http.ResponseWriter, r *http.Request) error {
	p.setHeader(w.Header())
	w.Header().Set("Content-Length", p.length)
	w.WriteHeader(p.status)
	if r.Method == http.MethodHead {
		return nil
	}
	return write(w, p.frame.head, p.own, p.frame.tail)
}

// setHeader sets what the finite and the live page have in common.
func (p *Page) setHeader(h http.Header) {
	setHeader(h, p.frame)
	h.Set("Retry-After", p.refresh)
}

// setHeader sets what every page of ours carries.
func setHeader(h http.Header, f *frame) {
	h.Set("Content-Type", contentTypeHTML)
	h.Set("Content-Security-Policy", f.policy)
	h.Set("Cache-Control", "no-store")
	// The same URL answers other clients differently.
	h.Set("Vary", "Accept")
}

// write writes parts in order, up to the first failure.
func write(w http.ResponseWriter, parts ...[]byte) error {
	for _, part := range parts {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("writing the page: %w", err)
		}
	}
	return nil
}

// carriesPage reports whether a browser shows the body of a final response of
// this status (RFC 9110: 204, 205 and 304 have none).
func carriesPage(status int) bool {
	switch status {
	case http.StatusNoContent, http.StatusResetContent, http.StatusNotModified:
		return false
	}
	return status >= 200 && status <= 599
}

// wholeSeconds rounds up: Retry-After and meta refresh know only seconds, and
// an early retry is a wasted one.
func wholeSeconds(d time.Duration) int {
	return int((d + time.Second - 1) / time.Second)
}
