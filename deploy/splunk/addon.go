// Package splunk makes the Splunk add-on TA-mcpsiem from schemas/mappings/cim.yaml and checks it and the app mcpsiem_app.
package splunk

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/mcpsiem/mcpsiem/exporters/splunkhec"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/schemas"
)

//go:generate go run ./gen

// CIM is schemas/mappings/cim.yaml.
type CIM struct {
	Version     int          `yaml:"version"`
	SourceTypes []SourceType `yaml:"sourcetypes"`
	Models      []Model      `yaml:"models"`
}

// SourceType maps CIM fields to eval expressions.
type SourceType struct {
	Name   string            `yaml:"name"`
	Fields map[string]string `yaml:"fields"`
}

// Model puts records into a data model.
type Model struct {
	Name       string   `yaml:"name"`
	EventType  string   `yaml:"eventtype"`
	SourceType string   `yaml:"sourcetype"`
	Search     string   `yaml:"search"`
	Tags       []string `yaml:"tags"`
	Wants      []string `yaml:"wants"`
}

// LoadCIM reads the mapping.
func LoadCIM() (*CIM, error) {
	var c CIM
	if err := yaml.Unmarshal(schemas.CIM, &c); err != nil {
		return nil, fmt.Errorf("cannot read schemas/mappings/cim.yaml: %w", err)
	}
	return &c, nil
}

const generated = "# Generated from schemas/mappings/cim.yaml; edit that file and run: go generate ./deploy/splunk\n"

// AddOn returns the generated files by their path below deploy/splunk.
func AddOn() (map[string]string, error) {
	c, err := LoadCIM()
	if err != nil {
		return nil, err
	}
	var props, types, tags, fields strings.Builder
	for _, b := range []*strings.Builder{&props, &types, &tags, &fields} {
		b.WriteString(generated)
	}
	for _, st := range c.SourceTypes {
		fmt.Fprintf(&props, "\n[%s]\n", st.Name)
		props.WriteString(`SHOULD_LINEMERGE = false
LINE_BREAKER = ([\r\n]+)
TRUNCATE = 1100000
TIME_PREFIX = ^\{"time":
TIME_FORMAT = %s.%6N
MAX_TIMESTAMP_LOOKAHEAD = 20
KV_MODE = json
category = Network & Security
pulldown_type = true
`)
		fmt.Fprintf(&props, "description = mcpsiem: %ss\n", strings.TrimPrefix(st.Name, "mcpsiem:"))
		lists := Lists(st.Name == "mcpsiem:finding")
		for _, l := range lists {
			fmt.Fprintf(&props, "FIELDALIAS-%s = \"%s{}\" AS %s\n", l, l, l)
		}
		if st.Name == "mcpsiem:finding" {
			props.WriteString("REPORT-mcpsiem_technique = mcpsiem_atlas_technique\n")
		}
		for _, k := range slices.Sorted(maps.Keys(st.Fields)) {
			fmt.Fprintf(&props, "EVAL-%s = %s\n", k, st.Fields[k])
		}
	}
	for _, m := range c.Models {
		search := "sourcetype=\"" + m.SourceType + "\""
		if m.Search != "" {
			search += " (" + m.Search + ")"
		}
		fmt.Fprintf(&types, "\n# %s\n[%s]\nsearch = %s\n", m.Name, m.EventType, search)
		fmt.Fprintf(&tags, "\n[eventtype=%s]\n", m.EventType)
		for _, t := range m.Tags {
			fmt.Fprintf(&tags, "%s = enabled\n", t)
		}
	}
	for _, f := range splunkhec.DefaultIndexed() {
		fmt.Fprintf(&fields, "\n[%s%s]\nINDEXED = true\n", splunkhec.IndexedPrefix, f)
	}
	return map[string]string{
		"TA-mcpsiem/default/props.conf":      props.String(),
		"TA-mcpsiem/default/eventtypes.conf": types.String(),
		"TA-mcpsiem/default/tags.conf":       tags.String(),
		"TA-mcpsiem/default/fields.conf":     fields.String(),
	}, nil
}

// Lists are the fields that the exporter sends as JSON arrays, which Splunk calls name{}.
func Lists(ofFindings bool) []string {
	var out []string
	add := func(t reflect.Type, goName, column, ch string, raw bool) {
		if sf, ok := t.FieldByName(goName); ok && !raw && ch != "-" && sf.Type == reflect.TypeFor[[]string]() {
			out = append(out, column)
		}
	}
	if ofFindings {
		for _, f := range finding.Schema {
			add(reflect.TypeFor[finding.Fields](), f.Go, f.Column, f.ClickHouse, f.Raw)
		}
	} else {
		for _, f := range event.Schema {
			add(reflect.TypeFor[event.Fields](), f.Go, f.Column, f.ClickHouse, f.Raw)
		}
	}
	slices.Sort(out)
	return out
}
