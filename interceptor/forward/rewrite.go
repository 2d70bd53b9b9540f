package forward

import (
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
)

// rewrite makes the request that the backend gets from the one that the client
// sent. net/http's proxy has removed the hop-by-hop headers by now, and keeps
// "TE: trailers" and upgrades. The address is set per attempt to connect.
func rewrite(p *httputil.ProxyRequest) {
	x := p.In.Context().(*call).x
	out := p.Out

	out.URL.Scheme = "http"
	if x.TLS {
		out.URL.Scheme = "https"
	}
	// The proxy removes what Go cannot parse, which guards proxies that decide by
	// the query. We do not look at it, and a backend may split at ";" or take a
	// bare "%".
	out.URL.RawQuery = p.In.URL.RawQuery
	if out.Host == "" { // HTTP/1.0; else the address of a pod would be sent
		out.Host = x.Upstream.Target.ServerName
	}
	// The clone that the proxy made would stay empty: values arrive with the end
	// of the body, in the map of the original request.
	out.Trailer = p.In.Trailer

	forwarded(out.Header, p.In)
	x.Trace.Inject(out.Header)
}

// forwarded tells the backend who asked, and for what. Earlier proxies know
// better: what they said stays, and we add ourselves to the list.
func forwarded(out http.Header, in *http.Request) {
	for _, name := range [...]string{"Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values := in.Header[name]; len(values) > 0 {
			out[name] = values
		}
	}
	if out["X-Forwarded-Host"] == nil && in.Host != "" {
		out["X-Forwarded-Host"] = []string{in.Host}
	}
	if out["X-Forwarded-Proto"] == nil {
		proto := "http"
		if in.TLS != nil {
			proto = "https"
		}
		out["X-Forwarded-Proto"] = []string{proto}
	}
	prior := in.Header["X-Forwarded-For"]
	switch ip, _, err := net.SplitHostPort(in.RemoteAddr); {
	case err != nil && len(prior) > 0:
		out["X-Forwarded-For"] = prior
	case err == nil && len(prior) > 0:
		out["X-Forwarded-For"] = []string{strings.Join(prior, ", ") + ", " + ip}
	case err == nil:
		out["X-Forwarded-For"] = []string{ip}
	}
}
