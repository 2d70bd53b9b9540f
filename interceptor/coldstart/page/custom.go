package page

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kedacore/http-add-on/interceptor/coldstart/eta"
	"github.com/kedacore/http-add-on/pkg/waitingpage"
)

// custom is a user's page.
type custom struct {
	template *waitingpage.Template
	// policy permits the page's own scripts, by their hashes, and the built-in ones.
	policy string
	// icon is what keeps a browser from asking for one, unless the page has one.
	icon string
}

// iconLink finds the link to an icon.
var iconLink = regexp.MustCompile(`(?i)<link\b[^>]*\brel\s*=\s*["']?[^"'>]*icon`)

// WithTemplate returns the page with a template of the user instead of the built-in page. The
// built-in page still replaces it when the template cannot be executed. The error is for the
// author of the template.
func (p *Page) WithTemplate(source string) (*Page, error) {
	parsed, err := waitingpage.Parse(source, p.fields(eta.Progress{}))
	if err != nil {
		return nil, err
	}
	literal := parsed.Literal()
	scripts := slices.Clone(p.frame.hashes)
	for _, script := range waitingpage.Scripts(literal) {
		scripts = append(scripts, integrity(script))
	}
	c := &custom{
		template: parsed,
		// Styles, pictures and fonts can do no harm, and the page's host cannot
		// serve them while it sleeps: they may come from elsewhere.
		policy: "default-src 'none'; style-src 'unsafe-inline' https:; script-src " + strings.Join(scripts, " ") +
			"; img-src data: https:; font-src data: https:; base-uri 'none'; form-action 'none'",
	}
	if !iconLink.MatchString(literal) {
		c.icon = noIcon
	}
	own := *p
	own.template = c
	return &own, nil
}

// render returns the current page; false if it cannot be rendered.
func (c *custom) render(p *Page, now eta.Progress) ([]byte, bool) {
	body, err := c.template.Execute(p.fields(now))
	if err != nil {
		return nil, false
	}
	return append(body, c.icon...), true
}

// fields are what a template may show.
func (p *Page) fields(now eta.Progress) waitingpage.Fields {
	f := waitingpage.Fields{
		Title: p.title, Message: string(p.words.Append(nil, now)), RefreshInterval: p.refresh,
		Elapsed: now.ElapsedText(), ElapsedSeconds: int(now.Elapsed / time.Second),
		Phase: now.Stage.Phase.String(), Reason: now.Stage.Reason.String(),
	}
	if f.Estimate = now.EstimateText(); f.Estimate != "" {
		f.EstimateSeconds = wholeSeconds(now.Estimate)
	}
	return f
}
