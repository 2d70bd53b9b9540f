// Package markdown finds links, headings and code in a Markdown page. It must not know which pages there are.
package markdown

import (
	"regexp"
	"strings"
	"unicode"
)

// Page holds what the checks need of a Markdown file.
type Page struct {
	// Anchors that links may lead to.
	Anchors map[string]bool
	Links   []Link
	// Blocks of code.
	Blocks []Block
}

// Link leads from a page to Target, as the page writes it.
type Link struct {
	Target string
	Line   int
}

// Block is a fenced block of code.
type Block struct {
	Language, Text string
	// Line of its first line of text.
	Line int
}

var (
	linkPattern    = regexp.MustCompile(`\]\(<?([^()\s>]+(?:\([^()\s]*\)[^()\s>]*)?)>?(?:\s+"[^"]*")?\)`)
	spanPattern    = regexp.MustCompile("`[^`]*`")
	headingPattern = regexp.MustCompile(`^#{1,6}\s+(.*?)\s*#*$`)
	htmlPattern    = regexp.MustCompile(`(?:src|href|srcset|id)="([^"]+)"`)
)

// Parse finds the headings, the inline links and images, the links of HTML elements and
// the fenced blocks of a page.
func Parse(text string) Page {
	p := Page{Anchors: map[string]bool{}}
	fence := ""
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		if fence != "" {
			if trimmed == fence {
				fence = ""
				continue
			}
			last := &p.Blocks[len(p.Blocks)-1]
			last.Text += line + "\n"
			continue
		}
		if language, ok := strings.CutPrefix(trimmed, "```"); ok {
			fence = "```"
			p.Blocks = append(p.Blocks, Block{Language: language, Line: i + 2})
			continue
		}
		if heading := headingPattern.FindStringSubmatch(line); heading != nil {
			p.anchor(Slug(heading[1]))
		}
		for _, found := range linkPattern.FindAllStringSubmatch(spanPattern.ReplaceAllStringFunc(line, blank), -1) {
			p.Links = append(p.Links, Link{found[1], i + 1})
		}
		for _, found := range htmlPattern.FindAllStringSubmatch(spanPattern.ReplaceAllStringFunc(line, blank), -1) {
			if strings.HasPrefix(found[0], "id=") {
				p.Anchors[found[1]] = true
				continue
			}
			p.Links = append(p.Links, Link{found[1], i + 1})
		}
	}
	return p
}

// anchor adds a heading's anchor; a second one of the same text gets a number.
func (p *Page) anchor(name string) {
	unique := name
	for n := 1; p.Anchors[unique]; n++ {
		unique = name + "-" + string(rune('0'+n))
	}
	p.Anchors[unique] = true
}

// blank returns a code span of equal length without a link in it.
func blank(span string) string { return "`" + strings.Repeat("x", len(span)-2) + "`" }

var linkText = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)

// Slug returns the anchor that GitHub gives a heading: in lower case, with hyphens for
// spaces, and without everything except letters, digits, hyphens and underscores.
func Slug(heading string) string {
	heading = linkText.ReplaceAllString(heading, "$1")
	var b strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case r == ' ' || r == '-':
			b.WriteByte('-')
		case r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		}
	}
	return b.String()
}
