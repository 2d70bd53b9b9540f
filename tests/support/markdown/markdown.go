package docs

import (
	"regexp"
	"strings"
	"unicode"
)

// page holds what the checks need of a Markdown file.
type page struct {
	// anchors that links may lead to.
	anchors map[string]bool
	links   []link
	// blocks of code.
	blocks []block
}

type link struct {
	target string
	line   int
}

// block is a fenced block of code.
type block struct {
	language, text string
	// line of its first line of text.
	line int
}

var (
	linkPattern    = regexp.MustCompile(`\]\(<?([^()\s>]+(?:\([^()\s]*\)[^()\s>]*)?)>?(?:\s+"[^"]*")?\)`)
	spanPattern    = regexp.MustCompile("`[^`]*`")
	headingPattern = regexp.MustCompile(`^#{1,6}\s+(.*?)\s*#*$`)
	htmlPattern    = regexp.MustCompile(`(?:src|href|srcset|id)="([^"]+)"`)
)

// parse finds the headings, the inline links and images, the links of HTML elements and
// the fenced blocks of a page.
func parse(text string) page {
	p := page{anchors: map[string]bool{}}
	fence := ""
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		if fence != "" {
			if trimmed == fence {
				fence = ""
				continue
			}
			last := &p.blocks[len(p.blocks)-1]
			last.text += line + "\n"
			continue
		}
		if language, ok := strings.CutPrefix(trimmed, "```"); ok {
			fence = "```"
			p.blocks = append(p.blocks, block{language: language, line: i + 2})
			continue
		}
		if heading := headingPattern.FindStringSubmatch(line); heading != nil {
			p.anchor(slug(heading[1]))
		}
		for _, found := range linkPattern.FindAllStringSubmatch(spanPattern.ReplaceAllStringFunc(line, blank), -1) {
			p.links = append(p.links, link{found[1], i + 1})
		}
		for _, found := range htmlPattern.FindAllStringSubmatch(spanPattern.ReplaceAllStringFunc(line, blank), -1) {
			if strings.HasPrefix(found[0], "id=") {
				p.anchors[found[1]] = true
				continue
			}
			p.links = append(p.links, link{found[1], i + 1})
		}
	}
	return p
}

// anchor adds a heading's anchor; a second one of the same text gets a number.
func (p *page) anchor(name string) {
	unique := name
	for n := 1; p.anchors[unique]; n++ {
		unique = name + "-" + string(rune('0'+n))
	}
	p.anchors[unique] = true
}

// blank returns a code span of equal length without a link in it.
func blank(span string) string { return "`" + strings.Repeat("x", len(span)-2) + "`" }

var linkText = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)

// slug returns the anchor that GitHub gives a heading: in lower case, with hyphens for
// spaces, and without everything except letters, digits, hyphens and underscores.
func slug(heading string) string {
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
