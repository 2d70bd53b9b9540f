package app

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/kedacore/http-add-on/pkg/routing"
)

// welcome describes what to try: a line or two for each route that is served, and why another one
// is not.
func welcome(routes []served, proxyPort, adminPort string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nWhat to try, also at http://localhost:%s/:\n", proxyPort)
	for i := range routes {
		s := &routes[i]
		if len(s.broken) > 0 {
			fmt.Fprintf(&b, "\n  %s is not served\n    %s\n", s.name(), strings.Join(s.broken, "\n    "))
			continue
		}
		fmt.Fprintf(&b, "\n  %s\n", s.name())
		fmt.Fprintf(&b, "    %s\n", strings.ReplaceAll(invitation(s, proxyPort).String(), "\n", "\n    "))
	}
	if len(routes) == 0 {
		b.WriteString("\n  There is no route yet: add one to the manifests, they are watched.\n")
	}
	fmt.Fprintf(&b, "\n  the demand of all routes\n    curl http://localhost:%s/queue\n\n", adminPort)
	return b.String()
}

// attempt is something to try: an address for a browser or a command for a shell.
type attempt struct{ Address, Command string }

// String returns it as a line for people, a command as it is.
func (a attempt) String() string {
	if a.Address != "" {
		return "open " + a.Address + " in a browser"
	}
	return a.Command
}

// invitation is how to see a route's cold start.
func invitation(s *served, port string) attempt {
	rule := s.example
	host, path := s.host, "/"
	if len(rule.Paths) > 0 {
		path = (&url.URL{Path: "/" + strings.Trim(rule.Paths[0], "/")}).EscapedPath()
	}
	// *.localhost is this machine for browsers and curl; other names need a header.
	base, options := "http://"+host+":"+port, ""
	local := host == "localhost" || strings.HasSuffix(host, ".localhost")
	if !local {
		base, options = "http://localhost:"+port, " -H "+quoted("Host: "+host)
	}
	if len(rule.Methods) > 0 && !slices.Contains(rule.Methods, http.MethodGet) {
		options += " -X " + quoted(rule.Methods[0])
	}
	for _, h := range rule.Headers {
		value := ""
		switch {
		case h.Test == routing.Absent:
			continue
		case h.Value != nil:
			value = *h.Value
		}
		options += " -H " + quoted(h.Name+": "+value)
	}
	coldStart := s.route.Spec.ColdStart
	switch {
	case coldStart != nil && coldStart.StreamingCallback != nil:
		path = strings.TrimSuffix(strings.TrimSuffix(path, "/"), "/v1") + "/v1/chat/completions"
		return attempt{Command: "curl -N" + options + " " + quoted(base+path) + " -H 'Content-Type: application/json' \\\n" +
			`  -d '{"model":"` + s.route.Name + `","stream":true,"messages":[{"role":"user","content":"Hello"}]}'`}
	case coldStart != nil && coldStart.WaitingPage != nil && local && len(rule.Headers) == 0:
		return attempt{Address: base + path}
	}
	return attempt{Command: "curl -i" + options + " " + quoted(base+path)}
}

// quoted returns a word as a shell reads it.
func quoted(word string) string {
	plain := func(r rune) bool {
		return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || strings.ContainsRune("/:.-_~%", r)
	}
	if !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
