package main

import (
	"bytes"
	"encoding/json"
	"fmt"
)

type object = map[string]any

// kind is a type of values: its name in the README, and its JSON schema. The
// schemas take what 0.16 took: it had none, and a release whose values are
// "true" or "8080" as text, or null, was installed all the same.
type kind struct {
	name   string
	schema object
}

var kinds = map[string]kind{
	"switch":   {"boolean", object{"enum": []any{true, false, "true", "false", nil}}},
	"string":   {"string", object{"type": []any{"string", "number", "null"}}},
	"integer":  {"integer", anyOf(object{"type": "integer", "minimum": 0}, object{"type": "string", "pattern": "^[0-9]+$"})},
	"port":     {"port", anyOf(object{"type": "integer", "minimum": 1, "maximum": 65535}, object{"type": "string", "pattern": "^[0-9]+$"})},
	"bytes":    {"bytes", anyOf(object{"type": "integer", "minimum": 0}, object{"type": "string", "pattern": "^[0-9]*$"})},
	"duration": {"duration", anyOf(object{"const": 0}, object{"type": "string", "pattern": `^(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)?$`})},
	"quantity": {"number or percentage", anyOf(object{"type": "integer", "minimum": 0}, object{"type": "string", "pattern": "^[0-9]*%?$"})},
	"list":     {"list or string", object{"type": []any{"array", "string", "null"}, "items": object{"type": "string"}}},
	"array":    {"list", anyOf(object{"type": "array"}, object{"type": "object", "maxProperties": 0})},
	"map":      {"map", object{"type": []any{"object", "null"}}},
	"object":   {"object", object{"type": []any{"object", "null"}}},
	"env": {"list or map", anyOf(
		object{"type": "array", "items": object{"type": "object", "required": []any{"name"}}},
		object{"type": "object", "additionalProperties": object{"type": []any{"string", "number", "boolean"}}},
	)},
}

// anyOf allows null besides: it is how a values file takes a default away.
func anyOf(schemas ...object) object {
	all := []any{object{"type": "null"}}
	for _, schema := range schemas {
		all = append(all, schema)
	}
	return object{"anyOf": all}
}

// schemaOf returns values.schema.json. Keys that it does not know are allowed:
// values files carry keys of older and newer charts.
func schemaOf(values []value) ([]byte, error) {
	defs := object{}
	root := section(values, defs)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Values of keda-add-ons-http"
	root["$defs"] = defs
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(root); err != nil {
		return nil, fmt.Errorf("writing the schema: %w", err)
	}
	return b.Bytes(), nil
}

// section is the schema of a map; it notes in defs the kinds that it uses.
func section(values []value, defs object) object {
	properties := object{}
	for _, v := range values {
		var schema object
		switch {
		case v.sections != nil:
			schema = section(v.sections, defs)
		case v.kind == "enum":
			words := []any{nil}
			for _, word := range v.words {
				words = append(words, word)
			}
			schema = object{"enum": words}
		default:
			defs[v.kind] = kinds[v.kind].schema
			schema = object{"$ref": "#/$defs/" + v.kind}
		}
		if v.description != "" {
			schema["description"] = v.description
		}
		properties[v.key] = schema
	}
	return object{"type": []any{"object", "null"}, "properties": properties}
}
