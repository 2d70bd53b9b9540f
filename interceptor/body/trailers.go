package body

import (
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// TrailerAllowed reports whether a field may be in trailers. By RFC 9110, 6.5.1, fields that
// frame, route or authenticate a message, or define how to read its content, may not. A recipient
// that merges trailers into the header would obey them. An underscore counts as a hyphen, as CGI
// and WSGI read it. name is canonical.
func TrailerAllowed(name string) bool {
	if strings.IndexByte(name, '_') >= 0 {
		name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
	}
	switch name {
	case "Content-Digest": // RFC 9530, 2
		return true
	case "Age", "Cookie", "Date", "Expires", "Forwarded", "Http2-Settings", "Location", "Retry-After", "Set-Cookie",
		"Upgrade", "Vary", "Via", "Warning", "X-Keda-Http-Cold-Start", "X-Real-Ip":
		return false
	}
	for _, prefix := range [...]string{"Content-", "Proxy-", "X-Forwarded-"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	return httpguts.ValidTrailerHeader(name)
}

// announced returns the trailers that a request has announced, without those that must not
// pass.
func announced(r *http.Request) (names []string) {
	for name := range r.Trailer {
		if TrailerAllowed(name) {
			names = append(names, name)
		} else {
			delete(r.Trailer, name)
		}
	}
	return names
}

// keepTrailers drops trailers that were not announced. net/http drops those of HTTP/2.
func (b *Body) keepTrailers() {
	for name := range b.request.Trailer {
		if !slices.Contains(b.trailers, name) {
			delete(b.request.Trailer, name)
		}
	}
}
