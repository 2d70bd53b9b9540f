package main

import (
	"encoding/json"
	"strings"
)

// question is a request in the terms that all APIs share.
type question struct {
	model  string
	id     string // the same for the same request
	text   string // what the user said last
	stream bool
	n      int  // number of choices; 0 is one
	usage  bool // the stream ends with the counts of tokens
	// tool is the tool to call; nil means no tool.
	tool *tool
	// schema of a structured answer: null is any object, nil is plain text.
	schema json.RawMessage
}

// tool is a function that a model may call.
type tool struct {
	Name       string          `json:"name"`
	Parameters json.RawMessage `json:"parameters"`
}

// chosen is the tool that is called: the named one, else the first.
func chosen(tools []tool, name string) *tool {
	for i := range tools {
		if name == "" || tools[i].Name == name {
			return &tools[i]
		}
	}
	return nil
}

// anything is the schema of a structured answer whose shape is free.
var anything = json.RawMessage("null")

// orAnything is the schema, if there is one.
func orAnything(schema json.RawMessage) json.RawMessage {
	if schema == nil {
		return anything
	}
	return schema
}

// plain is the text of a message's content: a string, or the text parts of a list.
func plain(content json.RawMessage) string {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return text
	}
	var parts []struct {
		Text string `json:"text"`
	}
	_ = json.Unmarshal(content, &parts) // anything else has no text
	for _, part := range parts {
		text += part.Text
	}
	return text
}

// firstOf is a prompt: a string, or the first of a list.
func firstOf(prompt json.RawMessage) string {
	var text string
	if json.Unmarshal(prompt, &text) == nil {
		return text
	}
	var list []string
	if json.Unmarshal(prompt, &list) == nil && len(list) > 0 {
		return list[0]
	}
	return ""
}

// word is a JSON string, and empty for any other value.
func word(value json.RawMessage) string {
	var text string
	_ = json.Unmarshal(value, &text) // any other value means no word
	return text
}

// example is a value that fits a JSON schema, as far as models are asked for it.
func example(schema json.RawMessage) any {
	var s struct {
		Type       json.RawMessage            `json:"type"`
		Const      json.RawMessage            `json:"const"`
		Enum       []json.RawMessage          `json:"enum"`
		AnyOf      []json.RawMessage          `json:"anyOf"`
		Properties map[string]json.RawMessage `json:"properties"`
		Items      json.RawMessage            `json:"items"`
	}
	_ = json.Unmarshal(schema, &s) // an invalid schema allows anything
	kind := word(s.Type)
	if kinds := firstOf(s.Type); kinds != "" {
		kind = kinds
	}
	switch {
	case s.Const != nil:
		return s.Const
	case len(s.Enum) > 0:
		return s.Enum[0]
	case len(s.AnyOf) > 0:
		return example(s.AnyOf[0])
	case len(s.Properties) > 0:
		object := map[string]any{}
		for name, property := range s.Properties {
			object[name] = example(property)
		}
		return object
	}
	switch strings.ToLower(kind) {
	case "string":
		return "Berlin"
	case "integer", "number":
		return 1
	case "boolean":
		return true
	case "array":
		return []any{example(s.Items)}
	}
	return map[string]any{"answer": "Berlin"}
}
