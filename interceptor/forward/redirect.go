package forward

import (
	"net/http"
	"net/url"
)

// maxRedirects is how many redirects are followed. net/http follows 10.
const maxRedirects = 5

// redirected returns where a response redirects to, nil if that is not to be followed.
func (c *call) redirected(r *http.Request, res *http.Response) *url.URL {
	if c.x.Redirected == nil || !c.body.Repeatable() ||
		res.StatusCode != http.StatusTemporaryRedirect && res.StatusCode != http.StatusPermanentRedirect {
		return nil
	}
	return c.x.Redirected(r.URL, res.Header.Get("Location"))
}
