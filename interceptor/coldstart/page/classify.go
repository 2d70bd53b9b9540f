package page

import (
	"net/http"
	"strings"
)

// IsNavigation reports whether r is a browser navigation: a person who opened
// an address, for whom a page is better than silence. GET or HEAD; Accept names
// text/html (a bare */* does not count: curl, SDKs and health checks send it);
// Sec-Fetch-Mode absent or navigate; no Upgrade; no X-Requested-With:
// XMLHttpRequest.
func IsNavigation(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" && !strings.EqualFold(mode, "navigate") {
		return false
	}
	return r.Header.Get("Upgrade") == "" &&
		!strings.EqualFold(r.Header.Get("X-Requested-With"), "XMLHttpRequest") &&
		acceptsHTML(r.Header)
}

// IsLive reports whether a navigation says of itself that it is a browser, by
// Sec-Fetch-Dest: document or Upgrade-Insecure-Requests: 1, and so gets the
// live page. Monitors, tests and curl with an Accept header say neither; they
// read a finite page. It is asked only of what IsNavigation has accepted.
func IsLive(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	return strings.EqualFold(r.Header.Get("Sec-Fetch-Dest"), "document") ||
		strings.TrimSpace(r.Header.Get("Upgrade-Insecure-Requests")) == "1"
}

// acceptsHTML reports whether an Accept header names text/html without
// refusing it (q=0; RFC 9110, section 12.4.2).
func acceptsHTML(header http.Header) bool {
	for _, value := range header.Values("Accept") {
		for element := range strings.SplitSeq(value, ",") {
			mediaType, parameters, _ := strings.Cut(element, ";")
			if strings.EqualFold(strings.TrimSpace(mediaType), "text/html") && !refused(parameters) {
				return true
			}
		}
	}
	return false
}

// refused reports whether the parameters of an Accept element carry weight 0.
func refused(parameters string) bool {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(parameter, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			return strings.Trim(strings.TrimSpace(value), "0.") == ""
		}
	}
	return false
}
