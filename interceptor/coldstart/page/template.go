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
	// net is the safety net of a live page.
	net []byte
	// reload is appended to a live page when the target is ready.
	reload []byte
	// timer is the place that the elapsed times are appended to.
	timer []byte
	// closing closes every page.
	closing []byte
	// netHash permits the safety net in a Content-Security-Policy.
	netHash string
	// policy is the Content-Security-Policy: nothing is loaded, and nothing
	// runs or styles but what is in the frame.
	policy string
	// own renders a view.
	own *template.Template
}

// view is a page's own part, up to its message.
type view struct {
	Title string
	// Busy says that something is going on: the page waits.
	Busy bool
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
	return &frame{
		head: []byte(`<!doctype html><html lang="en"><head><meta charset="utf-8">` +
			`<meta name="viewport" content="width=device-width">` +
			// Without an icon the browser asks for /favicon.ico, which would be
			// held and counted like any other request.
			noIcon + `<style>` + css + `</style>`),
		net:     []byte(`<script>` + js + `</script>`),
		reload:  []byte(`<meta http-equiv="refresh" content="0">`),
		timer:   []byte(`<div role="timer">`),
		closing: []byte("</div></main></body></html>\n"),
		netHash: integrity(js),
		policy: fmt.Sprintf("default-src 'none'; style-src %s; script-src %s; img-src data:; base-uri 'none'; form-action 'none'",
			integrity(css), integrity(js)),
		own: own,
	}, nil
})

// noIcon is the icon of a page that has none.
const noIcon = `<link rel="icon" href="data:,">`

// integrity is the CSP source expression that permits exactly this inline text.
func integrity(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// render returns a page's own part, escaped for where each value stands. The
// message follows.
func (f *frame) render(v view) ([]byte, error) {
	// html/template passes bytes that are not UTF-8 through.
	v.Title = strings.ToValidUTF8(v.Title, "\uFFFD")
	var out bytes.Buffer
	if err := f.own.Execute(&out, v); err != nil {
		return nil, fmt.Errorf("rendering the page: %w", err)
	}
	return bytes.Clone(bytes.TrimSpace(out.Bytes())), nil
}

// escape is words as they stand between tags.
func escape(words string) string {
	return template.HTMLEscapeString(strings.ToValidUTF8(words, "\uFFFD"))
}
