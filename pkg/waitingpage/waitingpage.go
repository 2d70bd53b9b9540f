// Package waitingpage reads the waiting pages of users: templates of html/template in ConfigMaps.
// It defines what a template may contain. The component that serves a page and the one that
// reports on it describe mistakes in the same words. It must not know where a template comes from
// nor how it is served.
//
// A template is not trusted: it costs time in proportion to its length and memory up to a bound.
// So nothing in it repeats (range, template, block, define), and no function makes long texts of
// short ones. Comparisons and conditions are allowed.
package waitingpage

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"strings"
	"text/template/parse"
	"unicode/utf8"
)

// MaxBytes bounds a template and, separately, the page that it renders.
const MaxBytes = 64 << 10

// Fields are what a template may show.
type Fields struct {
	// Title and Message of the route's waitingPage, or the built-in ones. What
	// they hold is text: it is escaped for where it stands.
	Title, Message string
	// RefreshInterval is the number of seconds after which the browser asks again
	// by itself; a template need not do anything for that.
	RefreshInterval int
	// Elapsed is the time since the wake began, such as "35 s".
	Elapsed string
	// ElapsedSeconds is the same as a number.
	ElapsedSeconds int
	// Estimate is how long a wake usually takes, such as "40 s"; empty if it is
	// unknown: {{with .Estimate}}Usually about {{.}}.{{end}}
	Estimate string
	// EstimateSeconds is the same as a number; 0 if it is unknown.
	EstimateSeconds int
	// Phase of the wake: requested, scheduling, pulling, starting, loading or ready.
	Phase string
	// Reason is a sentence on why the wake does not get on; empty if none is known.
	Reason string
}

// Template is a page that may be executed. It is immutable and safe for
// concurrent use.
type Template struct{ page *template.Template }

// Parse reads a template and tries it with the fields of a waking target, taking constant fields
// from fixed. Its errors are for the author of the template.
func Parse(source string, fixed Fields) (*Template, error) {
	if strings.TrimSpace(source) == "" {
		return nil, errors.New("the template is empty")
	}
	if len(source) > MaxBytes {
		return nil, fmt.Errorf("the template has %d bytes, more than %d", len(source), MaxBytes)
	}
	if !utf8.ValidString(source) || strings.ContainsRune(source, 0) {
		return nil, errors.New("the template is not a text in UTF-8")
	}
	if tags := strings.Count(source, "<"); tags > maxTags {
		return nil, fmt.Errorf("the template has %d tags, more than %d", tags, maxTags)
	}
	if ends := strings.Count(source, "</"); ends*len(source) > maxEnds {
		return nil, fmt.Errorf("the template has %d end tags, more than %d for its length", ends, maxEnds/len(source))
	}
	// As a browser reads it: the hash of a script is that of its text with LF.
	source = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(source)
	page, err := template.New("page").Parse(source)
	if err != nil {
		return nil, fmt.Errorf("parsing the template: %w", err)
	}
	if len(page.Templates()) > 1 {
		return nil, errors.New("the template must not define others")
	}
	if page.Tree == nil || parse.IsEmptyTree(page.Tree.Root) {
		return nil, errors.New("the template is empty")
	}
	if err := check(page.Tree); err != nil {
		return nil, err
	}
	t := &Template{page: page}
	for _, trial := range trials(fixed) {
		if _, err := t.Execute(trial); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Execute returns the page.
func (t *Template) Execute(fields Fields) ([]byte, error) {
	fields.Title, fields.Message = strings.ToValidUTF8(fields.Title, "\uFFFD"), strings.ToValidUTF8(fields.Message, "\uFFFD")
	var out bounded
	if err := t.page.Execute(&out, fields); err != nil {
		return nil, fmt.Errorf("executing the template: %w", err)
	}
	return out.Bytes(), nil
}

// trials are the fields early and late, without an estimate and with one that is
// ahead or over.
func trials(fixed Fields) []Fields {
	var all []Fields
	for _, elapsed := range []int{0, 5, 95, 4000} {
		for _, estimate := range []int{0, 40, 300} {
			f := fixed
			f.Elapsed, f.ElapsedSeconds = fmt.Sprintf("%d s", elapsed), elapsed
			if estimate > 0 {
				f.Estimate, f.EstimateSeconds = fmt.Sprintf("%d s", estimate), estimate
			}
			all = append(all, f)
		}
	}
	return all
}

// errTooLong ends the execution of a template that writes too much.
var errTooLong = fmt.Errorf("the page has more than %d bytes", MaxBytes)

// bounded is a buffer of a page.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > MaxBytes {
		return 0, errTooLong
	}
	return b.Buffer.Write(p)
}

// Literal returns all text of the template itself, of all branches, as Execute writes it. A
// browser will hash what stands in scripts.
func (t *Template) Literal() string {
	var out strings.Builder
	literal(&out, t.page.Tree.Root, "")
	return out.String()
}

// literal writes the text nodes below a node, with a mark in place of each action
// and at the borders of branches.
func literal(out *strings.Builder, list *parse.ListNode, mark string) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			out.Write(n.Text)
		case *parse.IfNode:
			literalBranch(out, &n.BranchNode, mark)
		case *parse.WithNode:
			literalBranch(out, &n.BranchNode, mark)
		default:
			out.WriteString(mark)
		}
	}
}

func literalBranch(out *strings.Builder, n *parse.BranchNode, mark string) {
	out.WriteString(mark)
	literal(out, n.List, mark)
	out.WriteString(mark)
	literal(out, n.ElseList, mark)
	out.WriteString(mark)
}
