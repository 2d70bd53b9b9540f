package waitingpage

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/template/parse"
)

const (
	// maxActions, arguments included, is far beyond what a page needs, and takes a
	// millisecond.
	maxActions = 1000
	// maxTags bounds what html/template takes for a template, which grows with the
	// number of tags times the length.
	maxTags = 1000
	// maxEnds bounds the number of end tags times the length, because html/template scans all of
	// those in a script or style for each token.
	maxEnds = 8 << 20
	// maxScripts bounds the header that names their hashes.
	maxScripts = 20
)

// functions that a template may call: none makes more of what it is given.
var functions = map[string]bool{
	"and": true, "or": true, "not": true, "len": true,
	"eq": true, "ne": true, "lt": true, "le": true, "gt": true, "ge": true,
}

// errScript reports a script that is not the same each time. Only scripts
// whose hash is known beforehand run, so that nothing that a field holds can.
var errScript = errors.New("a script of the template holds an action: write the value into an attribute and read it from there")

// checker looks for what a template must not hold.
type checker struct {
	tree    *parse.Tree
	actions int
}

// check looks at a template that has not been executed yet.
func check(tree *parse.Tree) error {
	c := &checker{tree: tree}
	if err := c.nodes(tree.Root); err != nil {
		return err
	}
	if c.actions > maxActions {
		return fmt.Errorf("the template has %d actions and arguments, more than %d", c.actions, maxActions)
	}
	// No source holds this character.
	const action = "\x00"
	var text strings.Builder
	literal(&text, tree.Root, action)
	scripts := Scripts(text.String())
	if len(scripts) > maxScripts {
		return fmt.Errorf("the template has %d scripts, more than %d", len(scripts), maxScripts)
	}
	for _, script := range scripts {
		if strings.Contains(script, action) {
			return errScript
		}
	}
	return nil
}

func (c *checker) nodes(list *parse.ListNode) error {
	if list == nil {
		return nil
	}
	for _, n := range list.Nodes {
		if err := c.node(n); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) node(n parse.Node) error {
	switch n := n.(type) {
	case *parse.TextNode:
		return nil
	case *parse.ActionNode:
		return c.pipe(n.Pipe)
	case *parse.IfNode:
		return c.branch(&n.BranchNode)
	case *parse.WithNode:
		return c.branch(&n.BranchNode)
	}
	word, _, _ := strings.Cut(strings.Trim(n.String(), "{} "), " ")
	return c.refuse(n, word)
}

func (c *checker) branch(n *parse.BranchNode) error {
	if err := c.pipe(n.Pipe); err != nil {
		return err
	}
	if err := c.nodes(n.List); err != nil {
		return err
	}
	return c.nodes(n.ElseList)
}

func (c *checker) pipe(p *parse.PipeNode) error {
	for _, command := range p.Cmds {
		for _, argument := range command.Args {
			if err := c.argument(argument); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checker) argument(n parse.Node) error {
	c.actions++
	switch n := n.(type) {
	case *parse.IdentifierNode:
		if !functions[n.Ident] {
			return c.refuse(n, n.Ident)
		}
	case *parse.PipeNode:
		return c.pipe(n)
	case *parse.ChainNode:
		return c.argument(n.Node)
	}
	return nil
}

func (c *checker) refuse(n parse.Node, what string) error {
	location, _ := c.tree.ErrorContext(n)
	return fmt.Errorf("%s: %s may not be used in a waiting page", location, what)
}

var (
	scriptBegins = regexp.MustCompile(`(?i)<script\b[^>]*>`)
	scriptEnds   = regexp.MustCompile(`(?i)</script`)
)

// Scripts are the texts of the scripts in a page. Where it mistakes where a tag
// ends, it returns another text than a browser reads, whose hash permits nothing.
func Scripts(page string) []string {
	var all []string
	for {
		begin := scriptBegins.FindStringIndex(page)
		if begin == nil {
			return all
		}
		page = page[begin[1]:]
		end := scriptEnds.FindStringIndex(page)
		if end == nil {
			return all
		}
		all = append(all, page[:end[0]])
		page = page[end[1]:]
	}
}
