package forward

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/kedacore/http-add-on/interceptor/exchange"
)

// outgoing makes the request that the backend gets from the one that the client
// sent. It shares the values of headers with it. The caller sets its body.
func outgoing(in *http.Request, x *exchange.Exchange) (*http.Request, error) {
	protocol := upgradeType(in.Header)
	if !printable(protocol) {
		return nil, fmt.Errorf("client tried to switch to invalid protocol %q", protocol)
	}
	for name := range in.Trailer {
		if !httpguts.ValidHeaderFieldName(name) {
			return nil, fmt.Errorf("client announced invalid trailer %q", name)
		}
	}
	if in.URL.Opaque != "" { // "GET http:a HTTP/1.1"
		return nil, fmt.Errorf("client sent the target %q, which has no path", in.RequestURI)
	}
	out := in.WithContext(in.Context())
	out.Close = false
	if out.Host == "" { // HTTP/1.0; else the address of a pod would be sent
		out.Host = x.Upstream.Target.ServerName
	}
	keepTarget(out)
	header := maps.Clone(in.Header)
	if header == nil {
		header = make(http.Header)
	}
	out.Header = header
	removeHopByHop(header)

	values := make([]string, 0, 6) // of all that is set here
	set := func(name, value string) {
		n := len(values)
		values = append(values, value)
		header[name] = values[n : n+1 : n+1]
	}
	if httpguts.HeaderValuesContainsToken(in.Header["Te"], "trailers") {
		set("Te", "trailers")
	}
	if protocol != "" {
		set("Connection", "Upgrade")
		set("Upgrade", protocol)
	}
	if header["User-Agent"] == nil {
		set("User-Agent", "") // else net/http sends its own
	}
	// Tell the backend who asked, and for what. Earlier proxies know better: what
	// they sent stays, even if the client names it in Connection, and we add
	// ourselves to the list.
	for _, name := range [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if sent := in.Header[name]; len(sent) > 0 {
			header[name] = sent
		}
	}
	if header["X-Forwarded-Host"] == nil && in.Host != "" {
		set("X-Forwarded-Host", in.Host)
	}
	if header["X-Forwarded-Proto"] == nil {
		if in.TLS != nil {
			set("X-Forwarded-Proto", "https")
		} else {
			set("X-Forwarded-Proto", "http")
		}
	}
	if ip, _, err := net.SplitHostPort(in.RemoteAddr); err == nil {
		if earlier := header["X-Forwarded-For"]; len(earlier) > 0 {
			ip = strings.Join(earlier, ", ") + ", " + ip
		}
		set("X-Forwarded-For", ip)
	}
	spellWebSocket(header)
	return out, nil
}

// removeHopByHop removes what is for the next hop only (RFC 9110, 7.6.1). It also removes what
// older implementations take for that without a declaration.
func removeHopByHop(header http.Header) {
	for _, names := range header["Connection"] {
		for name := range strings.SplitSeq(names, ",") {
			if name = textproto.TrimString(name); name != "" {
				header.Del(name)
			}
		}
	}
	for _, name := range [...]string{
		"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade",
	} {
		delete(header, name)
	}
}

// webSocketHeaders are names of RFC 6455, 11.3, as net/http and as the RFC spell them.
var webSocketHeaders = [...]struct{ canonical, spelled string }{
	{"Sec-Websocket-Accept", "Sec-WebSocket-Accept"},
	{"Sec-Websocket-Extensions", "Sec-WebSocket-Extensions"},
	{"Sec-Websocket-Key", "Sec-WebSocket-Key"},
	{"Sec-Websocket-Protocol", "Sec-WebSocket-Protocol"},
	{"Sec-Websocket-Version", "Sec-WebSocket-Version"},
}

// spellWebSocket spells the headers of a WebSocket as the RFC does: some peers compare names
// with case.
func spellWebSocket(header http.Header) {
	for _, name := range webSocketHeaders {
		if values, ok := header[name.canonical]; ok {
			delete(header, name.canonical)
			header[name.spelled] = values
		}
	}
}

// upgradeType returns the protocol that a message switches to, "" if none.
func upgradeType(header http.Header) string {
	if !httpguts.HeaderValuesContainsToken(header["Connection"], "Upgrade") {
		return ""
	}
	return header.Get("Upgrade")
}

// printable reports whether a protocol is printable ASCII.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// keepTarget makes net/http send the path and the query as the client wrote them. net/http
// encodes a path again if it has a character which RFC 3986 does not allow, such as "|" or raw
// UTF-8. A %2F in it becomes a slash then.
//
// keepTarget encodes only a space, which would end the request target of HTTP/1.1. HTTP/2 lets it
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
		// By default net/http would send the path as a host. Of an address it sends the path by
		// HTTP/2, and all of it by HTTP/1.1, which is the same (RFC 9112, 3.2.2).
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
