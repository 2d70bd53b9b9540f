package stream

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/kedacore/http-add-on/interceptor/accept"
)

// eventStream is the media type of server-sent events (WHATWG HTML, 9.2).
const eventStream = "text/event-stream"

// eligible reports whether the headers permit an answer before the backend's.
func eligible(r *http.Request) bool {
	if len(r.Header["Upgrade"]) != 0 || crossOrigin(r) || accept.GRPC(r.Header) {
		return false
	}
	for _, coding := range r.Header["Content-Encoding"] {
		if !strings.EqualFold(strings.TrimSpace(coding), "identity") {
			return false
		}
	}
	// Model Context Protocol: only its server knows whether it answers with a stream, with
	// JSON, or to a GET with 405, which means that it has none. A client without a session
	// sends no header of it.
	if strings.HasSuffix(strings.TrimRight(r.URL.Path, "/"), "/mcp") {
		return false
	}
	for name := range r.Header {
		if len(name) >= 4 && strings.EqualFold(name[:4], "Mcp-") {
			return false
		}
	}
	return true
}

// crossOrigin says that a browser sent the request for a page of another
// origin: only the backend knows its CORS headers, and without them the browser
// refuses our answer. Chat UIs of the same origin send Origin too.
func crossOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site != "same-origin" && site != "none"
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || !strings.EqualFold(u.Host, r.Host)
}
