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
		"parameters":     {"a weight is no other type", "GET", http.Header{"Accept": {"text/html ; charset=utf-8;q=0.1"}}, true},
		"rather JSON":    {"an API's client that reads pages if it must", "GET", http.Header{"Accept": {"text/html;q=0.1, application/json"}}, false},
		"rather, fields": {"in several headers", "GET", http.Header{"Accept": {"text/html;q=0.8", "application/json;q=0.9"}}, false},
		"rather any":     {"a range is preferred, too", "GET", http.Header{"Accept": {"text/html;q=0.5, */*"}}, false},
		"HTML first":     {"of equal weights, the first is preferred", "GET", http.Header{"Accept": {"text/html, application/json"}}, true},
		"JSON first":     {"an API's client that reads pages, too", "GET", http.Header{"Accept": {"application/json, text/html"}}, false},
		"JSON+ first":    {"a type of JSON", "GET", http.Header{"Accept": {"application/ld+json, text/html, */*;q=0.1"}}, false},
		"feed first":     {"a feed reader that can find the feed in a page", "GET", http.Header{"Accept": {"application/rss+xml,text/html"}}, false},
		"fields first":   {"in several headers", "GET", http.Header{"Accept": {"application/json", "text/html"}}, false},
		"weight decides": {"the order decides only among equals", "GET", http.Header{"Accept": {"application/json;q=0.9, text/html"}}, true},
		"any before":     {"a range is no type", "GET", http.Header{"Accept": {"*/*, text/html"}}, true},
		"XML first":      {"old browsers can show it", "GET", http.Header{"Accept": {"application/xml, text/html"}}, true},
		"events":         {"Datastar reads events, pages and JSON", "GET", http.Header{"Accept": {"text/html, text/event-stream, application/json"}}, false},
		"events, less":   {"whatever the weight", "GET", http.Header{"Accept": {"text/html, text/event-stream;q=0.1"}}, false},
		"events refused": {"weight 0 names nothing", "GET", http.Header{"Accept": {"text/html, text/event-stream;q=0"}}, true},
		"JSON refused":   {"weight 0 of something else", "GET", http.Header{"Accept": {"application/json;q=0, text/html;q=0.1"}}, true},
		"old browser":    {"WebKit before 2011 preferred XHTML", "GET", http.Header{"Accept": {"application/xml,application/xhtml+xml,text/html;q=0.9,text/plain;q=0.8,image/png,*/*;q=0.5"}}, true},
		"rather XML":     {"a feed reader", "GET", http.Header{"Accept": {"application/xml, text/html;q=0.9"}}, false},
		"Firefox":        {"its usual header", "GET", http.Header{"Accept": {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}}, true},
		"XHTML only":     {"what the page is must be named", "GET", http.Header{"Accept": {"application/xhtml+xml, text/html;q=0"}}, false},
		"second header":  {"a list may come in several headers", "GET", http.Header{"Accept": {"application/json;q=0.5", "text/html"}}, true},
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
		"JDK":            {"its HTTP client asks for anything", "GET", http.Header{"Accept": {"text/html, image/gif, image/jpeg, */*; q=0.2"}, "User-Agent": {"Java/21.0.2"}}, false},
		"JDK, old":       {"before version 21, with the program's User-Agent", "GET", http.Header{"Accept": {"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"}, "User-Agent": {"my-app/1.0"}}, false},
		"JDK, new":       {"from version 21 on", "GET", http.Header{"Accept": {"text/html, image/gif, image/jpeg, */*; q=0.2"}, "User-Agent": {"Jersey/3.1 (HttpUrlConnection 21)"}}, false},
		"JDK, silent":    {"without a User-Agent", "HEAD", http.Header{"Accept": {"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"}}, false},
		"Konqueror":      {"its Accept resembles the JDK's", "GET", http.Header{"Accept": {"text/html, image/jpeg;q=0.9, image/png;q=0.9, text/*;q=0.9, image/*;q=0.9, */*;q=0.8"}}, true},
		"JavaFX":         {"a web view is a browser", "GET", http.Header{"Accept": {"text/html"}, "User-Agent": {"Java/21"}, "Upgrade-Insecure-Requests": {"1"}}, true},
		"object":         {"it shows its fallback", "GET", http.Header{"Accept": {chromium}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"object"}}, false},
		"iframe":         {"it shows the page", "GET", http.Header{"Accept": {chromium}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"iframe"}}, true},
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

// In plain HTTP browsers do not declare the purpose of a request. Each of these is a request of a
// library or a browser there; the last one of a group is the navigation beside it.
func TestScriptsInPlainHTTPAreNoNavigations(t *testing.T) {
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for name, tc := range map[string]struct {
		header http.Header
		want   bool
	}{
		"a frame of Turbo":            {http.Header{"Accept": {"text/html, application/xhtml+xml"}, "Turbo-Frame": {"messages"}}, false},
		"a visit of Turbo":            {http.Header{"Accept": {"text/html, application/xhtml+xml"}, "X-Turbo-Request-Id": {"5e9a"}}, false},
		"a stream of Turbo":           {http.Header{"Accept": {"text/vnd.turbo-stream.html, text/html, application/xhtml+xml"}, "X-Turbo-Request-Id": {"5e9a"}}, false},
		"jquery-pjax":                 {http.Header{"Accept": {"text/html, */*; q=0.01"}, "X-Pjax": {"true"}}, false},
		"Unpoly":                      {http.Header{"Accept": {"text/html"}, "X-Up-Version": {"3.10.2"}, "X-Up-Target": {".content"}}, false},
		"htmx":                        {http.Header{"Accept": {"text/html"}, "Hx-Request": {"true"}}, false},
		"htmx, boosted":               {http.Header{"Accept": {"text/html"}, "Hx-Request": {"true"}, "Hx-Boosted": {"true"}}, false},
		"an empty value counts":       {http.Header{"Accept": {"text/html"}, "Turbo-Frame": {""}}, false},
		"Barba":                       {http.Header{"Accept": {"text/html"}, "X-Barba": {"yes"}}, false},
		"swup":                        {http.Header{"Accept": {"text/html, application/xhtml+xml"}, "X-Requested-With": {"swup"}}, false},
		"Turbolinks":                  {http.Header{"Accept": {"text/html, application/xhtml+xml"}, "Turbolinks-Referrer": {"http://app.test/"}}, false},
		"SAML ECP":                    {http.Header{"Accept": {"text/html; application/vnd.paos+xml"}, "Paos": {`ver="urn:liberty:paos:2003-08"`}}, false},
		"JSF":                         {http.Header{"Accept": {"text/html"}, "Faces-Request": {"partial/ajax"}}, false},
		"Datastar":                    {http.Header{"Accept": {"text/html"}, "Datastar-Request": {"true"}}, false},
		"Alpine AJAX":                 {http.Header{"Accept": {"text/html"}, "X-Alpine-Request": {"true"}}, false},
		"SPF":                         {http.Header{"Accept": {"text/html"}, "X-Spf-Request": {"navigate"}}, false},
		"Unicorn":                     {http.Header{"Accept": {"text/html"}, "X-Fetch": {"true"}}, false},
		"fixi":                        {http.Header{"Accept": {"text/html"}, "Fx-Request": {"true"}}, false},
		"Inertia":                     {http.Header{"Accept": {"text/html, application/xhtml+xml"}, "X-Inertia": {"true"}}, false},
		"Turbo, and the browser says": {http.Header{"Accept": {browser}, "Turbo-Frame": {"a"}, "Sec-Fetch-Mode": {"navigate"}}, false},

		"a fetch":                       {http.Header{"Accept": {"text/html"}, "Referer": {"http://app.test/list?x=1"}}, false},
		"a fetch, the host in capitals": {http.Header{"Accept": {"text/html"}, "Referer": {"http://APP.test/"}}, false},
		"a fetch of another site":       {http.Header{"Accept": {"text/html, */*; q=0.01"}, "Origin": {"http://other.test"}}, false},
		"a fetch of the same site":      {http.Header{"Accept": {"text/html"}, "Origin": {"http://app.test"}}, false},
		"a fetch of a sandboxed frame":  {http.Header{"Accept": {"text/html"}, "Origin": {"null"}}, false},
		"a token":                       {http.Header{"Accept": {"text/html"}, "Authorization": {"Bearer a.b.c"}}, false},
		"a token of another kind":       {http.Header{"Accept": {"text/html"}, "Authorization": {"AWS4-HMAC-SHA256 Credential=a"}}, false},
		"a key":                         {http.Header{"Accept": {"text/html, */*"}, "X-Api-Key": {"a"}}, false},
		"a password":                    {http.Header{"Accept": {browser}, "Authorization": {"Basic YTpi"}}, true},
		"a ticket":                      {http.Header{"Accept": {browser}, "Authorization": {"Negotiate YII="}}, true},
		"a token that a proxy adds":     {http.Header{"Accept": {browser}, "Authorization": {"Bearer a.b.c"}, "Upgrade-Insecure-Requests": {"1"}}, true},
		"the same over TLS":             {http.Header{"Accept": {browser}, "Authorization": {"Bearer a.b.c"}, "Sec-Fetch-Mode": {"navigate"}}, true},
		"a link of the application":     {http.Header{"Accept": {browser}, "Referer": {"http://app.test/list"}, "Upgrade-Insecure-Requests": {"1"}}, true},

		"a link of another site, without the header": {http.Header{"Accept": {browser}, "Referer": {"http://other.test/app.test"}}, true},
		"another port is another host":               {http.Header{"Accept": {browser}, "Referer": {"http://app.test:8080/"}}, true},
		"an invalid referer":                         {http.Header{"Accept": {browser}, "Referer": {"http://[app.test/"}}, true},
		"a referer without a host":                   {http.Header{"Accept": {browser}, "Referer": {"about:blank"}}, true},
		"a link over TLS":                            {http.Header{"Accept": {browser}, "Referer": {"https://app.test/"}, "Sec-Fetch-Mode": {"navigate"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "http://app.test/", nil)
			r.Header = tc.header
			if got := IsNavigation(r); got != tc.want {
				t.Errorf("IsNavigation = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestIsForm(t *testing.T) {
	form := func(more ...string) http.Header {
		h := http.Header{"Accept": {"text/html,*/*;q=0.8"}, "Content-Type": {"application/x-www-form-urlencoded"}}
		for i := 0; i < len(more); i += 2 {
			h.Set(more[i], more[i+1])
		}
		return h
	}
	for name, tc := range map[string]struct {
		method string
		header http.Header
		want   bool
	}{
		"over TLS":      {"POST", form("Sec-Fetch-Dest", "document", "Sec-Fetch-Mode", "navigate"), true},
		"in plain HTTP": {"POST", form("Upgrade-Insecure-Requests", "1"), true},
		"in a frame":    {"POST", form("Upgrade-Insecure-Requests", "1", "Sec-Fetch-Dest", "iframe", "Sec-Fetch-Mode", "navigate"), true},
		"the JDK's client names text/html with every request": {"POST",
			http.Header{"Accept": {"text/html, image/gif, image/jpeg, */*; q=0.2"}, "Content-Type": {"application/json"}}, false},
		"rather JSON":     {"POST", http.Header{"Accept": {"text/html;q=0.5, application/json"}, "Upgrade-Insecure-Requests": {"1"}}, false},
		"a form of Turbo": {"POST", form("Upgrade-Insecure-Requests", "1", "X-Turbo-Request-Id", "a"), false},
		"a fetch":         {"POST", form("Sec-Fetch-Dest", "empty", "Sec-Fetch-Mode", "cors"), false},
		"no form has PUT": {"PUT", form("Upgrade-Insecure-Requests", "1"), false},
		"a navigation":    {"GET", form("Upgrade-Insecure-Requests", "1"), false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(tc.method, "http://app.test/", nil)
			r.Header = tc.header
			if got := IsForm(r); got != tc.want {
				t.Errorf("IsForm = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestFor(t *testing.T) {
	defaults, finite, hold := compile(t, Options{}), compile(t, Options{Finite: true}), compile(t, Options{HoldCrossSite: true})
	for name, tc := range map[string]struct {
		reason string
		page   *Page
		method string
		header http.Header
		want   Answer
	}{
		"document":      {"all browsers over TLS and on localhost", defaults, "GET", http.Header{"Sec-Fetch-Dest": {"document"}}, AnswerLive},
		"upgrade":       {"all browsers in plain HTTP, where Sec-Fetch is not sent", defaults, "GET", http.Header{"Upgrade-Insecure-Requests": {"1"}}, AnswerLive},
		"neither":       {"curl -H 'Accept: text/html' reads a finite page", defaults, "GET", http.Header{}, AnswerFinite},
		"other dest":    {"an image is no document", defaults, "GET", http.Header{"Sec-Fetch-Dest": {"image"}}, AnswerFinite},
		"upgrade zero":  {"only 1 says so", defaults, "GET", http.Header{"Upgrade-Insecure-Requests": {"0"}}, AnswerFinite},
		"head, no body": {"there is nothing to keep open", defaults, "HEAD", http.Header{"Sec-Fetch-Dest": {"document"}}, AnswerFinite},
		"post":          {"no navigation", defaults, "POST", http.Header{"Sec-Fetch-Dest": {"document"}}, AnswerNone},
		"no page":       {"the route has none", nil, "GET", http.Header{"Sec-Fetch-Dest": {"document"}}, AnswerNone},

		"refresh":             {"a browser gets a page that is complete", finite, "GET", http.Header{"Sec-Fetch-Dest": {"document"}}, AnswerFinite},
		"refresh, plain":      {"in plain HTTP too", finite, "GET", http.Header{"Upgrade-Insecure-Requests": {"1"}}, AnswerFinite},
		"refresh, to a fetch": {"still no navigation", finite, "GET", http.Header{"Sec-Fetch-Mode": {"cors"}}, AnswerNone},

		"cross-site, shown": {"the default", defaults, "GET", http.Header{"Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"cross-site"}}, AnswerLive},
		"cross-site":        {"cookies and referrer stay those of the link", hold, "GET", http.Header{"Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"cross-site"}}, AnswerHold},
		"same-site":         {"a sibling host sends Strict cookies anyway", hold, "GET", http.Header{"Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"same-site"}}, AnswerLive},
		"typed":             {"no site led here", hold, "GET", http.Header{"Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"none"}}, AnswerLive},
		"unknown":           {"plain HTTP does not say", hold, "GET", http.Header{"Upgrade-Insecure-Requests": {"1"}, "Referer": {"http://other.test/"}}, AnswerLive},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(tc.method, "http://app.test/", nil)
			r.Header = tc.header
			r.Header.Set("Accept", "text/html")
			if got := tc.page.For(r); got != tc.want {
				t.Errorf("%s: For = %v, want %v", tc.reason, got, tc.want)
			}
		})
	}
}
