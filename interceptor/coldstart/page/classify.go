package page

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/kedacore/http-add-on/interceptor/accept"
)

// IsNavigation reports whether r is a browser navigation: a person who opened an address, for
// whom a page is better than silence. It is a GET or HEAD, without Upgrade and body, and not by a
// script or a program. Accept names text/html, and nothing more gladly or before it. A bare */* does not
// count: curl, SDKs and health checks send it.
func IsNavigation(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		r.ContentLength == 0 && r.Header.Get("Upgrade") == "" && prefersHTML(r.Header) && !byScript(r) && !byLibrary(r.Header)
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
	return fromJDK(header) && !fromBrowser(header) || strings.EqualFold(header.Get("Sec-Fetch-Dest"), "object")
}

// jdkAccepts are the default Accept of the JDK's HttpURLConnection, without spaces: of versions
// before 21, and from then on. Applications set another User-Agent, and keep it.
var jdkAccepts = [...]string{"text/html,image/gif,image/jpeg,*;q=.2,*/*;q=.2", "text/html,image/gif,image/jpeg,*/*;q=0.2"}

func fromJDK(header http.Header) bool {
	return strings.HasPrefix(header.Get("User-Agent"), "Java/") ||
		slices.Contains(jdkAccepts[:], strings.ReplaceAll(header.Get("Accept"), " ", ""))
}

// browserSchemes are the schemes of Authorization that browsers know (HTML leaves them to the
// user agent; these are Chromium's and Firefox's).
var browserSchemes = [...]string{"basic", "digest", "negotiate", "ntlm"}

// authorizedByProgram reports whether a request is authorized as no browser does it.
func authorizedByProgram(header http.Header) bool {
	scheme, _, _ := strings.Cut(strings.TrimSpace(header.Get("Authorization")), " ")
	return scheme != "" && !slices.Contains(browserSchemes[:], strings.ToLower(scheme)) || header["X-Api-Key"] != nil
}

// ScriptHeaders come from libraries that fetch a page, Accept: text/html and all. They put it or
// a part of it into the open page.
var ScriptHeaders = [...]string{
	"Turbo-Frame", "X-Turbo-Request-Id", // Turbo
	"Turbolinks-Referrer", // Turbolinks
	"X-Pjax",              // jquery-pjax
	"X-Up-Version",        // Unpoly
	"Hx-Request",          // htmx
	"X-Ic-Request",        // intercooler
	"Fx-Request",          // fixi
	"X-Barba",             // Barba
	"Datastar-Request",    // Datastar
	"X-Alpine-Request",    // Alpine AJAX
	"X-Spf-Request",       // SPF
	"X-Fetch",             // Unicorn
	"X-Inertia",           // Inertia
	"X-Livewire-Navigate", // Livewire
	"Faces-Request",       // JSF
	"Paos",                // SAML
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
	// Browsers send Origin with forms and by scripts. A proxy that signs people in may add a token,
	// but behind it the navigation keeps the fields above.
	if r.Header["Origin"] != nil || authorizedByProgram(r.Header) {
		return true
	}
	referer, err := url.Parse(r.Header.Get("Referer"))
	return err == nil && referer.Host != "" && strings.EqualFold(referer.Host, r.Host)
}

// fromOtherSite reports whether another site led the browser here.
func fromOtherSite(header http.Header) bool {
	return strings.EqualFold(header.Get("Sec-Fetch-Site"), "cross-site")
}

// prefersHTML reports whether a client names text/html, and accepts nothing more gladly than it.
// Of types with the same weight, the client prefers the first. XHTML is HTML: old browsers prefer
// it, and XML to both. No browser accepts a stream of events where it wants a page.
func prefersHTML(header http.Header) bool {
	var html, xhtml, other, most float64
	first := ""
	for name, weight := range accept.Ranges(header) {
		if weight > most && !strings.Contains(name, "*") {
			most, first = weight, name
		}
		switch name {
		case "text/html":
			html = max(html, weight)
		case "application/xhtml+xml":
			xhtml = max(xhtml, weight)
		case "text/event-stream":
			if weight > 0 {
				return false
			}
		default:
			other = max(other, weight)
		}
	}
	switch first {
	case "text/html", "application/xhtml+xml", "application/xml":
		return html > 0 && max(html, xhtml) >= other
	}
	return false
}
