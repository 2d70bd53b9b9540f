package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page's sources
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"
	"sync"
)

//go:embed page.html
var source string

//go:embed style.css
var style string

// The safety net of a live page whose end the browser did not take for one: it
// looks at the state of the document, because a page that has ended comes back
// by its meta refresh, and must not ask again an application that takes long
// for its first byte.
//
//go:embed reload.js
var script string

// frame is what all pages have in common, so that a route's Page holds only
// its own words: ten thousand routes share one style sheet.
type frame struct {
	// head opens every page, up to where the page's own part begins.
	head []byte
	// open follows the own part of a live page: the safety net and the place
	// that the elapsed times are appended to.
	open []byte
	// reload is appended to a live page when the target is ready.
	reload []byte
	// closing closes a live page.
	closing []byte
	// tail closes every other page.
	tail []byte
	// policy is the Content-Security-Policy: nothing is loaded, and nothing
	// runs or styles but what is in the frame.
	policy string
	// own renders a view.
	own *template.Template
}

// view is a page's own part.
type view struct {
	Title   string
	Message string
	// Refresh is the number of seconds after which the browser asks again;
	// 0 is never.
	Refresh int
	// Busy says that something is going on: the page waits.
	Busy bool
	// Retry offers a link to the same address.
	Retry bool
}

// shared is the frame, made on first use and immutable from then on. It fails
// only if the embedded sources are broken, which any test shows.
var shared = sync.OnceValues(func() (*frame, error) {
	own, err := template.New("page").Parse(strings.TrimSpace(source))
	if err != nil {
		return nil, fmt.Errorf("parsing the page: %w", err)
	}
	// An inline element's hash covers every byte between its tags.
	css := strings.ReplaceAll(style, "\n", "")
	js := strings.TrimSpace(script)
	const end = "</main></body></html>\n"
	return &frame{
		head: []byte(`<!doctype html><html lang="en"><head><meta charset="utf-8">` +
			`<meta name="viewport" content="width=device-width,initial-scale=1">` +
			// Without an icon the browser asks for /favicon.ico, which would be
			// held and counted like any other request.
			`<link rel="icon" href="data:,"><style>` + css + `</style>`),
		open:    []byte(`<script>` + js + `</script><div>`),
		reload:  []byte(`<meta http-equiv="refresh" content="0">`),
		closing: []byte("</div>" + end),
		tail:    []byte(end),
		policy: fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; img-src data:; base-uri 'none'; form-action 'none'",
			integrity(css), integrity(js)),
		own: own,
	}, nil
})

// integrity is the CSP source expression that permits exactly this inline text.
func integrity(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// render returns a page's own part, escaped for where each value stands.
func (f *frame) render(v view) ([]byte, error) {
	// html/template passes bytes that are not UTF-8 through.
	v.Title, v.Message = strings.ToValidUTF8(v.Title, "\uFFFD"), strings.ToValidUTF8(v.Message, "\uFFFD")
	var out bytes.Buffer
	if err := f.own.Execute(&out, v); err != nil {
		return nil, fmt.Errorf("rendering the page: %w", err)
	}
	return bytes.Clone(out.Bytes()), nil
}
