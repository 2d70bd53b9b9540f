package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// value is one key of values.yaml: a leaf with a default, or a section.
type value struct {
	key         string // the last part of its path
	description string
	kind        string   // of a leaf: a name in kinds
	words       []string // what kind "enum" allows
	fallback    any      // the default of a leaf
	sections    []value  // nil for a leaf
}

// parseValues reads values.yaml. The comment above a key is its description; a
// last line that begins with @ names its kind, where the default does not.
func parseValues(text []byte) ([]value, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	return parseMap(document.Content[0], "")
}

func parseMap(node *yaml.Node, path string) ([]value, error) {
	var values []value
	for i := 0; i < len(node.Content); i += 2 {
		key, content := node.Content[i], node.Content[i+1]
		v, err := parseValue(key, content, path+key.Value)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

func parseValue(key, content *yaml.Node, path string) (value, error) {
	v := value{key: key.Value}
	var hint string
	v.description, hint = parseComment(key.HeadComment)
	v.kind, v.words = hint, nil
	if kind, words, found := strings.Cut(hint, " "); found {
		v.kind, v.words = kind, strings.Fields(words)
	}
	if v.kind == "" && content.Kind == yaml.MappingNode {
		sections, err := parseMap(content, path+".")
		v.sections = sections
		return v, err
	}
	if v.kind == "" {
		v.kind = map[string]string{"!!bool": "switch", "!!int": "integer", "!!str": "string", "!!seq": "array"}[content.Tag]
	}
	if _, known := kinds[v.kind]; !known && v.kind != "enum" {
		return value{}, fmt.Errorf("%s: line %d: no kind %q", path, key.Line, v.kind)
	}
	if v.description == "" {
		return value{}, fmt.Errorf("%s: line %d: no comment", path, key.Line)
	}
	if err := content.Decode(&v.fallback); err != nil {
		return value{}, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

// parseComment splits a comment into its text and the kind in its last line. The
// comment of the file itself is another paragraph.
func parseComment(comment string) (text, kind string) {
	if i := strings.LastIndex(comment, "\n\n"); i >= 0 {
		comment = comment[i+2:]
	}
	var words []string
	for line := range strings.Lines(comment) {
		line = strings.TrimSpace(strings.TrimPrefix(line, "#"))
		if after, ok := strings.CutPrefix(line, "@"); ok {
			kind = after
			continue
		}
		words = append(words, line)
	}
	return strings.Join(words, " "), kind
}

// table writes the values as Markdown tables, one for each top-level section.
func table(values []value) string {
	var b, rest strings.Builder
	for _, v := range values {
		if v.sections == nil {
			row(&rest, v, "")
			continue
		}
		fmt.Fprintf(&b, "\n### %s\n\n", v.key)
		if v.description != "" {
			fmt.Fprintf(&b, "%s.\n\n", v.description)
		}
		b.WriteString("| Key | Type | Default | |\n| --- | --- | --- | --- |\n")
		for _, section := range v.sections {
			row(&b, section, v.key+".")
		}
	}
	return b.String() + "\n### Everything\n\n| Key | Type | Default | |\n| --- | --- | --- | --- |\n" + rest.String()
}

func row(b *strings.Builder, v value, path string) {
	if v.sections != nil {
		for _, section := range v.sections {
			row(b, section, path+v.key+".")
		}
		return
	}
	kind := kinds[v.kind].name
	if v.kind == "enum" {
		kind = "`" + strings.Join(v.words, "`, `") + "`"
	}
	fallback, err := json.Marshal(v.fallback)
	if err != nil { // a map whose keys are no text
		fallback = []byte("{}")
	}
	shown := "`" + string(fallback) + "`"
	if v.fallback == nil || v.fallback == "" {
		shown = ""
	}
	fmt.Fprintf(b, "| `%s%s` | %s | %s | %s |\n", path, v.key, kind, shown, strings.ReplaceAll(v.description, "|", `\|`))
}
