package forward

import (
	"bufio"
	"net/http"
	"strings"
)

// keepTarget makes net/http send the path and the query as the client wrote them. It
// encodes a path anew that has a character which RFC 3986 does not allow there, such as
// "|" or raw UTF-8, and what was %2F in it is a slash then.
//
// Only a space is encoded: it would end the request target of HTTP/1.1. HTTP/2 lets it
// pass.
func keepTarget(out *http.Request) {
	raw := out.URL.RawPath // set if net/url would have written it otherwise
	kept := raw == "" || raw == out.URL.EscapedPath()
	if kept && !strings.Contains(out.URL.RawQuery, " ") {
		return
	}
	url := *out.URL
	url.RawQuery = encodeSpaces(url.RawQuery)
	out.URL = &url
	if kept {
		return
	}
	url.Opaque = encodeSpaces(raw)
	if strings.HasPrefix(raw, "//") {
		// On its own net/http would send the path as a host. Of an address it sends the path
		// by HTTP/2, and all of it by HTTP/1.1, which is the same (RFC 9112, 3.2.2).
		url.Opaque = "//" + out.Host + url.Opaque
	}
}

func encodeSpaces(s string) string { return strings.ReplaceAll(s, " ", "%20") }

// writeRequest writes a request with net/http, but a path that keepTarget made an address
// of as it came.
func writeRequest(w *bufio.Writer, r *http.Request) error {
	target, ok := strings.CutPrefix(r.URL.Opaque, "//"+r.Host)
	if !ok {
		return r.Write(w)
	}
	if r.URL.ForceQuery || r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	return r.Write(&requestLine{Writer: w, line: r.Method + " " + target + " HTTP/1.1\r\n"})
}

// requestLine writes a request line in place of the first write, which is the whole line of
// net/http.
type requestLine struct {
	*bufio.Writer
	line string
}

func (w *requestLine) Write(p []byte) (int, error) {
	if w.line == "" {
		return w.Writer.Write(p)
	}
	if _, err := w.WriteString(w.line); err != nil {
		return 0, err
	}
	w.line = ""
	return len(p), nil
}
