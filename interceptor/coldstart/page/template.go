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

// The script of a page in a browser. It reloads the page some seconds after it has ended. It uses
// location.reload, because Chromium takes a refresh of a document whose address has a fragment
// for a jump inside it. The script also reloads a live page that was cut, because on HTTP/2 its
// document is never complete. That was measured with Chromium 156 and Firefox 153.
//
// Neither happens once the page says that the application is ready. The application may take long
// for its first byte. A page that stays has led to a download, which must not come twice. A click
// on a link to "" reloads too, because such a link loses the fragment.
//
//go:embed reload.js
var script string

// reloadNow makes a browser load the application.
const reloadNow = `document.title="Ready",location.reload()`

const (
	// ready ends a page whose target is ready. Most browsers show it for a moment. It stays where
	// they have nothing else to show, as after a download or a 204. It also stays where they may
	// not reload by themselves, as in a sandboxed frame.
	ready = `<div role="alert" id="kedaReady"><h1>Ready</h1><p>The application is running. If you asked for a file, look in your downloads.</p>` +
		`<a href="">Open</a></div>`
	// late is the last word of a page whose target did not become ready in time.
	late = "<p>This takes unusually long.</p>"
	// failed is that of a page whose target cannot start as it is.
	failed = "<p>The application cannot be started at the moment.</p>"
	// again is for browsers that do not follow a refresh.
	again = `<a href="">Reload</a>`
)

// frame is what all pages have in common, so that a route's Page holds only
// its own words: ten thousand routes share one style sheet.
type frame struct {
	// head opens every page, up to where the page's own part begins.
	head []byte
	// script is the text of the page's script.
	script string
	// timer is the place that the elapsed times are appended to.
	timer []byte
	// closing closes every page.
	closing []byte
	// hashes permit the scripts in a Content-Security-Policy.
	hashes []string
	// policy is the Content-Security-Policy: nothing is loaded, and only what is in the frame
	// runs or styles.
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
		script:  js,
		timer:   []byte(`<div role="timer">`),
		closing: []byte("</div></main></body></html>\n"),
		hashes:  []string{integrity(js), integrity(reloadNow)},
		policy:  policy(css, js, reloadNow),
		own:     own,
	}, nil
})

// policy is a Content-Security-Policy that permits a style sheet and scripts, and nothing
// else.
func policy(css string, scripts ...string) string {
	hashes := make([]string, 0, len(scripts))
	for _, script := range scripts {
		hashes = append(hashes, integrity(script))
	}
	return fmt.Sprintf("default-src 'none'; style-src %s; script-src %s; img-src data:; base-uri 'none'; form-action 'none'",
		integrity(css), strings.Join(hashes, " "))
}

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

// escape returns words as they are written between tags. Quotes stay as they are there, and so
// does an ampersand that cannot begin a character reference (HTML, 13.1.4). This keeps a page of
// the longest words small.
func escape(words string) string {
	words = strings.ToValidUTF8(words, "\uFFFD")
	var out strings.Builder
	for i, r := range words {
		switch {
		case r == 0:
			out.WriteRune('\uFFFD')
		case r == '<':
			out.WriteString("&lt;")
		case r == '>':
			out.WriteString("&gt;")
		case r == '&' && refers(words[i+1:]):
			out.WriteString("&amp;")
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// refers reports whether what follows an ampersand may be a reference.
func refers(next string) bool {
	return next == "" || next[0] == '#' || next[0]|0x20 >= 'a' && next[0]|0x20 <= 'z'
}
