//go:build site

package docs

import (
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// sitePage holds what the check of the site needs of a page.
type sitePage struct {
	ids map[string]bool
	// links lead somewhere when a reader follows them; parts are what the page itself needs.
	links, parts []string
}

// TestSite follows every link of the website that `make site` has built. A link or a part of the
// site must exist, with the heading that the link names. Nothing may come from elsewhere.
func TestSite(t *testing.T) {
	site := os.DirFS(filepath.Join(root, "bin/site"))
	pages := map[string]sitePage{}
	err := fs.WalkDir(site, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".html" {
			return err
		}
		file, err := site.Open(name)
		if err != nil {
			return err
		}
		document, err := html.Parse(file)
		_ = file.Close() // it was only read
		if err != nil {
			return err
		}
		page := sitePage{ids: map[string]bool{}}
		for node := range document.Descendants() {
			for _, attribute := range node.Attr {
				switch attribute.Key {
				case "id":
					if page.ids[attribute.Val] {
						t.Errorf("%s has the id %s twice", name, attribute.Val)
					}
					page.ids[attribute.Val] = true
				case "href":
					if node.Data == "a" {
						page.links = append(page.links, attribute.Val)
					} else {
						page.parts = append(page.parts, attribute.Val)
					}
				case "src", "srcset":
					page.parts = append(page.parts, attribute.Val)
				}
			}
		}
		pages[name] = page
		return nil
	})
	if err != nil {
		t.Fatalf("reading the site, which make site builds: %v", err)
	}
	if len(pages) < 50 {
		t.Fatalf("the site has only %d pages", len(pages))
	}
	for name, page := range pages {
		for _, part := range page.parts {
			if u, err := url.Parse(part); err != nil || u.IsAbs() || u.Host != "" {
				t.Errorf("%s takes %q from elsewhere: %v", name, part, err)
			}
		}
		for _, link := range append(page.links, page.parts...) {
			u, err := url.Parse(link)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if u.IsAbs() {
				continue
			}
			to := name
			if u.Path != "" {
				to = path.Join(path.Dir(name), u.Path)
			}
			if strings.HasSuffix(u.Path, "/") || to == "." {
				to = path.Join(to, "index.html")
			}
			if _, err := fs.Stat(site, to); err != nil {
				t.Errorf("%s: the link leads nowhere: %s", name, link)
				continue
			}
			if u.Fragment != "" && !pages[to].ids[u.Fragment] {
				t.Errorf("%s: the link leads nowhere: %s has no #%s", name, to, u.Fragment)
			}
		}
	}
}
