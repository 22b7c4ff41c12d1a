// Package rule runs rules that people write: YAML files with conditions over the fields of events. README.md has the language, the
// bounds and the guarantees.
package rule

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/mcpsiem/mcpsiem/detectors/engine"
	"github.com/mcpsiem/mcpsiem/schemas/taxonomy"
)

// SchemaRule is the `schema` of a rule.
const SchemaRule = "mcpsiem.rule/v1"

// Kinds of rules.
const (
	KindEvent     = "event"      // one event
	KindThreshold = "threshold"  // a number over the events of a window
	KindSequence  = "sequence"   // several events in a window, in order or not
	KindAbsence   = "absence"    // an event that another does not follow
	KindFirstSeen = "first_seen" // a value that was not there before
	KindRare      = "rare"       // a value that few events have
	KindBaseline  = "baseline"   // a window that is far above those before
)

var kinds = []string{KindEvent, KindThreshold, KindSequence, KindAbsence, KindFirstSeen, KindRare, KindBaseline}

var severities = []string{engine.Informational, engine.Low, engine.Medium, engine.High, engine.Critical}

var statuses = []string{"stable", "test", "experimental", "deprecated", "unsupported"}

// File is a rule as it is written.
type File struct {
	Schema      string    `yaml:"schema"`
	ID          string    `yaml:"id"`
	Version     string    `yaml:"version"`
	Title       string    `yaml:"title"`
	Description string    `yaml:"description,omitempty"`
	Status      string    `yaml:"status,omitempty"`
	Owner       string    `yaml:"owner,omitempty"`
	Enabled     *bool     `yaml:"enabled,omitempty"`
	Severity    Severity  `yaml:"severity"`
	Confidence  float64   `yaml:"confidence,omitempty"`
	Kind        string    `yaml:"kind"`
	When        string    `yaml:"when,omitempty"`
	Except      string    `yaml:"except,omitempty"`
	GroupBy     []string  `yaml:"group_by,omitempty,flow"`
	Window      Duration  `yaml:"window,omitempty"`
	Dedup       *Duration `yaml:"dedup,omitempty"`

	Threshold *Threshold `yaml:"threshold,omitempty"`
	Steps     []Step     `yaml:"steps,omitempty"`
	Ordered   *bool      `yaml:"ordered,omitempty"`
	Absent    *Step      `yaml:"absent,omitempty"`
	FirstSeen *FirstSeen `yaml:"first_seen,omitempty"`
	Rare      *Rare      `yaml:"rare,omitempty"`
	Baseline  *Baseline  `yaml:"baseline,omitempty"`

	Summary        string   `yaml:"summary"`
	Why            []string `yaml:"why,omitempty,flow"`
	Remediation    string   `yaml:"remediation,omitempty"`
	FalsePositives string   `yaml:"false_positives,omitempty"`
	Gaps           string   `yaml:"gaps,omitempty"`
	References     []string `yaml:"references,omitempty"`
	Tags           []string `yaml:"tags,omitempty,flow"`
}

// Severity is a fixed one, or an expression that gives one.
type Severity struct {
	Fixed string
	Expr  string
}

func (s *Severity) readNode(r *reader, n *yaml.Node, path string) {
	if n.Kind == yaml.ScalarNode {
		s.Fixed = n.Value
		return
	}
	var x struct {
		Expr    string `yaml:"expr"`
		Default string `yaml:"default"`
	}
	r.read(n, path, reflect.ValueOf(&x).Elem())
	s.Expr, s.Fixed = x.Expr, x.Default
	if s.Expr == "" || s.Fixed == "" {
		r.fail(n.Line, "", "severity is a word, or has the keys expr and default")
	}
}

// MarshalYAML writes what readNode reads.
func (s Severity) MarshalYAML() (any, error) {
	if s.Expr == "" {
		return s.Fixed, nil
	}
	return struct {
		Expr    string `yaml:"expr"`
		Default string `yaml:"default"`
	}{s.Expr, s.Fixed}, nil
}

// Compare are the bounds that a number is held against; all that are set must hold.
type Compare struct {
	GT  *float64 `yaml:"gt,omitempty"`
	GTE *float64 `yaml:"gte,omitempty"`
	LT  *float64 `yaml:"lt,omitempty"`
	LTE *float64 `yaml:"lte,omitempty"`
	EQ  *float64 `yaml:"eq,omitempty"`
	NEQ *float64 `yaml:"neq,omitempty"`
}

func (c *Compare) holds(x float64) bool {
	return (c.GT == nil || x > *c.GT) && (c.GTE == nil || x >= *c.GTE) && (c.LT == nil || x < *c.LT) && (c.LTE == nil || x <= *c.LTE) &&
		(c.EQ == nil || x == *c.EQ) && (c.NEQ == nil || x != *c.NEQ)
}

func (c *Compare) empty() bool { return *c == Compare{} }

// growing reports whether more can only make the comparison true: then it need not wait for the end of the window.
func (c *Compare) growing() bool { return c.LT == nil && c.LTE == nil && c.EQ == nil && c.NEQ == nil }

// least is the number from which the comparison may hold.
func (c *Compare) least() float64 {
	var x float64
	for _, p := range []*float64{c.GT, c.GTE, c.EQ, c.LT, c.LTE, c.NEQ} {
		if p != nil {
			x = max(x, *p)
		}
	}
	return x
}

// Threshold is what a threshold rule counts.
type Threshold struct {
	Aggregate  string   `yaml:"aggregate"`
	Of         []string `yaml:"of,omitempty,flow"`
	Percentile float64  `yaml:"percentile,omitempty"`
	MinEvents  int      `yaml:"min_events,omitempty"`
	GT         *float64 `yaml:"gt,omitempty"`
	GTE        *float64 `yaml:"gte,omitempty"`
	LT         *float64 `yaml:"lt,omitempty"`
	LTE        *float64 `yaml:"lte,omitempty"`
	EQ         *float64 `yaml:"eq,omitempty"`
	NEQ        *float64 `yaml:"neq,omitempty"`
}

func (t *Threshold) compare() Compare {
	return Compare{t.GT, t.GTE, t.LT, t.LTE, t.EQ, t.NEQ}
}

// Aggregates of a threshold.
var aggregates = []string{"event_count", "value_count", "sum", "avg", "percentile"}

// Step is a condition of a sequence, or the event that an absence waits for.
type Step struct {
	ID   string   `yaml:"id,omitempty"`
	When string   `yaml:"when"`
	By   []string `yaml:"by,omitempty,flow"` // fields that stand for those of group_by
}

// FirstSeen is what a first_seen rule remembers.
type FirstSeen struct {
	Of        []string  `yaml:"of,flow"`
	Memory    Duration  `yaml:"memory,omitempty"`
	Learn     *Duration `yaml:"learn,omitempty"`
	MinKnown  int       `yaml:"min_known,omitempty"`
	MaxValues int       `yaml:"max_values,omitempty"`
}

// Rare is what a rare rule counts.
type Rare struct {
	Of        []string `yaml:"of,flow"`
	Below     float64  `yaml:"below"`
	MinEvents int      `yaml:"min_events,omitempty"`
	Memory    Duration `yaml:"memory,omitempty"`
	MaxValues int      `yaml:"max_values,omitempty"`
}

// Baseline is what a baseline rule compares.
type Baseline struct {
	Aggregate  string   `yaml:"aggregate"` // event_count or sum
	Of         []string `yaml:"of,omitempty,flow"`
	Ratio      float64  `yaml:"ratio"`
	History    int      `yaml:"history,omitempty"`
	MinHistory int      `yaml:"min_history,omitempty"`
	Min        float64  `yaml:"min,omitempty"`
}

// Rule is one ready to run.
type Rule struct {
	File
	Source  string // the file that it is from
	Line    int    // where it begins
	Builtin bool   // from the pack of this binary

	when     *expression   // nil for sequences
	except   *expression   // nil without one
	steps    []*expression // of a sequence
	absent   *expression
	value    *expression // of an aggregate over an expression
	severity *expression
	of       []field
	groups   [][]field // for each step, or the one of all others
	summary  template
	why      []field
	hash     uint64 // of all that decides what it raises and remembers
	lines    map[string]int
	state    *Health
}

// Health is how the rule does, for metrics.
func (r *Rule) Health() *Health { return r.state }

// Defaults.
const (
	defaultWindow    = time.Hour
	defaultMemory    = 30 * 24 * time.Hour
	defaultLearn     = 24 * time.Hour
	defaultMaxValues = 2048
	maxValues        = 8192
	maxSteps         = 8
	maxGroupBy       = 8
	maxEntries       = 1024  // events remembered in a window beyond those that a threshold needs
	maxThreshold     = 10000 // of event_count and value_count
	maxWindow        = 31 * 24 * time.Hour
)

var (
	idPattern      = regexp.MustCompile(`^[a-z][a-z0-9_]{2,79}$`)
	versionPattern = regexp.MustCompile(`^\d+\.\d+\.\d+$`)
	tagPattern     = regexp.MustCompile(`^[a-z0-9_-]+(\.[a-z0-9_-]+)+$`)
)

// conditions are the expressions that an event must meet one of for the rule to look at it.
func (r *Rule) conditions() []*expression {
	switch r.Kind {
	case KindSequence:
		return r.steps
	case KindAbsence:
		return []*expression{r.when, r.absent}
	}
	return []*expression{r.when}
}

// dedup is how long the same thing is not raised again.
func (r *Rule) dedup() time.Duration {
	switch {
	case r.Dedup != nil:
		return time.Duration(*r.Dedup)
	case r.Kind == KindEvent:
		return 0
	case r.Kind == KindFirstSeen:
		return 0
	case r.Window > 0:
		return time.Duration(r.Window)
	}
	return defaultWindow
}

// Indexed reports whether the rule is asked only for events that have one of some values.
func (r *Rule) Indexed() bool { _, ok := r.key(); return ok }

// IndexText tells by what the rule is found, for people.
func (r *Rule) IndexText() string {
	c, ok := r.key()
	if !ok {
		return "every event"
	}
	by := map[string]int{}
	for i := range c {
		by[c[i].f.name]++
	}
	var parts []string
	for f, n := range by {
		parts = append(parts, fmt.Sprintf("%s (%d)", f, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// build checks a file and compiles it.
func build(f File, source string, line int, lines map[string]int, ns *names) (*Rule, Problems) {
	b := &builder{r: &Rule{File: f, Source: source, Line: line, lines: lines, state: &Health{}}, ns: ns}
	b.head()
	b.body()
	b.tail()
	b.r.hash = b.digest()
	if len(b.problems) > 0 {
		return nil, b.problems
	}
	return b.r, nil
}

type builder struct {
	r        *Rule
	ns       *names
	problems Problems
}

func (b *builder) fail(path, hint, format string, args ...any) {
	line := b.r.lines[path]
	if line == 0 {
		line = b.r.Line
	}
	b.problems = append(b.problems, Problem{File: b.r.Source, Line: line, Text: fmt.Sprintf(format, args...), Hint: hint})
}

func (b *builder) head() {
	f := &b.r.File
	if f.Schema != SchemaRule {
		b.fail("schema", "write schema: "+SchemaRule, "%q is no schema of a rule", f.Schema)
	}
	if !idPattern.MatchString(f.ID) {
		b.fail("id", "lower-case letters, digits and underscores, beginning with a letter", "id %q is not possible", f.ID)
	}
	if !versionPattern.MatchString(f.Version) {
		b.fail("version", "write 1.0.0", "version %q is not possible", f.Version)
	}
	if f.Title == "" {
		b.fail("title", "", "a title is missing: what kind of thing happened")
	}
	if f.Status == "" {
		f.Status = "experimental"
	}
	if !slices.Contains(statuses, f.Status) {
		b.fail("status", suggest(f.Status, statuses), "there is no status %q", f.Status)
	}
	if !slices.Contains(severities, f.Severity.Fixed) {
		b.fail("severity", suggest(f.Severity.Fixed, severities), "there is no severity %q", f.Severity.Fixed)
	}
	if f.Severity.Expr != "" {
		b.r.severity = b.expr("severity.expr", f.Severity.Expr, resultText)
	}
	if f.Confidence == 0 {
		f.Confidence = 0.5
	}
	if f.Confidence < 0 || f.Confidence > 1 {
		b.fail("confidence", "", "confidence must be between 0 and 1")
	}
	if !slices.Contains(kinds, f.Kind) {
		hint := suggest(f.Kind, kinds)
		if hint == "" {
			hint = "choose " + strings.Join(kinds, ", ")
		}
		b.fail("kind", hint, "there is no kind %q", f.Kind)
	}
	if time.Duration(f.Window) > maxWindow {
		b.fail("window", "", "window must be at most 31d")
	}
	if f.Dedup != nil && time.Duration(*f.Dedup) > maxWindow {
		b.fail("dedup", "", "dedup must be at most 31d")
	}
	if len(f.GroupBy) > maxGroupBy {
		b.fail("group_by", "", "group_by has more than %d fields", maxGroupBy)
	}
}

func (b *builder) expr(path, src string, want result) *expression {
	x, f := compile(src, b.ns, want)
	if f == nil {
		return x
	}
	line := b.r.lines[path]
	if f.line > 1 || strings.Contains(src, "\n") {
		line += f.line // a block begins on the line after its key
	}
	if line == 0 {
		line = b.r.Line
	}
	b.problems = append(b.problems, Problem{File: b.r.Source, Line: line, Text: f.text, Hint: f.hint})
	return nil
}

// groupable finds fields whose values can be part of a key.
func (b *builder) groupable(path string, list []string) []field {
	var out []field
	for _, n := range list {
		f, ok := fields[n]
		switch {
		case !ok:
			b.fail(path, suggest(n, FieldNames()), "there is no field %q", n)
		case f.typ > boolField && f.typ != listField:
			b.fail(path, "use a field that is a text, a number or a list of texts", "%s cannot be used here", n)
		}
		out = append(out, f)
	}
	return out
}

func (b *builder) only(kind string, set bool, key string) {
	switch {
	case b.r.Kind == kind && !set:
		b.fail("kind", "", "a rule of kind %s needs the key %s", kind, key)
	case b.r.Kind != kind && set:
		b.fail(key, "", "%s belongs to a rule of kind %s", key, kind)
	}
}

func (b *builder) body() {
	r := b.r
	b.only(KindThreshold, r.File.Threshold != nil, "threshold")
	b.only(KindSequence, r.Steps != nil, "steps")
	b.only(KindAbsence, r.Absent != nil, "absent")
	b.only(KindFirstSeen, r.File.FirstSeen != nil, "first_seen")
	b.only(KindRare, r.File.Rare != nil, "rare")
	b.only(KindBaseline, r.File.Baseline != nil, "baseline")
	if r.Ordered != nil && r.Kind != KindSequence {
		b.fail("ordered", "", "ordered belongs to a rule of kind sequence")
	}
	switch {
	case r.Kind == KindSequence && r.When != "":
		b.fail("when", "", "a sequence has its conditions in its steps")
	case r.Kind != KindSequence && r.When == "":
		b.fail("", "", "the condition is missing: when")
	case r.When != "":
		r.when = b.expr("when", r.When, resultBool)
	}
	if r.Except != "" {
		r.except = b.expr("except", r.Except, resultBool)
	}
	needsWindow := r.Kind == KindThreshold || r.Kind == KindSequence || r.Kind == KindAbsence || r.Kind == KindBaseline
	if needsWindow && r.Window <= 0 {
		b.fail("window", "write window: 10m", "a rule of kind %s needs a window", r.Kind)
	}
	if !needsWindow && r.Window > 0 {
		b.fail("window", "dedup says how long the same is not raised again", "window belongs to rules that look at several events")
	}
	r.groups = [][]field{b.groupable("group_by", r.GroupBy)}
	switch r.Kind {
	case KindThreshold:
		b.threshold(r.File.Threshold)
	case KindSequence:
		b.sequence()
	case KindAbsence:
		if r.Absent != nil {
			r.absent = b.expr("absent.when", r.Absent.When, resultBool)
			r.groups = append(r.groups, b.by("absent.by", r.Absent.By))
		}
	case KindFirstSeen:
		if x := r.File.FirstSeen; x != nil {
			r.of = b.values("first_seen.of", x.Of)
			x.Memory, x.MaxValues = b.memory("first_seen", x.Memory, x.MaxValues)
			if x.Learn == nil {
				d := Duration(defaultLearn)
				x.Learn = &d
			}
		}
	case KindRare:
		if x := r.File.Rare; x != nil {
			r.of = b.values("rare.of", x.Of)
			x.Memory, x.MaxValues = b.memory("rare", x.Memory, x.MaxValues)
			if x.Below <= 0 || x.Below >= 1 {
				b.fail("rare.below", "write 0.01 for one in a hundred", "below must be between 0 and 1")
			}
			if x.MinEvents == 0 {
				x.MinEvents = 200
			}
		}
	case KindBaseline:
		b.baseline(r.File.Baseline)
	}
}

func (b *builder) memory(path string, d Duration, n int) (Duration, int) {
	if d == 0 {
		d = Duration(defaultMemory)
	}
	if n == 0 {
		n = defaultMaxValues
	}
	if n < 1 || n > maxValues {
		b.fail(path+".max_values", "", "max_values must be between 1 and %d", maxValues)
	}
	return d, n
}

func (b *builder) values(path string, of []string) []field {
	if len(of) == 0 || len(of) > maxGroupBy {
		b.fail(path, "", "%s must name one to %d fields", path, maxGroupBy)
	}
	return b.groupable(path, of)
}

// measure finds what an aggregate is over: fields, or for numbers one expression.
func (b *builder) measure(path, aggregate string, of []string) {
	switch aggregate {
	case "event_count":
		if len(of) > 0 {
			b.fail(path, "", "event_count counts events: %s must be left out", path)
		}
	case "value_count":
		b.r.of = b.values(path, of)
	default:
		if len(of) != 1 {
			b.fail(path, "", "%s needs one field or expression in %s", aggregate, path)
			return
		}
		b.r.value = b.expr(path, "float("+of[0]+")", resultNumber)
	}
}

func (b *builder) threshold(t *Threshold) {
	if t == nil {
		return
	}
	if !slices.Contains(aggregates, t.Aggregate) {
		hint := suggest(t.Aggregate, aggregates)
		if hint == "" {
			hint = "choose " + strings.Join(aggregates, ", ")
		}
		b.fail("threshold.aggregate", hint, "there is no aggregate %q", t.Aggregate)
		return
	}
	b.measure("threshold.of", t.Aggregate, t.Of)
	c := t.compare()
	if c.empty() {
		b.fail("threshold", "write gte: 10", "threshold compares with nothing")
	}
	if (t.Aggregate == "event_count" || t.Aggregate == "value_count") && c.least() > maxThreshold {
		b.fail("threshold", "", "a count is compared with at most %d", maxThreshold)
	}
	if t.Aggregate == "percentile" && (t.Percentile <= 0 || t.Percentile >= 100) {
		b.fail("threshold.percentile", "write percentile: 95", "percentile must be between 0 and 100")
	}
	if t.Aggregate != "percentile" && t.Percentile != 0 {
		b.fail("threshold.percentile", "", "percentile belongs to the aggregate percentile")
	}
	if t.MinEvents < 0 || t.MinEvents > maxEntries {
		b.fail("threshold.min_events", "", "min_events must be at most %d", maxEntries)
	}
}

func (b *builder) by(path string, by []string) []field {
	if len(by) == 0 {
		return b.r.groups[0]
	}
	if len(by) != len(b.r.GroupBy) {
		b.fail(path, "", "%s must name as many fields as group_by: it says where their values stand in this event", path)
	}
	return b.groupable(path, by)
}

func (b *builder) sequence() {
	r := b.r
	if len(r.Steps) < 2 || len(r.Steps) > maxSteps {
		b.fail("steps", "", "a sequence has 2 to %d steps", maxSteps)
		return
	}
	var groups [][]field
	for i := range r.Steps {
		s := &r.Steps[i]
		path := "steps[" + strconv.Itoa(i) + "]"
		if s.ID == "" {
			s.ID = "step_" + strconv.Itoa(i+1)
		}
		if x := b.expr(path+".when", s.When, resultBool); x != nil {
			r.steps = append(r.steps, x)
		}
		groups = append(groups, b.by(path+".by", s.By))
	}
	r.groups = groups
}

func (b *builder) baseline(x *Baseline) {
	if x == nil {
		return
	}
	if x.Aggregate != "event_count" && x.Aggregate != "sum" {
		b.fail("baseline.aggregate", "choose event_count or sum", "there is no baseline of %q", x.Aggregate)
		return
	}
	b.measure("baseline.of", x.Aggregate, x.Of)
	if x.Ratio <= 1 {
		b.fail("baseline.ratio", "write ratio: 5 for five times what is usual", "ratio must be above 1")
	}
	if x.History == 0 {
		x.History = 24
	}
	if x.MinHistory == 0 {
		x.MinHistory = max(x.History/2, 1)
	}
	if x.History < 1 || x.History > 720 || x.MinHistory > x.History {
		b.fail("baseline.history", "", "history is 1 to 720 windows, and min_history no more than that")
	}
}

func (b *builder) tail() {
	r := b.r
	var err string
	if r.Summary == "" {
		b.fail("summary", "", "a summary is missing: one sentence that names the actors, with fields in braces")
	}
	if r.summary, err = parseTemplate(r.Summary, r.Kind); err != "" {
		b.fail("summary", suggestIn(err, templateNames()), "summary: %s", err)
	}
	for _, n := range r.Why {
		f, ok := fields[n]
		if !ok || !showable(f) {
			b.fail("why", suggest(n, templateNames()), "%q is no field that a finding can show", n)
		}
		r.why = append(r.why, f)
	}
	for i, ref := range r.References {
		if !taxonomy.Known(ref) {
			b.fail("references["+strconv.Itoa(i)+"]", nearReference(ref), "%q is not in schemas/taxonomy", ref)
		}
	}
	for i, tag := range r.Tags {
		if !tagPattern.MatchString(tag) {
			b.fail("tags["+strconv.Itoa(i)+"]", "write namespace.name in lower case", "%q is no tag", tag)
		}
	}
}

// nearReference is the entry with the id that is named.
func nearReference(ref string) string {
	all, _ := taxonomy.All()
	for _, e := range all {
		for w := range strings.FieldsSeq(ref) {
			if w == e.ID {
				return "did you mean " + e.String() + "?"
			}
		}
	}
	return "write framework, version, id and name as in schemas/taxonomy"
}

// digest is a number that changes when the rule, its macros or its lists do.
func (b *builder) digest() uint64 {
	f := b.r.File
	f.Title, f.Description, f.Status, f.Owner, f.Remediation, f.FalsePositives, f.Gaps, f.References, f.Tags, f.Confidence, f.Enabled = "", "", "", "", "", "", "", nil, nil, 0, nil
	f.Severity, f.Summary, f.Why, f.Version = Severity{}, "", nil, ""
	text, _ := json.Marshal(f) // of texts and numbers only: no error
	h := sha256.New()
	h.Write(text)
	if b.ns != nil {
		used, _ := json.Marshal(b.ns.usedBy(f))
		h.Write(used)
	}
	return binary.BigEndian.Uint64(h.Sum(nil)) >> 1
}

// Spec is what the rule says of itself, as detectors do.
func (r *Rule) Spec() engine.Spec {
	s := engine.Spec{
		ID: r.ID, Version: r.Version, Title: r.Title, Severity: r.Severity.Fixed, Confidence: r.Confidence,
		Key: engine.KeyFields, StateVersion: int(r.hash), TTL: r.ttl(), MaxKeys: 16384,
		FalsePositives: r.FalsePositives, Remediation: r.Remediation, References: r.References, Gaps: r.Gaps,
		Sees: r.Description, Fires: r.Description,
	}
	if r.Kind == KindEvent && len(r.GroupBy) == 0 {
		s.Key = engine.KeyMessage
	}
	return s
}

// ttl is how long a state that no event touches still matters.
func (r *Rule) ttl() time.Duration {
	d := 2*time.Duration(r.Window) + r.dedup()
	switch r.Kind {
	case KindFirstSeen:
		d = time.Duration(r.File.FirstSeen.Memory)
	case KindRare:
		d = time.Duration(r.File.Rare.Memory)
	case KindBaseline:
		d = time.Duration(r.Window) * time.Duration(r.File.Baseline.History+1)
	}
	return max(d, time.Hour)
}

// Active reports whether the rule is to run.
func (r *Rule) Active() bool {
	return (r.Enabled == nil || *r.Enabled) && r.Status != "unsupported"
}

// Definition makes a detector of the rule.
func (r *Rule) Definition() engine.Definition {
	return engine.Define(r.Spec(), struct{}{}, func(struct{}) (engine.Detector[State], error) { return newDetector(r), nil })
}
