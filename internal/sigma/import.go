// Package sigma makes rules of Sigma 2.1 files, and Sigma of rules. README.md says what is carried and what is not.
//
// Source: the Sigma specification, version 2.1.0 (github.com/SigmaHQ/sigma-specification).
package sigma

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/mcpsiem/mcpsiem/detectors/rule"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/schemas/mappings"
)

// Mapping says what Sigma's names are here.
type Mapping struct {
	Version   int `yaml:"version"`
	Logsource struct {
		Products []string          `yaml:"products"`
		Services map[string]string `yaml:"services"`
	} `yaml:"logsource"`
	Fields       map[string]string   `yaml:"fields"`
	Levels       map[string]string   `yaml:"levels"`
	Placeholders map[string][]string `yaml:"placeholders"`
}

// DefaultMapping is that of schemas/mappings/sigma.yaml.
func DefaultMapping() (*Mapping, error) { return ReadMapping(mappings.Sigma) }

// ReadMapping reads a mapping file.
func ReadMapping(text []byte) (*Mapping, error) {
	nodes, p := rule.Nodes("mapping", text)
	if len(p) > 0 {
		return nil, p
	}
	var m Mapping
	if len(nodes) != 1 {
		return nil, fmt.Errorf("cannot read the mapping: it must be one YAML document")
	}
	if err := nodes[0].Decode(&m); err != nil {
		return nil, fmt.Errorf("cannot read the mapping: %w", err)
	}
	return &m, nil
}

// Extend lays another mapping's entries over this one's.
func (m *Mapping) Extend(o *Mapping) {
	m.Logsource.Products = append(m.Logsource.Products, o.Logsource.Products...)
	for _, p := range []struct{ to, from *map[string]string }{{&m.Logsource.Services, &o.Logsource.Services}, {&m.Fields, &o.Fields}, {&m.Levels, &o.Levels}} {
		if *p.to == nil {
			*p.to = map[string]string{}
		}
		for k, v := range *p.from {
			(*p.to)[k] = v
		}
	}
	if m.Placeholders == nil {
		m.Placeholders = map[string][]string{}
	}
	for k, v := range o.Placeholders {
		m.Placeholders[k] = v
	}
}

// Result of an import.
type Result struct {
	Rules    []rule.File
	Warnings rule.Problems // carried, but something is lost
	Refused  rule.Problems // not carried
}

// common is what detection rules, correlations and filters have.
type common struct {
	Title          string `yaml:"title"`
	ID             string `yaml:"id"`
	Name           string `yaml:"name"`
	Status         string `yaml:"status"`
	Description    string `yaml:"description"`
	Author         string `yaml:"author"`
	References     list   `yaml:"references"`
	FalsePositives list   `yaml:"falsepositives"`
	Level          string `yaml:"level"`
	Tags           list   `yaml:"tags"`
	Generate       bool   `yaml:"generate"`
	Logsource      struct {
		Category string `yaml:"category"`
		Product  string `yaml:"product"`
		Service  string `yaml:"service"`
	} `yaml:"logsource"`
	Detection   yaml.Node `yaml:"detection"`
	Correlation yaml.Node `yaml:"correlation"`
	Filter      yaml.Node `yaml:"filter"`
}

// list is a list of texts, or one.
type list []string

// UnmarshalYAML implements yaml.Unmarshaler.
func (l *list) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*l = list{n.Value}
		return nil
	}
	var s []string
	if err := n.Decode(&s); err != nil {
		return err
	}
	*l = s
	return nil
}

type document struct {
	common
	file string
	node *yaml.Node
	cond string // of a detection, mapped
	used bool   // by a correlation
}

// Import makes rules of Sigma files. Documents that refer to one another, such as correlations to their rules, must be given together.
func Import(files []rule.Document, m *Mapping) Result {
	var res Result
	im := &importer{m: m, res: &res, at: map[string]*document{}, ids: map[string]bool{}}
	var docs, correlations, filters []*document
	for _, f := range files {
		nodes, p := rule.Nodes(f.Name, f.Text)
		res.Refused = append(res.Refused, p...)
		for _, n := range nodes {
			d := &document{file: f.Name, node: n}
			if err := n.Decode(&d.common); err != nil {
				im.refuse(d, &fault{line: n.Line, text: "this is no Sigma rule: a key has a value of the wrong type"})
				continue
			}
			switch {
			case d.Detection.Kind == yaml.MappingNode:
				docs = append(docs, d)
			case d.Correlation.Kind == yaml.MappingNode:
				correlations = append(correlations, d)
			case d.Filter.Kind == yaml.MappingNode:
				filters = append(filters, d)
			default:
				im.refuse(d, &fault{line: n.Line, text: "the document has no detection, correlation or filter"})
				continue
			}
			if d.Title == "" {
				im.refuse(d, &fault{line: n.Line, text: "a title is missing"})
			}
		}
	}
	for _, d := range docs {
		if f := im.detection(d); f != nil {
			im.refuse(d, f)
			continue
		}
		for _, key := range []string{d.ID, d.Name} {
			if key != "" {
				im.at[key] = d
			}
		}
	}
	for _, d := range filters {
		if f := im.filter(d, docs); f != nil {
			im.refuse(d, f)
		}
	}
	for _, d := range correlations {
		f, fa := im.correlation(d)
		if fa != nil {
			im.refuse(d, fa)
			continue
		}
		im.add(d, f)
	}
	for _, d := range docs {
		if d.cond == "" || d.used && !d.Generate {
			continue
		}
		f := im.head(d)
		f.Kind, f.When, f.GroupBy = rule.KindEvent, d.cond, []string{"principal_id", "server", "tool"}
		h := rule.Duration(time.Hour)
		f.Dedup = &h
		if !strings.Contains(d.cond, "tool") {
			f.GroupBy = []string{"server"}
		}
		im.add(d, f)
	}
	return res
}

type importer struct {
	m   *Mapping
	res *Result
	at  map[string]*document // by id and name
	ids map[string]bool      // ids given to rules
}

func (im *importer) refuse(d *document, f *fault) {
	line := f.line
	if line == 0 {
		line = d.node.Line
	}
	d.cond = ""
	im.res.Refused = append(im.res.Refused, rule.Problem{File: d.file, Line: line, Text: f.text, Hint: f.hint})
}

func (im *importer) warn(d *document, line int, format string, args ...any) {
	if line == 0 {
		line = d.node.Line
	}
	im.res.Warnings = append(im.res.Warnings, rule.Problem{File: d.file, Line: line, Text: fmt.Sprintf(format, args...)})
}

// add takes a rule if it compiles.
func (im *importer) add(d *document, f rule.File) {
	text, err := rule.Marshal(f)
	if err != nil {
		im.refuse(d, &fault{text: err.Error()})
		return
	}
	if _, p := rule.Parse([]rule.Document{{Name: d.file, Text: text}}); len(p) > 0 {
		im.refuse(d, &fault{text: "the rule does not compile: " + p[0].Text, hint: p[0].Hint})
		return
	}
	im.res.Rules = append(im.res.Rules, f)
}

// detection sets the condition of a detection rule.
func (im *importer) detection(d *document) *fault {
	ls := d.Logsource
	var parts []string
	if ls.Product != "" && !slices.Contains(im.m.Logsource.Products, ls.Product) {
		return &fault{text: fmt.Sprintf("log source product %q is not about MCP", ls.Product), hint: "add it to logsource.products of a mapping file"}
	}
	if ls.Service != "" {
		x, ok := im.m.Logsource.Services[ls.Service]
		if !ok {
			return &fault{text: fmt.Sprintf("log source service %q has no counterpart", ls.Service), hint: "one of " + strings.Join(sortedKeys(im.m.Logsource.Services), ", ")}
		}
		parts = append(parts, x)
	}
	if ls.Product == "" && ls.Service == "" && ls.Category == "" {
		im.warn(d, 0, "the rule has no log source: it looks at every event")
	}
	if ls.Category != "" {
		im.warn(d, 0, "log source category %q is left out", ls.Category)
	}
	x, _, f := im.condition(&d.Detection)
	if f != nil {
		return f
	}
	d.cond = combine("and", append(parts, x))
	return nil
}

// condition is the mapped condition of a detection or filter, and whether it uses not.
func (im *importer) condition(n *yaml.Node, skip ...string) (string, bool, *fault) {
	parts, f := im.m.detection(n, append(skip, "condition")...)
	if f != nil {
		return "", false, f
	}
	var conds []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "condition" {
			if c := n.Content[i+1]; c.Kind == yaml.SequenceNode {
				conds = c.Content
			} else {
				conds = []*yaml.Node{c}
			}
		}
	}
	if len(conds) == 0 {
		return "", false, &fault{line: n.Line, text: "the condition is missing"}
	}
	var out []string
	negated := false
	for _, c := range conds {
		x, not, err := parseCondition(c.Value, parts)
		if err != nil {
			return "", false, &fault{line: c.Line, text: err.Error()}
		}
		negated = negated || not
		out = append(out, x)
	}
	return combine("or", out), negated, nil
}

// filter ands its condition to the rules that it names.
func (im *importer) filter(d *document, docs []*document) *fault {
	var names struct {
		Rules list `yaml:"rules"`
	}
	if err := d.Filter.Decode(&names); err != nil {
		return &fault{line: d.Filter.Line, text: "rules of a filter must be a list of ids or names"}
	}
	x, not, f := im.condition(&d.Filter, "rules")
	if f != nil {
		return f
	}
	if !not {
		im.warn(d, d.Filter.Line, "the filter's condition has no not: it keeps what it names and drops all else")
	}
	for _, t := range docs {
		if t.cond != "" && (slices.Contains(names.Rules, t.ID) && t.ID != "" || slices.Contains(names.Rules, t.Name) && t.Name != "" || slices.Contains(names.Rules, "any")) {
			t.cond = combine("and", []string{t.cond, x})
			t.used = t.used || false
		}
	}
	return nil
}

var unfit = regexp.MustCompile(`[^a-z0-9]+`)

// head is what every rule made of a document has.
func (im *importer) head(d *document) rule.File {
	slug := strings.Trim(unfit.ReplaceAllString(strings.ToLower(d.Title), "_"), "_")
	if len(slug) > 60 {
		slug = strings.Trim(slug[:60], "_")
	}
	id := "sigma_" + slug
	if im.ids[id] || slug == "" {
		id += "_" + event.SourceID(d.ID, d.Title, d.file, strconv.Itoa(d.node.Line))[:8]
	}
	im.ids[id] = true
	f := rule.File{Schema: rule.SchemaRule, ID: id, Version: "1.0.0", Title: d.Title, Status: d.Status}
	switch d.Status {
	case "stable", "test", "experimental", "deprecated", "unsupported":
	case "":
		f.Status = "experimental"
	default:
		im.warn(d, 0, "status %q is taken as experimental", d.Status)
		f.Status = "experimental"
	}
	f.Severity.Fixed = im.m.Levels[d.Level]
	if f.Severity.Fixed == "" {
		f.Severity.Fixed = "medium"
		im.warn(d, 0, "level %q is taken as medium", d.Level)
	}
	f.Description = strings.TrimSpace(d.Description)
	if d.Author != "" {
		f.Description += "\nAuthor: " + d.Author
	}
	for _, r := range d.References {
		f.Description += "\nSee " + r
	}
	f.Description = strings.TrimSpace(f.Description)
	f.FalsePositives = strings.Join(d.FalsePositives, "; ")
	if d.ID != "" {
		f.Tags = append(f.Tags, "sigma."+unfitTag.ReplaceAllString(strings.ToLower(d.ID), "-"))
	}
	for _, t := range d.Tags {
		t = strings.ReplaceAll(strings.ToLower(t), "_", "-")
		if tag.MatchString(t) {
			f.Tags = append(f.Tags, t)
		} else {
			im.warn(d, 0, "a tag is left out: it is not namespace.name")
		}
	}
	title := strings.NewReplacer("{", "(", "}", ")").Replace(d.Title)
	if len(title) > 300 {
		title = title[:300]
	}
	f.Summary = strings.ToValidUTF8(title, "") + ": {principal_id} at {server}, {tool}"
	return f
}

var (
	tag      = regexp.MustCompile(`^[a-z0-9_-]+(\.[a-z0-9_-]+)+$`)
	unfitTag = regexp.MustCompile(`[^a-z0-9-]+`)
)

var timespan = regexp.MustCompile(`^(\d{1,9})([smhd])$`)

func parseTimespan(s string) (rule.Duration, bool) {
	p := timespan.FindStringSubmatch(s)
	if p == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(p[1], 10, 64)
	unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[p[2]]
	if err != nil || n <= 0 || time.Duration(n) > 31*24*time.Hour/unit {
		return 0, false
	}
	return rule.Duration(time.Duration(n) * unit), true
}

var aggregates = map[string]string{"event_count": "event_count", "value_count": "value_count", "value_sum": "sum", "value_avg": "avg", "value_percentile": "percentile"}

// correlation makes a rule of a correlation.
func (im *importer) correlation(d *document) (rule.File, *fault) {
	var c struct {
		Type     string                       `yaml:"type"`
		Rules    list                         `yaml:"rules"`
		GroupBy  list                         `yaml:"group-by"`
		Timespan string                       `yaml:"timespan"`
		Aliases  map[string]map[string]string `yaml:"aliases"`
		Cond     yaml.Node                    `yaml:"condition"`
	}
	at := func(format string, args ...any) (rule.File, *fault) {
		return rule.File{}, &fault{line: d.Correlation.Line, text: fmt.Sprintf(format, args...)}
	}
	if err := d.Correlation.Decode(&c); err != nil {
		return at("the correlation has a key with a value of the wrong type")
	}
	window, ok := parseTimespan(c.Timespan)
	if !ok {
		return at("timespan %q is not a number with s, m, h or d, up to 31d", c.Timespan)
	}
	var refs []*document
	for _, name := range c.Rules {
		r := im.at[name]
		if r == nil || r.cond == "" {
			return at("rule %q is not among the files, was refused, or is itself a correlation", name)
		}
		refs = append(refs, r)
	}
	if len(refs) == 0 {
		return at("the correlation names no rules")
	}
	// The fields of group-by, for each rule.
	groups := make([][]string, len(refs))
	for _, g := range c.GroupBy {
		for i, r := range refs {
			name := g
			if alias, ok := c.Aliases[g]; ok {
				if name = alias[r.Name]; name == "" {
					name = alias[r.ID]
				}
				if name == "" {
					return at("alias %s does not say what it is in rule %s", g, c.Rules[i])
				}
			}
			o, ok := im.m.field(name)
			if !ok || strings.Contains(o.expr, "[") || slices.Contains([]string{"message", "scores", "labels", "tools"}, o.typ) {
				return at("group-by field %s has no counterpart", name)
			}
			groups[i] = append(groups[i], o.expr)
		}
	}
	f := im.head(d)
	f.Window, f.GroupBy = window, groups[0]
	same := true
	for _, g := range groups {
		same = same && slices.Equal(g, groups[0])
	}
	var cond map[string]yaml.Node
	if c.Cond.Kind == yaml.MappingNode {
		if err := c.Cond.Decode(&cond); err != nil {
			return at("the condition must be a map of gt, gte, lt, lte, eq, neq")
		}
	} else if c.Cond.Kind != 0 {
		return rule.File{}, &fault{line: c.Cond.Line, text: "conditions of correlations are maps; expressions over rules are not in Sigma 2.1"}
	}
	number := func(key string) (*float64, *fault) {
		n, ok := cond[key]
		if !ok {
			return nil, nil
		}
		x, err := strconv.ParseFloat(n.Value, 64)
		if err != nil {
			return nil, &fault{line: n.Line, text: key + " must be a number"}
		}
		return &x, nil
	}
	var t rule.Threshold
	for key := range cond {
		if !slices.Contains([]string{"gt", "gte", "lt", "lte", "eq", "neq", "field", "percentile"}, key) {
			return at("the condition has the unknown key %s", key)
		}
	}
	for _, p := range []struct {
		key string
		to  **float64
	}{{"gt", &t.GT}, {"gte", &t.GTE}, {"lt", &t.LT}, {"lte", &t.LTE}, {"eq", &t.EQ}, {"neq", &t.NEQ}} {
		x, fa := number(p.key)
		if fa != nil {
			return rule.File{}, fa
		}
		*p.to = x
	}
	for _, r := range refs {
		r.used = true
	}
	switch c.Type {
	case "temporal", "temporal_ordered":
		if len(cond) > 0 {
			all := float64(len(refs))
			if (t.GTE == nil || *t.GTE != all) && (t.EQ == nil || *t.EQ != all) || len(cond) > 1 {
				return at("a %s correlation that wants fewer rules than it names, or more, is not supported", c.Type)
			}
		}
		if len(refs) < 2 {
			return at("a %s correlation needs two rules or more", c.Type)
		}
		f.Kind = rule.KindSequence
		ordered := c.Type == "temporal_ordered"
		f.Ordered = &ordered
		for i, r := range refs {
			s := rule.Step{ID: r.Name, When: r.cond}
			if !slices.Equal(groups[i], groups[0]) {
				s.By = groups[i]
			}
			f.Steps = append(f.Steps, s)
		}
		if !ordered {
			im.warn(d, d.Correlation.Line, "an event that several of the rules match counts for one of them")
		}
		return f, nil
	}
	t.Aggregate = aggregates[c.Type]
	if t.Aggregate == "" {
		return at("there is no correlation of type %q here", c.Type)
	}
	if !same {
		return at("aliases that stand for different fields are carried for temporal correlations only")
	}
	if t.GT == nil && t.GTE == nil && t.LT == nil && t.LTE == nil && t.EQ == nil && t.NEQ == nil {
		return at("a %s correlation needs a condition", c.Type)
	}
	if t.Aggregate != "event_count" {
		var of struct {
			Field list `yaml:"field"`
		}
		if err := c.Cond.Decode(&of); err != nil || len(of.Field) == 0 {
			return at("a %s correlation needs a field in its condition", c.Type)
		}
		for _, name := range of.Field {
			o, ok := im.m.field(name)
			if !ok || t.Aggregate == "value_count" && strings.Contains(o.expr, "[") {
				return at("field %s has no counterpart", name)
			}
			if t.Aggregate != "value_count" && (len(of.Field) > 1 || o.typ != "int" && o.typ != "float") {
				return at("%s is over one number", c.Type)
			}
			t.Of = append(t.Of, o.expr)
		}
	}
	if t.Aggregate == "percentile" {
		p, fa := number("percentile")
		if fa != nil || p == nil {
			return at("value_percentile does not say which percentile: add percentile: 95 to its condition")
		}
		t.Percentile = *p
	}
	var conds []string
	for _, r := range refs {
		conds = append(conds, r.cond)
	}
	f.Kind, f.When, f.Threshold = rule.KindThreshold, combine("or", conds), &t
	f.Summary = strings.TrimSuffix(f.Summary, ": {principal_id} at {server}, {tool}") + ": {value} within {window}, last {principal_id} at {server}, {tool}"
	return f, nil
}
