package rule

import (
	"encoding/json"
	"reflect"
	"strings"
)

// JSONSchema is a JSON Schema (2020-12) of rule and macro files, for editors.
func JSONSchema() []byte {
	defs := map[string]any{"duration": map[string]any{"type": "string", "pattern": `^([0-9]+d|([0-9.]+(ns|us|ms|s|m|h))+)$`}}
	rule := schemaOf(reflect.TypeFor[File](), defs)
	enum := func(name string, list []string) {
		rule["properties"].(map[string]any)[name] = map[string]any{"enum": list}
	}
	enum("kind", kinds)
	enum("status", statuses)
	rule["properties"].(map[string]any)["schema"] = map[string]any{"const": SchemaRule}
	rule["required"] = []string{"schema", "id", "version", "title", "severity", "kind", "summary"}
	macros := schemaOf(reflect.TypeFor[Macros](), defs)
	macros["properties"].(map[string]any)["schema"] = map[string]any{"const": SchemaMacros}
	macros["required"] = []string{"schema"}
	out, _ := json.MarshalIndent(map[string]any{ // of texts and maps: no error
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Rule of mcpsiem", "oneOf": []any{rule, macros}, "$defs": defs,
	}, "", "  ")
	return append(out, '\n')
}

func schemaOf(t reflect.Type, defs map[string]any) map[string]any {
	switch t {
	case reflect.TypeFor[Duration]():
		return map[string]any{"$ref": "#/$defs/duration"}
	case reflect.TypeFor[Severity]():
		return map[string]any{"oneOf": []any{map[string]any{"enum": severities}, map[string]any{
			"type": "object", "additionalProperties": false, "required": []string{"expr", "default"},
			"properties": map[string]any{"expr": map[string]any{"type": "string"}, "default": map[string]any{"enum": severities}},
		}}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem(), defs)
	case reflect.Struct:
		props := map[string]any{}
		for i := range t.NumField() {
			if name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); name != "" {
				props[name] = schemaOf(t.Field(i).Type, defs)
			}
		}
		return map[string]any{"type": "object", "additionalProperties": false, "properties": props}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem(), defs)}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem(), defs)}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	}
	return map[string]any{"type": "string"}
}
