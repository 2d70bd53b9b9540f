// Package page renders what a browser sees while a backend wakes. That is a waiting page that
// turns into the application when an endpoint is ready, and an error page of the same look. It is
// an encoder: it writes bytes and headers and knows neither routes, endpoints nor API types. Its
// caller decides who gets a page, and until when.
//
// A page stays under 8 KiB. It is under 2.3 KiB without title and message. Escaping makes at most
// four bytes of one character of the longest message (1024). It makes at most five of a title's
// (128), which the page has twice. A live page grows by its script, its elapsed times and its
// last piece, about 1.3 KiB. That fits beside the longest message and a title of ordinary length.
//
// A script asks again, because a refresh does not reload a document whose address has a fragment.
// Without scripts, a refresh that names the address without the fragment asks again. Other
// clients have the header Refresh (ADR 6).
//
// A page may be the user's own: a template of package waitingpage. It is served the same way,
// under another policy.
package page

import (
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kedacore/http-add-on/interceptor/coldstart/eta"
)

// Defaults of a waiting page. They live here and not only in the CRD's schema: an API
// server does not default converted and standalone objects.
const (
	DefaultTitle           = "Starting…"
	DefaultMessage         = "The application is starting."
	DefaultRefreshInterval = 5 * time.Second
	DefaultStatusCode      = http.StatusServiceUnavailable
)

const (
	maxMessage      = 1024
	maxTitle        = 128
	maxAddress      = 256 // that a refresh names, in bytes: a page is small
	refreshAtLeast  = time.Second
	slack           = 5 * time.Second // of a browser's timer, and its way here
	contentTypeHTML = "text/html; charset=utf-8"
)

// Page is the waiting page of one route, rendered as far as it does not change.
// It is immutable and safe for concurrent use.
type Page struct {
	frame *frame
	// own is the built-in page's own part, between the frame's head and message.
	own     []byte
	message eta.Text
	// template is the user's page; nil is the built-in one.
	template *custom
	// title and words are what the template may show.
	title string
	words eta.Text
	// status that the page is answered with.
	status int
	// refresh is the number of whole seconds after which a browser asks again.
	refresh int
	// finite and holdCrossSite are those of Options.
	finite, holdCrossSite bool
}

// Options describe a waiting page. Zero values select the defaults.
type Options struct {
	Title, Message  string
	RefreshInterval time.Duration
	StatusCode      int
	// Finite gives browsers a page that is complete and asks again each
	// RefreshInterval, in place of one that stays open.
	Finite bool
	// HoldCrossSite holds a navigation that comes from another site.
	HoldCrossSite bool
}

// Answer is what a cold request gets of a page.
type Answer uint8

const (
	// AnswerNone is for requests that are not navigations, or whose route has no page.
	AnswerNone Answer = iota
	// AnswerHold makes a navigation wait for the application.
	AnswerHold
	// AnswerFinite is a page that is complete.
	AnswerFinite
	// AnswerLive is a page that stays open until the application is ready.
	AnswerLive
)

// For returns what a cold request gets of the page of its route, which may be nil. A navigation
// gets the live page only if the client declares that it is a browser. Monitors, tests and curl
// with an Accept header read a finite page.
func (p *Page) For(r *http.Request) Answer {
	switch {
	case p == nil || !IsNavigation(r):
		return AnswerNone
	case p.holdCrossSite && fromOtherSite(r.Header):
		return AnswerHold
	case p.finite || r.Method != http.MethodGet || !fromBrowser(r.Header):
		return AnswerFinite
	}
	return AnswerLive
}

// ComesBack is the time within which a browser has asked again that got this page, or the
// error page after it.
func (p *Page) ComesBack() time.Duration {
	return max(time.Duration(p.refresh)*time.Second, retry) + slack
}

// Compile checks options and renders the page. The error names the field.
func Compile(o Options) (*Page, error) {
	refresh := o.RefreshInterval
	switch {
	case refresh == 0:
		refresh = DefaultRefreshInterval
	case refresh < refreshAtLeast:
		return nil, fmt.Errorf("waitingPage.refreshInterval must be at least %v", refreshAtLeast)
	}
	status := o.StatusCode
	if status == 0 {
		status = DefaultStatusCode
	}
	if !carriesPage(status) {
		return nil, fmt.Errorf("waitingPage.statusCode %d cannot carry a page", status)
	}
	if utf8.RuneCountInString(o.Message) > maxMessage {
		return nil, fmt.Errorf("waitingPage.message must have at most %d characters", maxMessage)
	}
	if utf8.RuneCountInString(o.Title) > maxTitle {
		return nil, fmt.Errorf("waitingPage.title must have at most %d characters", maxTitle)
	}
	f, err := shared()
	if err != nil {
		return nil, err
	}
	title, message := o.Title, o.Message
	if title == "" {
		title = DefaultTitle
	}
	if message == "" {
		message = DefaultMessage
	}
	own, err := f.render(view{Title: title, Busy: true})
	if err != nil {
		return nil, err
	}
	return &Page{
		frame:   f,
		own:     own,
		message: eta.ParseText(message, escape),
		title:   title,
		words:   eta.ParseText(message, func(s string) string { return s }),
		status:  status,
		refresh: wholeSeconds(refresh),
		finite:  o.Finite, holdCrossSite: o.HoldCrossSite,
	}, nil
}

// ServeFinite answers with the whole page and its length. It is for clients that do not declare
// that they are browsers, and for browsers over the cap. now is how far the wake is.
func (p *Page) ServeFinite(w http.ResponseWriter, r *http.Request, now eta.Progress) error {
	body, own := p.begin(r, now)
	if !own {
		body = append(body, again...)
		body = append(body, p.frame.closing...)
	}
	p.setHeader(w.Header(), r, now, own)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.status)
	if r.Method == http.MethodHead {
		return nil
	}
	return write(w, body)
}

// begin returns the current page. Of the built-in page, that is the part up to and with its first
// elapsed time. own reports whether it is the user's page.
func (p *Page) begin(r *http.Request, now eta.Progress) (body []byte, own bool) {
	if p.template != nil {
		if body, ok := p.template.render(p, now); ok {
			return append(append(body, meta(r, p.refresh)...), p.frame.scriptFor(r, p.refresh)...), true
		}
	}
	body = append(body, p.frame.head...)
	body = append(body, meta(r, p.refresh)...)
	body = append(body, p.own...)
	body = p.message.Append(body, now)
	body = append(body, "</p>"...)
	if about := now.EstimateText(); about != "" && !p.message.ShowsEstimate() {
		before := "Usually ready in about "
		if now.Overdue() {
			before = "Taking longer than the usual "
		}
		body = append(body, "<small>"+before+about+".</small>"...)
	}
	body = append(body, "</div>"...)
	body = append(body, p.frame.scriptFor(r, p.refresh)...)
	body = append(body, p.frame.timer...)
	return append(body, p.clock(now)...), false
}

// setHeader sets the headers that the finite and the live page have in common.
func (p *Page) setHeader(h http.Header, r *http.Request, now eta.Progress, own bool) {
	policy := p.frame.policy
	if own {
		policy = p.template.policy
	}
	setHeader(h, r, policy, p.refresh)
	retry := now.RetryAfter(time.Duration(p.refresh) * time.Second)
	h.Set("Retry-After", strconv.Itoa(wholeSeconds(retry)))
}

// setHeader sets the headers of every page. The client asks again after refresh seconds;
// 0 means never.
func setHeader(h http.Header, r *http.Request, policy string, refresh int) {
	h.Set("Content-Type", contentTypeHTML)
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "no-store")
	// The same URL answers other clients differently.
	h.Set("Vary", "Accept")
	if refresh > 0 && !fromBrowser(r.Header) {
		h.Set("Refresh", strconv.Itoa(refresh))
	}
}

// meta returns the refresh in markup. A browser that runs scripts ignores it. There the script
// does the work, and a timed refresh counts against the page's accessibility (WCAG 2.2.1).
func meta(r *http.Request, refresh int) string {
	switch {
	case refresh <= 0:
		return ""
	case fromBrowser(r.Header):
		return refreshTo(r, refresh)
	}
	return `<meta http-equiv="refresh" content="` + strconv.Itoa(refresh) + `">`
}

// refreshTo is a refresh for browsers that run no scripts. It names the address without
// its fragment: Chromium does not reload the address of a document that has one.
func refreshTo(r *http.Request, refresh int) string {
	address := escapedPath(r.URL)
	if address == "" || address[0] != '/' {
		address = "/" + address
	}
	if strings.HasPrefix(address, "//") {
		address = "/." + address // else it names another host (RFC 3986, 4.2)
	}
	if r.URL.RawQuery != "" {
		address += "?" + r.URL.RawQuery
	}
	content := strconv.Itoa(refresh)
	if len(address) <= maxAddress {
		content += ";url=" + template.HTMLEscapeString(address)
	}
	return `<noscript><meta http-equiv="refresh" content="` + content + `"></noscript>`
}

// escapedPath returns a path as it came, except that it encodes what RFC 3986 does not allow.
// URL.EscapedPath would encode all of such a path again, and turn a %2F in it into a slash.
func escapedPath(u *url.URL) string {
	if u.RawPath == "" {
		return u.EscapedPath()
	}
	var b strings.Builder
	for i := range len(u.RawPath) {
		switch c := u.RawPath[i]; {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', strings.IndexByte("-._~!$&'()*+,;=:@/%", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// scriptFor is the script of the page in a browser. The seconds are an attribute, so that
// all pages share one text and its hash.
func (f *frame) scriptFor(r *http.Request, refresh int) string {
	if !fromBrowser(r.Header) {
		return ""
	}
	return `<script data-n="` + strconv.Itoa(refresh) + `">` + f.script + `</script>`
}

// write writes a part.
func write(w http.ResponseWriter, part []byte) error {
	if _, err := w.Write(part); err != nil {
		return fmt.Errorf("writing the page: %w", err)
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
