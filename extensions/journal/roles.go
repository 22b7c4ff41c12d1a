package journal

import (
	"slices"
	"strings"
)

// doing names the role that a component in use gives to its process, in the order in which roles are told.
var doing = []struct{ component, role string }{
	{"decode", "ingest"}, {"inspect", "enrich"}, {"detect", "detect"}, {"clickhouse", "store"}, {"seal", "seal"}, {"retention", "retention"}, {"page", "page"},
}

// roles says what a process does by its effective configuration: roles as deploy/config has them, and export for each other system that gets something.
func roles(conf map[string]any) []string {
	service := section(conf["service"])
	used := types(service["extensions"])
	var exporters []string
	for _, p := range section(service["pipelines"]) {
		p := section(p)
		exporters = append(exporters, types(p["exporters"])...)
		used = append(used, types(p["processors"])...)
	}
	used = append(used, exporters...)
	out := []string{}
	for _, d := range doing {
		if slices.Contains(used, d.component) {
			out = append(out, d.role)
		}
	}
	if slices.ContainsFunc(exporters, func(e string) bool {
		return !slices.Contains([]string{"jetstream", "clickhouse", "decode", "detect"}, e)
	}) {
		out = append(out, "export")
	}
	return out
}

func section(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// types are the types of components, without their names.
func types(v any) (out []string) {
	ids, _ := v.([]any)
	for _, id := range ids {
		if s, ok := id.(string); ok {
			t, _, _ := strings.Cut(s, "/")
			out = append(out, t)
		}
	}
	return out
}
