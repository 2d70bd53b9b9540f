package manifest

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"

	yamlnode "go.yaml.in/yaml/v3"
)

// document is one YAML document of a file. As many empty lines precede its text as there are
// lines before it in the file. Every line number that a parser reports is therefore one of the
// file.
type document struct {
	text []byte
	line int // first line that is not empty or a comment
	root *yamlnode.Node
}

// split cuts a file at its "---" lines. Cutting before parsing keeps a syntax
// error in one document from hiding those after it.
func split(file []byte) []document {
	var documents []document
	lines := bytes.SplitAfter(file, []byte("\n"))
	start := 0
	flush := func(end int) {
		text := bytes.Join(lines[start:end], nil)
		if line := firstLine(lines[start:end]); line >= 0 {
			padded := append(bytes.Repeat([]byte("\n"), start), text...)
			documents = append(documents, document{text: padded, line: start + line + 1})
		}
	}
	for i, line := range lines {
		rest, isMarker := bytes.CutPrefix(line, []byte("---"))
		rest = bytes.TrimSpace(rest)
		if isMarker && (len(rest) == 0 || rest[0] == '#') {
			flush(i)
			start = i + 1
		}
	}
	flush(len(lines))
	return documents
}

// firstLine is the index of the first line with content, or -1.
func firstLine(lines [][]byte) int {
	for i, line := range lines {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return i
		}
	}
	return -1
}

// parse reads the document's structure, which is used for line numbers alone.
func (d *document) parse() error {
	var root yamlnode.Node
	if err := yamlnode.Unmarshal(d.text, &root); err != nil {
		return err
	}
	if len(root.Content) > 0 {
		d.root = root.Content[0]
	}
	return nil
}

// pathStep is one step of a field path: ".name", "[3]" or "[name]".
var pathStep = regexp.MustCompile(`[^.\[\]]+|\[[^\]]*\]`)

// lineOf finds the line of a field such as "spec.ports[0].port", or of the
// closest parent that is in the file.
func (d *document) lineOf(path string) int {
	line, node := d.line, d.root
	steps := pathStep.FindAllString(path, -1)
	for i := 0; i < len(steps) && node != nil; {
		if node.Kind == yamlnode.AliasNode {
			node = node.Alias
		}
		switch node.Kind {
		case yamlnode.MappingNode:
			key, value, used := child(node, steps[i:])
			if value == nil {
				return line
			}
			line, node = key.Line, value
			i += used
		case yamlnode.SequenceNode:
			index, err := strconv.Atoi(strings.Trim(steps[i], "[]"))
			if err != nil || index < 0 || index >= len(node.Content) {
				// Type errors of encoding/json name fields without an index.
				index = -1
				for j, item := range node.Content {
					if _, value, _ := child(item, steps[i:]); value != nil {
						index = j
						break
					}
				}
				if index < 0 {
					return line
				}
				node = node.Content[index]
				continue
			}
			node = node.Content[index]
			line = node.Line
			i++
		default:
			return line
		}
	}
	return line
}

// lineOfValue finds the first line with a value.
func (d *document) lineOfValue(value string) int {
	nodes := []*yamlnode.Node{d.root}
	for len(nodes) > 0 && nodes[0] != nil {
		node := nodes[0]
		if node.Kind == yamlnode.ScalarNode && node.Value == value {
			return node.Line
		}
		nodes = append(append([]*yamlnode.Node{}, node.Content...), nodes[1:]...)
	}
	return d.line
}

// child looks a key up in a mapping. A key may contain dots (labels do), so
// the longest run of steps that is a key wins.
func child(mapping *yamlnode.Node, steps []string) (key, value *yamlnode.Node, used int) {
	if mapping.Kind != yamlnode.MappingNode {
		return nil, nil, 0
	}
	for used = len(steps); used > 0; used-- {
		name := strings.Trim(strings.Join(steps[:used], "."), "[]")
		for i := 0; i+1 < len(mapping.Content); i += 2 {
			if mapping.Content[i].Value == name {
				return mapping.Content[i], mapping.Content[i+1], used
			}
		}
	}
	return nil, nil, 0
}

var (
	// yamlLine is where the YAML package says that the error is.
	yamlLine = regexp.MustCompile(`line (\d+): `)
	// oneLess are errors for which it counts lines from 0.
	oneLess = regexp.MustCompile(`did not find expected ('|key|node content|<)`)
)

// syntaxProblem takes a parser's error apart into line and reason.
func (d *document) syntaxProblem(err error) (line int, reason string) {
	reason = strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")
	reason = strings.TrimPrefix(reason, "yaml: ")
	reason = strings.TrimPrefix(reason, "unmarshal errors:\n  ")
	line = d.line
	if m := yamlLine.FindStringSubmatch(reason); m != nil {
		if n, convErr := strconv.Atoi(m[1]); convErr == nil {
			line = n
		}
		if oneLess.MatchString(reason) {
			line++
		}
		reason = strings.Replace(reason, m[0], "", 1)
	}
	return line, "reading YAML: " + strings.Join(strings.Fields(reason), " ")
}
