package page

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestIsNavigation(t *testing.T) {
	const chromium = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
	for name, tc := range map[string]struct {
		reason string
		method string
		header http.Header
		want   bool
	}{
		"browser":        {"an address typed into Chromium", "GET", http.Header{"Accept": {chromium}, "Sec-Fetch-Mode": {"navigate"}}, true},
		"only accept":    {"the first proposal's page request", "GET", http.Header{"Accept": {"text/html"}}, true},
		"head":           {"a link checker of pages", "HEAD", http.Header{"Accept": {"text/html"}}, true},
		"case":           {"media types have no case", "GET", http.Header{"Accept": {"Text/HTML"}}, true},
		"parameters":     {"a weight is no other type", "GET", http.Header{"Accept": {"application/json, text/html ; charset=utf-8;q=0.1"}}, true},
		"second header":  {"a list may come in several headers", "GET", http.Header{"Accept": {"application/json", "text/html"}}, true},
		"anything":       {"curl, SDKs and monitors", "GET", http.Header{"Accept": {"*/*"}}, false},
		"any text":       {"a range names no type", "GET", http.Header{"Accept": {"text/*"}}, false},
		"longer type":    {"never by substring", "GET", http.Header{"Accept": {"text/html-sandboxed"}}, false},
		"refused":        {"weight 0 refuses", "GET", http.Header{"Accept": {"text/html;q=0, application/json"}}, false},
		"refused long":   {"weight 0 has up to three decimals", "GET", http.Header{"Accept": {"text/html; Q=0.000"}}, false},
		"no accept":      {"a bare request", "GET", http.Header{}, false},
		"post":           {"a form: its body must reach the backend", "POST", http.Header{"Accept": {"text/html"}}, false},
		"fetch":          {"a script asks, nobody would see the page", "GET", http.Header{"Accept": {"text/html"}, "Sec-Fetch-Mode": {"cors"}}, false},
		"image":          {"part of a page", "GET", http.Header{"Accept": {"text/html"}, "Sec-Fetch-Mode": {"no-cors"}}, false},
		"xmlhttprequest": {"jQuery and htmx's elders", "GET", http.Header{"Accept": {"text/html"}, "X-Requested-With": {"XMLHttpRequest"}}, false},
		"app webview":    {"Android web views name their app in X-Requested-With", "GET", http.Header{"Accept": {"text/html"}, "X-Requested-With": {"org.example.app"}}, true},
		"upgrade":        {"a WebSocket", "GET", http.Header{"Accept": {"text/html"}, "Upgrade": {"websocket"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(tc.method, "/", nil)
			r.Header = tc.header
			if got := IsNavigation(r); got != tc.want {
				t.Errorf("%s: IsNavigation = %v, want %v", tc.reason, got, tc.want)
			}
		})
	}
}

func TestIsLive(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		method string
		header http.Header
		want   bool
	}{
		"document":      {"all browsers over TLS and on localhost", "GET", http.Header{"Sec-Fetch-Dest": {"document"}}, true},
		"upgrade":       {"all browsers in plain HTTP, where Sec-Fetch is not sent", "GET", http.Header{"Upgrade-Insecure-Requests": {"1"}}, true},
		"neither":       {"curl -H 'Accept: text/html' reads a finite page", "GET", http.Header{"Accept": {"text/html"}}, false},
		"other dest":    {"an image is no document", "GET", http.Header{"Sec-Fetch-Dest": {"image"}}, false},
		"upgrade zero":  {"only 1 says so", "GET", http.Header{"Upgrade-Insecure-Requests": {"0"}}, false},
		"head, no body": {"there is nothing to keep open", "HEAD", http.Header{"Sec-Fetch-Dest": {"document"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(tc.method, "/", nil)
			r.Header = tc.header
			if got := IsLive(r); got != tc.want {
				t.Errorf("%s: IsLive = %v, want %v", tc.reason, got, tc.want)
			}
		})
	}
}
