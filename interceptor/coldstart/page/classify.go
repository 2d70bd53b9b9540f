package page

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/kedacore/http-add-on/interceptor/accept"
)

// IsNavigation reports whether r is a browser navigation: a person who opened an address, for
// whom a page is better than silence. It is a GET or HEAD, without Upgrade, and not by a script.
// Accept names text/html and prefers nothing to it. A bare */* does not count: curl, SDKs and
// health checks send it.
func IsNavigation(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		r.Header.Get("Upgrade") == "" && prefersHTML(r.Header) && !byScript(r) && !byLibrary(r.Header)
}

// IsForm reports whether r is a form that a browser submits. It waits like any other
// request, but a person reads its failure. Only a browser that says it is one counts:
// the HTTP client of the JDK names text/html in the Accept of every request.
func IsForm(r *http.Request) bool {
	return r.Method == http.MethodPost && fromBrowser(r.Header) && prefersHTML(r.Header) && !byScript(r)
}

// fromBrowser reports whether a navigation is a browser's. Upgrade-Insecure-Requests is
// sent with every navigation, Sec-Fetch-Dest only over TLS and to localhost.
func fromBrowser(header http.Header) bool {
	return strings.EqualFold(header.Get("Sec-Fetch-Dest"), "document") ||
		strings.TrimSpace(header.Get("Upgrade-Insecure-Requests")) == "1"
}

// byLibrary reports whether no person is behind an apparent navigation. The HTTP client of the
// JDK names text/html in the Accept of every request. An <object> does not show a page with an
// error status either: it shows its fallback, forever.
func byLibrary(header http.Header) bool {
	return strings.HasPrefix(header.Get("User-Agent"), "Java/") && !fromBrowser(header) ||
		strings.EqualFold(header.Get("Sec-Fetch-Dest"), "object")
}

// ScriptHeaders come from libraries that fetch a page, Accept: text/html and all. They put it or
// a part of it into the open page.
var ScriptHeaders = [...]string{
	"Turbo-Frame", "X-Turbo-Request-Id", // Turbo
	"X-Pjax",       // jquery-pjax, and what speaks its protocol
	"X-Up-Version", // Unpoly
	"Hx-Request",   // htmx
	"X-Barba",      // Barba
}

// byScript reports whether a script makes a request. A browser declares that, except in plain
// HTTP; some libraries do. All browsers send Upgrade-Insecure-Requests with a navigation. So a
// request with a Referer of the same host, but without that field, is by a script too.
func byScript(r *http.Request) bool {
	for _, name := range ScriptHeaders {
		if r.Header[name] != nil {
			return true
		}
	}
	// jQuery, swup and others. A web view of Android names its application here, such as
	// org.example.app.
	if with := r.Header.Get("X-Requested-With"); with != "" && !strings.Contains(with, ".") {
		return true
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return !strings.EqualFold(mode, "navigate")
	}
	if r.Header["Upgrade-Insecure-Requests"] != nil {
		return false
	}
	referer, err := url.Parse(r.Header.Get("Referer"))
	return err == nil && referer.Host != "" && strings.EqualFold(referer.Host, r.Host)
}

// fromOtherSite reports whether another site led the browser here.
func fromOtherSite(header http.Header) bool {
	return strings.EqualFold(header.Get("Sec-Fetch-Site"), "cross-site")
}

// prefersHTML reports whether a client names text/html, and accepts nothing more gladly than
// it. XHTML is HTML: old browsers prefer it.
func prefersHTML(header http.Header) bool {
	var html, xhtml, other float64
	for name, weight := range accept.Ranges(header) {
		switch name {
		case "text/html":
			html = max(html, weight)
		case "application/xhtml+xml":
			xhtml = max(xhtml, weight)
		default:
			other = max(other, weight)
		}
	}
	return html > 0 && max(html, xhtml) >= other
}
