// schemas/config.schema.json.

package configdoc

import (
	"encoding/json"
	"regexp"
)

// substitution is what may stand in the place of any value that is no text.
var substitution = map[string]any{"type": "string", "pattern": `^\$\{[^}]+\}$`}

// Schema is a JSON Schema (2020-12) of configurations.
func Schema(comps []Component) ([]byte, error) {
	sections := map[string]map[string]any{}
	for _, k := range Kinds {
		sections[k] = map[string]any{}
	}
	for _, c := range comps {
		s := object(c.Fields)
		s["description"] = "https://pkg.go.dev/" + c.Package
		if !c.Own() {
			delete(s, "additionalProperties") // some of the Collector's components decode keys of their own
		}
		sections[c.Kind]["^"+regexp.QuoteMeta(c.Type)+"(/.+)?$"] = map[string]any{"anyOf": []any{map[string]any{"type": "null"}, s, substitution}}
	}
	props := map[string]any{}
	for _, k := range Kinds {
		props[k] = map[string]any{"type": []string{"object", "null"}, "patternProperties": sections[k], "additionalProperties": false}
	}
	ids := map[string]any{"type": "array", "items": map[string]any{"type": "string"}}
	props["service"] = map[string]any{"type": "object", "additionalProperties": false, "properties": map[string]any{
		"extensions": ids,
		"telemetry":  map[string]any{"type": "object"},
		"pipelines": map[string]any{"type": "object", "additionalProperties": false, "patternProperties": map[string]any{
			"^(logs|traces)(/.+)?$": map[string]any{"type": "object", "additionalProperties": false,
				"properties": map[string]any{"receivers": ids, "processors": ids, "exporters": ids}},
		}},
	}}
	return json.MarshalIndent(map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"$id":     "https://raw.githubusercontent.com/mcpsiem/mcpsiem/main/schemas/config.schema.json",
		"title":   "mcpsiem configuration", "type": "object", "additionalProperties": false, "properties": props,
	}, "", " ")
}

func object(fields []Field) map[string]any {
	props := map[string]any{}
	for _, f := range fields {
		s := property(f)
		if f.Doc != "" {
			s["description"] = f.Doc
		}
		props[f.Key] = s
	}
	return map[string]any{"type": "object", "properties": props, "additionalProperties": false}
}

func property(f Field) map[string]any {
	or := func(s map[string]any) map[string]any { return map[string]any{"anyOf": []any{s, substitution}} }
	item := func() any {
		return property(Field{Type: f.Item, Fields: f.Fields, Foreign: f.Foreign})
	}
	switch f.Type {
	case "string", "secret", "time":
		return map[string]any{"type": []string{"string", "number", "boolean"}}
	case "duration":
		return map[string]any{"type": []string{"string", "integer"}, "pattern": `^(-?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+|0|\$\{[^}]+\})$`}
	case "boolean":
		return or(map[string]any{"type": "boolean"})
	case "integer":
		return or(map[string]any{"type": "integer"})
	case "number":
		return or(map[string]any{"type": "number"})
	case "list":
		return or(map[string]any{"type": []string{"array", "null"}, "items": item()})
	case "map":
		return or(map[string]any{"type": []string{"object", "null"}, "additionalProperties": item()})
	case "section":
		s := object(f.Fields)
		s["type"] = []string{"object", "null"}
		if f.Foreign || f.Optional {
			delete(s, "additionalProperties")
		}
		return or(s)
	}
	return map[string]any{}
}
