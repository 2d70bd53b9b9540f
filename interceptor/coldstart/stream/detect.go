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
	if len(r.Header["Upgrade"]) != 0 || crossOrigin(r) || accept.GRPC(r.Header) || accept.Connect(r) || respondAsync(r.Header) {
		return false
	}
	for _, coding := range r.Header["Content-Encoding"] {
		if !strings.EqualFold(strings.TrimSpace(coding), "identity") {
			return false
		}
	}
	return !modelContext(r)
}

// respondAsync reports whether a client asks for an answer that only names the place of the
// result (RFC 7240, section 4.1). That is a 202 with a Location, which a stream cannot give.
func respondAsync(header http.Header) bool {
	for _, value := range header["Prefer"] {
		for preference := range strings.SplitSeq(value, ",") {
			preference, _, _ = strings.Cut(preference, ";")
			if strings.EqualFold(strings.TrimSpace(preference), "respond-async") {
				return true
			}
		}
	}
	return false
}

// modelContext reports whether a request is one of the Model Context Protocol. Only its server
// knows how it answers. It may send a stream or JSON. It may answer a GET with 405, which means
// that it has no stream, or with 401, after which its clients sign in. A client without a session
// sends no header of it. The older transport begins with a GET, by default of /sse. Case does not
// count: some servers ignore it, and silence harms none of the others.
func modelContext(r *http.Request) bool {
	asked := strings.ToLower(strings.TrimRight(r.URL.Path, "/"))
	if strings.HasSuffix(asked, "/mcp") ||
		r.Method == http.MethodGet && (strings.HasSuffix(asked, "/sse") || strings.Contains(asked, "/mcp/")) {
		return true
	}
	for name := range r.Header {
		if len(name) >= 4 && strings.EqualFold(name[:4], "Mcp-") {
			return true
		}
	}
	return false
}

// crossOrigin reports whether a browser sent the request for a page of another origin. Only the
// backend knows its CORS headers, and without them the browser refuses our answer. Chat UIs of
// the same origin send Origin too.
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
