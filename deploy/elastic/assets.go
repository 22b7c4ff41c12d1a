// Package elastic holds what a cluster needs before the elastic exporter writes to it: index templates made from schemas/mappings/ecs.yaml, retention,
// dashboards and detection rules. It puts them there, and writes them as files for those who install by other means.
package elastic

import (
	"encoding/json"
	"fmt"
	"strings"

	exporter "github.com/mcpsiem/mcpsiem/exporters/elastic"
	"github.com/mcpsiem/mcpsiem/internal/sink"
)

//go:generate go run ./gen

// TemplatesVersion is the version of the templates; it grows when they change.
const TemplatesVersion = 1

// Retention in days by kind of record.
type Retention map[sink.Kind]int

// DefaultRetention: events 90 days, findings and audit records 400.
func DefaultRetention() Retention {
	return Retention{sink.KindEvent: 90, sink.KindFinding: 400, sink.KindAudit: 400}
}

// Options of an installation.
type Options struct {
	Namespaces []string  // of data streams that are made at once, so that the exporter's key needs no right to make them
	Retention  Retention // nil: DefaultRetention
	Replicas   *int      // nil: the cluster's default
}

// Asset is one thing to put into a cluster.
type Asset struct {
	Name string // for people
	Path string // PUT
	Body []byte
	// Policy is a retention policy of OpenSearch's index state management: it is a plugin, and to change one its present version has to be named.
	Policy bool
	// Once is a thing that is made once: that it is there already is no fault.
	Once bool
}

type object = map[string]any

// Assets are what a cluster of a version needs, in order.
func Assets(v exporter.Version, o Options) ([]Asset, error) {
	if o.Retention == nil {
		o.Retention = DefaultRetention()
	}
	var out []Asset
	add := func(name, path string, body object) *Asset {
		b, err := json.MarshalIndent(body, "", "  ")
		if err != nil {
			panic("BUG: cannot encode a template: " + err.Error())
		}
		out = append(out, Asset{Name: name, Path: path, Body: append(b, '\n')})
		return &out[len(out)-1]
	}
	meta := object{"managed_by": "mcpsiem", "description": "Made by mcpsiem elastic setup, which puts it anew each time"}
	for _, k := range sink.Kinds {
		days := o.Retention[k]
		if days <= 0 {
			return nil, fmt.Errorf("retention of %s records must be at least a day", k)
		}
		name := exporter.TemplateName(k)
		switch v.Flavour {
		case exporter.OpenSearch:
			add("retention policy "+name, "/_plugins/_ism/policies/"+name, ism(k, days)).Policy = true
		case exporter.Serverless: // the data stream's own lifecycle, in the template
		default:
			add("retention policy "+name, "/_ilm/policy/"+name, ilm(days))
		}
	}
	settings := object{"codec": "best_compression", "refresh_interval": "5s", "mapping": object{"ignore_malformed": true}}
	if o.Replicas != nil && v.Flavour != exporter.Serverless {
		settings["number_of_replicas"] = *o.Replicas
	}
	add("component template mcpsiem-settings", "/_component_template/mcpsiem-settings", object{"template": object{"settings": object{"index": settings}}, "version": TemplatesVersion, "_meta": meta})
	for _, k := range sink.Kinds {
		m, err := mappings(k, v)
		if err != nil {
			return nil, err
		}
		add("component template "+exporter.TemplateName(k)+"-mappings", "/_component_template/"+exporter.TemplateName(k)+"-mappings", object{"template": object{"mappings": m}, "version": TemplatesVersion, "_meta": meta})
	}
	for _, k := range sink.Kinds {
		add("index template "+exporter.TemplateName(k), "/_index_template/"+exporter.TemplateName(k), indexTemplate(k, v, o, meta))
	}
	for _, ns := range o.Namespaces {
		if !exporter.ValidNamespace(ns) {
			return nil, fmt.Errorf("namespace must be 1 to 100 lower-case letters, digits, _ . + @, without -")
		}
		for _, k := range sink.Kinds {
			n := exporter.StreamName(k, ns)
			out = append(out, Asset{Name: "data stream " + n, Path: "/_data_stream/" + n, Once: true})
		}
	}
	return out, nil
}

func indexTemplate(k sink.Kind, v exporter.Version, o Options, meta object) object {
	name := exporter.TemplateName(k)
	composed := []string{"mcpsiem-settings", name + "-mappings"}
	inner := object{}
	t := object{
		"index_patterns": []string{exporter.StreamName(k, "*")}, "data_stream": object{},
		"priority": 500, // above logs-*-*, 100
		"version":  TemplatesVersion, "_meta": meta,
	}
	switch {
	case v.Flavour == exporter.OpenSearch:
	case v.Flavour == exporter.Serverless:
		inner["lifecycle"] = object{"data_retention": fmt.Sprintf("%dd", o.Retention[k])}
	default:
		inner["settings"] = object{"index": object{"lifecycle": object{"name": name}}}
	}
	if v.Flavour != exporter.OpenSearch && v.AtLeast(8, 7) {
		composed = append(composed, "mcpsiem@custom")
		t["ignore_missing_component_templates"] = []string{"mcpsiem@custom"}
	}
	if v.Flavour != exporter.OpenSearch && (v.AtLeast(9, 1) || v.Major == 8 && v.Minor >= 19) {
		// What does not fit is to be refused: it becomes a dead letter then, which can be shown and replayed.
		inner["data_stream_options"] = object{"failure_store": object{"enabled": false}}
	}
	t["composed_of"] = composed
	if len(inner) > 0 {
		t["template"] = inner
	}
	return t
}

// ilm keeps an index for days after it was rolled over.
func ilm(days int) object {
	return object{"policy": object{"phases": object{
		"hot":    object{"min_age": "0ms", "actions": object{"rollover": object{"max_age": "30d", "max_primary_shard_size": "50gb"}}},
		"delete": object{"min_age": fmt.Sprintf("%dd", days), "actions": object{"delete": object{}}},
	}, "_meta": object{"managed_by": "mcpsiem"}}}
}

// ism is the same for OpenSearch.
func ism(k sink.Kind, days int) object {
	return object{"policy": object{
		"description": "Made by mcpsiem elastic setup", "default_state": "hot",
		"states": []object{
			{"name": "hot", "actions": []object{{"rollover": object{"min_index_age": "30d", "min_primary_shard_size": "50gb"}}},
				"transitions": []object{{"state_name": "delete", "conditions": object{"min_rollover_age": fmt.Sprintf("%dd", days)}}}},
			{"name": "delete", "actions": []object{{"delete": object{}}}, "transitions": []object{}},
		},
		"ism_template": []object{{"index_patterns": []string{exporter.StreamName(k, "*")}, "priority": 100}},
	}}
}

// mappings names every field that documents of a kind can have. What it does not name is kept and not indexed: a newer exporter loses nothing by older
// templates, and nothing can make fields.
func mappings(k sink.Kind, v exporter.Version) (object, error) {
	fields, err := exporter.Fields(k)
	if err != nil {
		return nil, err
	}
	root := object{}
	for _, f := range fields {
		at := root
		parts := strings.Split(f.Path, ".")
		for _, p := range parts[:len(parts)-1] {
			o, ok := at[p].(object)
			if !ok {
				o = object{"properties": object{}}
				at[p] = o
			}
			at = o["properties"].(object)
		}
		at[parts[len(parts)-1]] = fieldMapping(f, k, v)
	}
	return object{"dynamic": false, "properties": root}, nil
}

func fieldMapping(f exporter.Field, k sink.Kind, v exporter.Version) object {
	openSearch := v.Flavour == exporter.OpenSearch
	switch f.Type {
	case "keyword": // a longer value is kept and not indexed; over 32,766 bytes Lucene would refuse the document
		return object{"type": "keyword", "ignore_above": 1024}
	case "constant_keyword":
		switch {
		case openSearch:
			return object{"type": "keyword", "ignore_above": 1024}
		case f.Path == "data_stream.type":
			return object{"type": "constant_keyword", "value": "logs"}
		case f.Path == "data_stream.dataset":
			return object{"type": "constant_keyword", "value": "mcpsiem." + string(k)}
		}
		return object{"type": "constant_keyword"} // the first document's
	case "flattened":
		if openSearch {
			return object{"type": "flat_object"}
		}
		return object{"type": "flattened", "ignore_above": 8191}
	}
	return object{"type": f.Type}
}

// APIKey is the body of POST /_security/api_key (Elasticsearch) for the exporter: what it needs and no more.
func APIKey() []byte {
	b, err := json.MarshalIndent(object{"name": "mcpsiem exporter", "role_descriptors": object{"mcpsiem_exporter": object{
		"cluster": []string{"monitor"},
		"indices": []object{{"names": []string{"logs-mcpsiem.*"}, "privileges": []string{"create_doc", "auto_configure", "view_index_metadata", "read", "maintenance"}}},
	}}}, "", "  ")
	if err != nil {
		panic("BUG: cannot encode the key's role: " + err.Error())
	}
	return append(b, '\n')
}

// Files are all files below deploy/elastic that are made from code, by their path.
func Files() (map[string][]byte, error) {
	out := map[string][]byte{"elasticsearch/api-key.json": APIKey()}
	for dir, v := range map[string]exporter.Version{
		"elasticsearch": {Flavour: exporter.Elasticsearch, Major: 9, Minor: 1}, "serverless": {Flavour: exporter.Serverless}, "opensearch": {Flavour: exporter.OpenSearch, Major: 3},
	} {
		assets, err := Assets(v, Options{})
		if err != nil {
			return nil, err
		}
		for i, a := range assets {
			name := strings.NewReplacer("plugins/_", "", "/_", "", "/", "-").Replace(strings.TrimPrefix(a.Path, "/_"))
			out[fmt.Sprintf("%s/%02d-%s.json", dir, i+1, name)] = a.Body
		}
	}
	out["kibana/dashboards.ndjson"] = Dashboards()
	out["kibana/detection-rules.ndjson"] = DetectionRules()
	return out, nil
}
