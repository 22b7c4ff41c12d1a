package ocsf

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/schemas/mappings"
)

// schema is the published one, as testdata/export.py made it compact.
type schema struct {
	Version string `json:"version"`
	Types   map[string]struct {
		Type   string  `json:"type"`
		Regex  string  `json:"regex"`
		Range  []int64 `json:"range"`
		MaxLen int     `json:"max_len"`
	} `json:"types"`
	Classes map[string]schemaClass `json:"classes"`
	Objects map[string]schemaClass `json:"objects"`
}

type schemaClass struct {
	ClassUID    int64               `json:"class_uid"`
	CategoryUID int64               `json:"category_uid"`
	Caption     string              `json:"caption"`
	Category    string              `json:"category"`
	Constraints map[string][]string `json:"constraints"`
	Attributes  map[string]struct {
		Type     string            `json:"type"`
		Array    bool              `json:"array"`
		Required bool              `json:"required"`
		Profile  string            `json:"profile"`
		Sibling  string            `json:"sibling"`
		Enum     map[string]string `json:"enum"`
	} `json:"attributes"`
}

func readSchema(t testing.TB) *schema {
	t.Helper()
	b, err := os.ReadFile("testdata/schema-1.8.0.json")
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// check returns what the schema has against an event of the class.
func (s *schema) check(class string, ev map[string]any) (faults []string) {
	c, ok := s.Classes[class]
	if !ok {
		return []string{"no class " + class}
	}
	profiles := map[string]bool{}
	if m, ok := ev["metadata"].(map[string]any); ok {
		list, _ := m["profiles"].([]any)
		for _, p := range list {
			profiles[fmt.Sprint(p)] = true
		}
		if m["version"] != s.Version {
			faults = append(faults, "metadata.version is not the schema's")
		}
	}
	num := func(k string) int64 { n, _ := ev[k].(json.Number); i, _ := n.Int64(); return i }
	if num("class_uid") != c.ClassUID || num("category_uid") != c.CategoryUID || num("type_uid") != c.ClassUID*100+num("activity_id") {
		faults = append(faults, fmt.Sprintf("class %v, category %v, type %v", ev["class_uid"], ev["category_uid"], ev["type_uid"]))
	}
	if ev["class_name"] != c.Caption || ev["category_name"] != c.Category {
		faults = append(faults, fmt.Sprintf("names %v, %v", ev["class_name"], ev["category_name"]))
	}
	return append(faults, s.object(class, c, ev, profiles)...)
}

func (s *schema) object(path string, c schemaClass, o map[string]any, profiles map[string]bool) (faults []string) {
	bad := func(format string, a ...any) { faults = append(faults, path+": "+fmt.Sprintf(format, a...)) }
	for name, a := range c.Attributes {
		if _, there := o[name]; a.Required && !there && (a.Profile == "" || profiles[a.Profile]) {
			bad("%s is required", name)
		}
	}
	if one := c.Constraints["at_least_one"]; len(one) > 0 && !slices.ContainsFunc(one, func(k string) bool { return o[k] != nil }) {
		bad("has none of %v", one)
	}
	for name, v := range o {
		a, known := c.Attributes[name]
		if !known {
			bad("the schema has no %s", name)
			continue
		}
		if a.Profile != "" && !profiles[a.Profile] {
			bad("%s belongs to profile %s, which metadata.profiles does not name", name, a.Profile)
		}
		values := []any{v}
		if a.Array {
			l, ok := v.([]any)
			if !ok || len(l) == 0 {
				bad("%s must be a list with items", name)
				continue
			}
			values = l
		}
		for _, v := range values {
			if a.Enum != nil && a.Type != "string_t" && name != "class_uid" && name != "category_uid" {
				caption, ok := a.Enum[fmt.Sprint(v)]
				if !ok {
					bad("%s has no value %v", name, v)
				}
				if sib, there := o[a.Sibling]; a.Sibling != "" && there && caption != "Other" && sib != caption {
					bad("%s is %v and %s is %v, must be %s", name, v, a.Sibling, sib, caption)
				}
			}
			faults = append(faults, s.value(path+"."+name, a.Type, v, profiles)...)
		}
	}
	return faults
}

var regexes = map[string]*regexp.Regexp{}

func (s *schema) value(path, typ string, v any, profiles map[string]bool) []string {
	fault := func() []string { return []string{fmt.Sprintf("%s: %T is no %s", path, v, typ)} }
	base := typ
	t, basic := s.Types[typ]
	if basic && t.Type != "" {
		base = t.Type
	}
	switch base {
	case "json_t", "object":
		return nil
	case "boolean_t":
		if _, ok := v.(bool); !ok {
			return fault()
		}
	case "integer_t", "long_t":
		n, ok := v.(json.Number)
		if !ok {
			return fault()
		}
		i, err := n.Int64()
		if err != nil || len(t.Range) == 2 && (i < t.Range[0] || i > t.Range[1]) {
			return []string{path + ": out of range"}
		}
	case "float_t":
		if _, ok := v.(json.Number); !ok {
			return fault()
		}
	case "string_t":
		x, ok := v.(string)
		if !ok {
			return fault()
		}
		if t.Regex != "" && typ != "ip_t" || typ == "ip_t" && !strings.Contains(x, ":") {
			re := regexes[typ]
			if re == nil {
				re = regexp.MustCompile(t.Regex)
				regexes[typ] = re
			}
			if !re.MatchString(x) {
				return []string{path + ": does not look like " + typ}
			}
		}
	default:
		o, ok := v.(map[string]any)
		if !ok {
			return fault()
		}
		c, known := s.Objects[typ]
		if !known {
			return []string{path + ": object " + typ + " is not in testdata"}
		}
		return s.object(path, c, o, profiles)
	}
	return nil
}

func builtin(t testing.TB) *mapping {
	t.Helper()
	m, err := parseMapping(mappings.OCSF)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func decode(t interface{ Fatalf(string, ...any) }, b []byte) map[string]any {
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	var o map[string]any
	if err := d.Decode(&o); err != nil || d.More() {
		t.Fatalf("not one JSON object: %v", err)
	}
	if strings.ContainsAny(string(b), "\n\r") {
		t.Fatalf("more than one line")
	}
	return o
}

// anyEvent draws an event with any fields: the mapping must make a valid OCSF event of whatever there is.
func anyEvent(t *rapid.T) *event.Event {
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.SampledFrom([]string{"ok", "tools/call", "request", "response", "127.0.0.1", "::1", "user", "\xff\n"}))
	e := &event.Event{Time: rapid.Int64Min(0).Draw(t, "time"), Received: rapid.Int64Min(0).Draw(t, "received")}
	e.Name = rapid.SampledFrom([]string{event.NameRequest, event.NameResponse, event.NameTapStart, event.NameTapLoss, event.NameServerExit, event.NameAudit, event.NameInvalid, "x"}).Draw(t, "name")
	e.ID = fmt.Sprintf("%032x", rapid.Uint64().Draw(t, "id"))
	e.Body = rapid.OneOf(text, rapid.Just("{\"a\":\n1}"), rapid.Just(`{"a":`)).Draw(t, "body")
	for _, f := range []*string{&e.Tenant, &e.PrincipalID, &e.PrincipalKind, &e.PrincipalIssuer, &e.PrincipalTeam, &e.ClientName, &e.Server, &e.HostName, &e.Method, &e.Tool, &e.Kind, &e.Outcome,
		&e.ClientAddress, &e.ServerAddress, &e.ExchangeID, &e.RPCCode, &e.ErrorType, &e.Capture, &e.BodyFingerprint, &e.ConversationID, &e.AuditAction, &e.AuditTarget, &e.ResourceURI, &e.ParentCommand, &e.TapID} {
		*f = text.Draw(t, "text")
	}
	e.ServerPort, e.HTTPStatus = rapid.Int64Range(0, 65535).Draw(t, "port"), rapid.Int64Range(0, 599).Draw(t, "status")
	e.DurationNanos, e.TokensArguments, e.BodySize = rapid.Int64Min(0).Draw(t, "n"), rapid.Int64Min(0).Draw(t, "n"), rapid.Int64Min(0).Draw(t, "n")
	e.Capabilities = rapid.SliceOfN(rapid.SampledFrom([]string{"writes", "destroys", "executes", "reads_private"}), 0, 2).Draw(t, "capabilities")
	e.DataClasses = rapid.SliceOfN(rapid.String(), 0, 2).Draw(t, "classes")
	e.Signals = map[string]float64{"x": rapid.Float64().Draw(t, "signal")}
	e.Labels = map[string]string{rapid.String().Draw(t, "label"): "v"}
	if rapid.Bool().Draw(t, "traced") {
		e.TraceID = [16]byte{1}
	}
	return e
}

func TestEventsAreValidOCSF(t *testing.T) {
	s, m := readSchema(t), builtin(t)
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent(t)
		rec := &sink.Record{Event: e}
		c := m.classOf(rec)
		if c == nil {
			t.Fatalf("no class for %s", e.Name)
			return
		}
		seen[c.name]++
		ev := decode(t, c.encode(nil, rec, true))
		if f := s.check(c.name, ev); len(f) > 0 {
			t.Fatalf("%s", strings.Join(f, "\n"))
		}
		if ev["metadata"].(map[string]any)["uid"] != e.ID {
			t.Fatalf("uid %v", ev["metadata"])
		}
	})
	for _, name := range []string{"api_activity", "application_lifecycle", "application_error", "entity_management"} {
		if seen[name] == 0 {
			t.Errorf("no event was a %s, only %v", name, seen)
		}
	}
}

func TestFindingsAreValidOCSF(t *testing.T) {
	s, m := readSchema(t), builtin(t)
	rapid.Check(t, func(t *rapid.T) {
		f := &finding.Finding{Time: rapid.Int64Min(0).Draw(t, "time")}
		f.ID = fmt.Sprintf("%032x", rapid.Uint64().Draw(t, "id"))
		f.Severity = rapid.SampledFrom(append([]string{"", "odd"}, sink.Severities...)).Draw(t, "severity")
		f.Status = rapid.SampledFrom([]string{"", "open", "acknowledged", "resolved", "false_positive", "accepted", "odd"}).Draw(t, "status")
		for _, x := range []*string{&f.Title, &f.Summary, &f.RuleID, &f.Tenant, &f.PrincipalID, &f.Server, &f.Tool, &f.Remediation, &f.Group, &f.ClientName} {
			*x = rapid.OneOf(rapid.Just(""), rapid.String()).Draw(t, "text")
		}
		f.Revision = rapid.Int64Min(0).Draw(t, "revision")
		f.Confidence = rapid.Float64().Draw(t, "confidence")
		f.Evidence = rapid.SliceOfN(rapid.String(), 0, 2).Draw(t, "evidence")
		f.EventIDs = rapid.SliceOfN(rapid.Just("e"), 0, 2).Draw(t, "ids")
		f.References = rapid.SliceOfN(rapid.SampledFrom([]string{"MITRE-ATLAS 5.6 AML.T0051.000 Direct", "MITRE-ATLAS 5.6 AML.TA0010 Exfiltration", "MITRE-ATLAS 5.6 AML.M0015 Mitigation", "OWASP-MCP 2025 MCP01 x", "odd"}), 0, 3).Draw(t, "refs")
		rec := &sink.Record{Finding: f}
		c := m.classOf(rec)
		if c == nil || c.name != "detection_finding" {
			t.Fatalf("class %v", c)
		}
		ev := decode(t, c.encode(nil, rec, true))
		if x := s.check(c.name, ev); len(x) > 0 {
			t.Fatalf("%s", strings.Join(x, "\n"))
		}
	})
}

// The checker itself must find faults, or the tests above show nothing.
func TestCheckerFindsFaults(t *testing.T) {
	s, m := readSchema(t), builtin(t)
	e := &event.Event{Name: event.NameRequest, Time: 1e18}
	e.ID, e.Method, e.Kind, e.Outcome = "1", "tools/list", event.KindRequest, "ok"
	rec := &sink.Record{Event: e}
	good := func() map[string]any { return decode(t, m.classOf(rec).encode(nil, rec, true)) }
	if f := s.check("api_activity", good()); len(f) > 0 {
		t.Fatal(f)
	}
	for name, breakIt := range map[string]func(map[string]any){
		"required":   func(o map[string]any) { delete(o, "src_endpoint") },
		"unknown":    func(o map[string]any) { o["mcp"] = "x" },
		"type":       func(o map[string]any) { o["time"] = "x" },
		"enum":       func(o map[string]any) { o["severity_id"] = json.Number("7") },
		"sibling":    func(o map[string]any) { o["severity"] = "High" },
		"type_uid":   func(o map[string]any) { o["type_uid"] = json.Number("600300") },
		"profile":    func(o map[string]any) { o["metadata"].(map[string]any)["profiles"] = []any{} },
		"constraint": func(o map[string]any) { o["actor"] = map[string]any{} },
		"version":    func(o map[string]any) { o["metadata"].(map[string]any)["version"] = "1.7.0" },
	} {
		o := maps.Clone(good())
		breakIt(o)
		if f := s.check("api_activity", o); len(f) == 0 {
			t.Errorf("%s: no fault found", name)
		}
	}
}

func TestMappingFaultsAreNamed(t *testing.T) {
	head := "version: 1\nschema: 1.8.0\nclasses:\n- class: c\n  class_uid: 1\n  records: [event]\n  fields:\n"
	f := func(text, want string) {
		t.Helper()
		_, err := parseMapping([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	f("", "version 1")
	f("version: 2", "version 1")
	f("\x00", "cannot read")
	f(head+"    a.b: nope\n", `line 8 of the OCSF mapping: class c, field a.b: there is no column "nope"`)
	f(head+"    A: tool\n", "no path")
	f(head+"    a: tool\n    a.b: tool\n", "is below")
	f(head+"    a: {from: tool, as: odd}\n", "as must be")
	f(head+"    a: {frm: tool}\n", "no frm")
	f(head+"    a: {as: int}\n", "needs from")
	f(head+"    a: {from: tool, map: {x: [1, 2, 3]}}\n", "[id, caption]")
}

func FuzzMapping(f *testing.F) {
	f.Add(mappings.OCSF)
	f.Add([]byte("version: 1\nschema: x\nclasses: [{class: c, records: [event], fields: {a: tool, 'b[0].c': {from: [tool], map: {\"*\": [1, x]}, default: 2}}}]"))
	e := &event.Event{Name: event.NameRequest, Time: 1}
	e.Tool, e.Labels = "t\"\x00", map[string]string{"a": "b"}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMapping(b)
		if err != nil {
			return
		}
		if rec := (&sink.Record{Event: e}); m.classOf(rec) != nil {
			if out := m.classOf(rec).encode(nil, rec, true); len(out) > 0 && !json.Valid(out) {
				t.Errorf("not JSON: %s", out)
			}
		}
	})
}
