package elastic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mcpsiem/mcpsiem/exporters/elastic/elastictest"
	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
	"github.com/mcpsiem/mcpsiem/internal/sink"
	"github.com/mcpsiem/mcpsiem/internal/sink/sinktest"
	"github.com/mcpsiem/mcpsiem/schemas/taxonomy"
)

// published reads the list of published fields: type, and array where a field is a list.
func published(t testing.TB) map[string][]string {
	t.Helper()
	b, err := os.ReadFile("testdata/ecs-9.4.0.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for l := range strings.Lines(string(b)) {
		if f := strings.Fields(l); f[0] != "#" {
			out[f[0]] = f[1:]
		}
	}
	return out
}

// Fields of ours that have the form of a published one with another type, and why.
var otherTypes = map[string]string{
	"labels": "flattened, since operators' labels can have any names: as an object each would be a field of the index",
}

// Names that the Elastic Common Schema does not have. OpenTelemetry's, which it takes over step by step.
var openTelemetry = []string{"mcp.method.name", "mcp.session.id", "mcp.protocol.version", "mcp.resource.uri", "jsonrpc.request.id", "gen_ai.prompt.name"}

func TestFieldsArePublished(t *testing.T) {
	ecs := published(t)
	v, err := ECSVersion()
	if err != nil || v != "9.4.0" {
		t.Fatalf("the mapping is for %s, the list for 9.4.0; %v", v, err)
	}
	same := map[string]string{"date": "date_nanos", "constant_keyword": "constant_keyword"}
	for _, k := range sink.Kinds {
		fields, err := Fields(k)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fields {
			if strings.HasPrefix(f.Path, Root+".") || slices.Contains(openTelemetry, f.Path) {
				continue
			}
			want, ok := ecs[f.Path]
			switch {
			case !ok:
				t.Errorf("%s: the Elastic Common Schema has no %s", k, f.Path)
			case otherTypes[f.Path] != "":
			case f.Type != want[0] && f.Type != same[want[0]]:
				t.Errorf("%s: %s is %s, published as %s", k, f.Path, f.Type, want[0])
			}
		}
	}
}

// filled is a record of a kind in which every field has a value.
func filled(k sink.Kind) *sink.Record {
	fill := func(v reflect.Value) {
		for i := range v.NumField() {
			switch f := v.Field(i); f.Interface().(type) {
			case string:
				f.SetString("v" + v.Type().Field(i).Name)
			case int64:
				f.SetInt(1_800_000_000_000_000_000 + int64(i))
			case bool:
				f.SetBool(true)
			case float64:
				f.SetFloat(0.5)
			case []string:
				f.Set(reflect.ValueOf([]string{"a", "b"}))
			case map[string]string:
				f.Set(reflect.ValueOf(map[string]string{"k": "v", "k2": "w"}))
			case map[string]float64:
				f.Set(reflect.ValueOf(map[string]float64{"k": 1.5}))
			}
		}
	}
	if k == sink.KindFinding {
		f := &finding.Finding{Time: 7}
		fill(reflect.ValueOf(&f.Fields).Elem())
		f.Severity = "high"
		f.References = []string{"MITRE-ATLAS 5.6 AML.TA0010 Exfiltration", "MITRE-ATLAS 5.6 AML.T0010.005 AI Supply Chain Compromise: AI Agent Tool", "OWASP-MCP 2025-beta MCP09:2025 Shadow MCP Servers"}
		return &sink.Record{Finding: f}
	}
	e := &event.Event{Name: event.NameResponse, Time: 1_800_000_000_123_456_789, Received: 1_800_000_000_200_000_000, Body: `{"a":1}`, Extra: map[string]string{"x": "y"}}
	e.TraceID[0], e.SpanID[0] = 1, 2
	fill(reflect.ValueOf(&e.Fields).Elem())
	e.Kind, e.Method, e.Outcome, e.AuthDecision, e.ClientAddress, e.ServerAddress = event.KindResponse, "tools/call", event.OutcomeToolError, "granted", "10.1.2.3", "mcp.example.com"
	if k == sink.KindAudit {
		e.Name, e.Kind, e.AuditAction = event.NameAudit, event.KindRecord, "rules.change"
	}
	return &sink.Record{Event: e}
}

func newTestEncoder(t testing.TB) *encoder {
	t.Helper()
	e, err := newEncoder(true, func() int64 { return 1_800_000_001_000_000_000 })
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var testStream = []byte(`{"type":"logs","dataset":"d","namespace":"n"}`)

// paths are the fields that a document has, with lists marked; a flattened object is one field.
func paths(flat map[string]bool, prefix string, v any, to map[string]any) {
	if m, ok := v.(map[string]any); ok && !flat[prefix] {
		for k, x := range m {
			p := k
			if prefix != "" {
				p = prefix + "." + k
			}
			paths(flat, p, x, to)
		}
		return
	}
	to[prefix] = v
}

// Every field of a record is in its document, under a name that Fields tells, with a value of its type; lists are where they are published as such.
func TestDocumentsHaveTheirFields(t *testing.T) {
	ecs := published(t)
	for _, k := range sink.Kinds {
		fields, err := Fields(k)
		if err != nil {
			t.Fatal(err)
		}
		types, flat := map[string]string{}, map[string]bool{}
		for _, f := range fields {
			types[f.Path] = f.Type
			flat[f.Path] = f.Type == "flattened"
		}
		doc := newTestEncoder(t).document(nil, filled(k), testStream, true)
		var v any
		if err := json.Unmarshal(doc, &v); err != nil {
			t.Fatalf("%s: %v in %s", k, err, doc)
		}
		got := map[string]any{}
		paths(flat, "", v, got)
		for p, x := range got {
			typ, ok := types[p]
			if !ok {
				t.Errorf("%s: %s is in the document and not in Fields", k, p)
			}
			one := x
			if l, isList := x.([]any); isList {
				one = l[0]
				if def := ecs[p]; len(def) == 1 {
					t.Errorf("%s: %s is a list, published as one value", k, p)
				}
			} else if def := ecs[p]; len(def) == 2 {
				t.Errorf("%s: %s is one value, published as a list", k, p)
			}
			bad := false
			switch typ {
			case "long", "double", "float":
				_, isNumber := one.(float64)
				bad = !isNumber
			case "boolean":
				bad = one != true
			case "flattened":
				_, isMap := one.(map[string]any)
				bad = !isMap
			case "date_nanos":
				_, err := time.Parse("2006-01-02T15:04:05.000000000Z07:00", fmt.Sprint(one))
				bad = err != nil
			default:
				_, isString := one.(string)
				bad = !isString
			}
			if bad {
				t.Errorf("%s: %s is %s and has %v", k, p, typ, x)
			}
		}
		for p := range types {
			if _, ok := got[p]; !ok && p != Root+"."+fieldOmitted && !(k != sink.KindFinding && (p == "client.ip" || p == "server.ip" || p == "source.ip" || p == "destination.ip")) {
				t.Errorf("%s: %s is in Fields and not in a document where everything has a value", k, p)
			}
		}
	}
}

func TestDocument(t *testing.T) {
	rec := filled(sink.KindEvent)
	var d struct {
		Timestamp string `json:"@timestamp"`
		Event     struct {
			Kind, Action, Outcome, ID, Ingested string
			Category, Type                      []string
		}
		Related struct{ IP, User, Hosts []string }
		Source  struct{ IP, Address string }
		Server  map[string]any
		User    struct{ Name string }
		GenAI   struct {
			Tool, Operation struct{ Name string }
		} `json:"gen_ai"`
		Trace   struct{ ID string }
		Mcpsiem struct{ Message, Outcome string }
	}
	if err := json.Unmarshal(newTestEncoder(t).document(nil, rec, testStream, true), &d); err != nil {
		t.Fatal(err)
	}
	want := `{Timestamp:2027-01-15T08:00:00.123456789Z Event:{Kind:event Action:tools/call Outcome:failure ID:vID Ingested:2027-01-15T08:00:01.000000000Z Category:[api authentication] Type:[access allowed]} ` +
		`Related:{IP:[10.1.2.3] User:[vPrincipalID vOSUser] Hosts:[vHostName mcp.example.com]} Source:{IP:10.1.2.3 Address:10.1.2.3} Server:map[address:mcp.example.com port:1800000000000000045] ` +
		`User:{Name:vPrincipalID} GenAI:{Tool:{Name:vTool} Operation:{Name:execute_tool}} Trace:{ID:01000000000000000000000000000000} Mcpsiem:{Message:{"a":1} Outcome:tool_error}}`
	d.Server["port"] = "" // a large number in this test
	got, want := fmt.Sprintf("%+v", d), strings.Replace(want, "port:1800000000000000045", "port:", 1)
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var f struct {
		Event struct {
			Severity int
			Kind     string
		}
		Rule   map[string]string
		Threat struct {
			Framework string
			Tactic    struct{ ID, Name []string }
			Technique struct {
				ID, Name     []string
				Subtechnique struct{ ID, Name []string }
			}
		}
		Log struct{ Level string }
	}
	if err := json.Unmarshal(newTestEncoder(t).document(nil, filled(sink.KindFinding), testStream, true), &f); err != nil {
		t.Fatal(err)
	}
	got = fmt.Sprintf("%+v", f)
	want = `{Event:{Severity:73 Kind:alert} Rule:map[id:vRuleID name:vTitle ruleset:mcpsiem version:vRuleVersion] Threat:{Framework:MITRE ATLAS Tactic:{ID:[AML.TA0010] Name:[Exfiltration]} ` +
		`Technique:{ID:[AML.T0010] Name:[AI Supply Chain Compromise] Subtechnique:{ID:[AML.T0010.005] Name:[AI Agent Tool]}}} Log:{Level:error}}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Values that ECS fixes are the published ones, and a category's types are those that it expects (ECS 9.4.0, schemas/event.yml).
func TestAllowedValues(t *testing.T) {
	expected := map[string]string{
		"api": "access admin allowed change creation deletion denied end info start user", "authentication": "start end info",
		"configuration": "access change creation deletion info", "intrusion_detection": "allowed denied info", "process": "access change end info start",
	}
	for _, k := range sink.Kinds {
		for _, kind := range []string{event.KindRequest, event.KindRecord, event.KindInvalid} {
			for _, auth := range []string{"", "granted", "denied", "insufficient_scope"} {
				for _, outcome := range []string{"", event.OutcomeOK, event.OutcomeLate, event.OutcomeTimeout} {
					rec := filled(k)
					if kind == event.KindRecord && auth != "" { // a tap's own records have no decision
						continue
					}
					if rec.Event != nil {
						rec.Event.Kind, rec.Event.AuthDecision, rec.Event.Outcome = kind, auth, outcome
					}
					var d struct {
						Event struct {
							Kind, Outcome  string
							Category, Type []string
						}
					}
					if err := json.Unmarshal(newTestEncoder(t).document(nil, rec, testStream, true), &d); err != nil {
						t.Fatal(err)
					}
					if !slices.Contains([]string{"", "success", "failure", "unknown"}, d.Event.Outcome) || (d.Event.Kind == "alert") != (k == sink.KindFinding) || len(d.Event.Category) == 0 || len(d.Event.Type) == 0 {
						t.Errorf("%+v", d)
					}
					for _, typ := range d.Event.Type {
						if !slices.ContainsFunc(d.Event.Category, func(c string) bool { return slices.Contains(strings.Fields(expected[c]), typ) }) {
							t.Errorf("type %s is for none of %v", typ, d.Event.Category)
						}
					}
				}
			}
		}
	}
}

// References are those of schemas/taxonomy: all of MITRE's have an id and a name in threat.*.
func TestThreats(t *testing.T) {
	all, err := taxonomy.All()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, x := range all {
		ref := []string{strings.Join([]string{x.Framework, x.Version, x.ID, x.Name}, " ")}
		mitre := strings.HasPrefix(x.Framework, "MITRE")
		var got []string
		for _, p := range []string{"tactic.id", "technique.id", "subtechnique.id", "tactic.name", "technique.name", "subtechnique.name"} {
			got = threatValues(ref, p, got)
		}
		switch {
		case !mitre && len(got) > 0:
			t.Errorf("%s: %v", ref, got)
		case mitre && strings.Contains(x.ID, ".M"): // a mitigation
		case mitre && (len(got) < 2 || slices.Contains(got, "")):
			t.Errorf("%s: %v", ref, got)
		case mitre:
			n++
		}
	}
	if n < 20 {
		t.Errorf("only %d references", n)
	}
}

func TestClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c clock
		for _, ns := range rapid.SliceOfN(rapid.Int64(), 1, 4).Draw(t, "times") {
			want := `"` + time.Unix(0, max(ns, 0)).UTC().Format("2006-01-02T15:04:05.000000000Z") + `"`
			if got := string(c.append(nil, ns)); got != want {
				t.Fatalf("%s, want %s", got, want)
			}
		}
	})
	var c clock
	for _, ns := range []int64{0, math.MaxInt64, -5, 86_399_999_999_999} {
		want := `"` + time.Unix(0, max(ns, 0)).UTC().Format("2006-01-02T15:04:05.000000000Z") + `"`
		if got := string(c.append(nil, ns)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestFlatKeys(t *testing.T) {
	f := func(k, want string) {
		t.Helper()
		if got := flatKey(k); got != want {
			t.Errorf("%q: %q, want %q", k, got, want)
		}
	}
	f("team", "team")
	f("a.b", "a.b")
	f("", "_")
	f(".", "_._")
	f("a..b", "a._.b")
	f("a.", "a._")
	f("a\x00b c", "a_b_c")
	f("\xff", "\ufffd")
	f(strings.Repeat("x", 300), strings.Repeat("x", 256))
}

// Whatever is in a record, its document is one line of JSON that holds what the record has.
func FuzzDocument(f *testing.F) {
	f.Add("id", "tool", "k", "v", `{"a":"b"}`, int64(5))
	f.Add("", "\x00\n\r\"\\\xff", "", strings.Repeat("é", 9000), "\n\xc3", int64(-1))
	f.Add("i", "10.0.0.1", "a..b", "v", "{", int64(math.MaxInt64))
	enc := newTestEncoder(f)
	f.Fuzz(func(t *testing.T, id, s, k, v, body string, n int64) {
		e := &event.Event{Name: s, Time: n, Received: n, Body: body, Extra: map[string]string{k: v, s: k}}
		e.ID, e.Tool, e.ClientAddress, e.PrincipalID, e.DurationNanos, e.ExchangeStart = id, s, s, v, n, n
		e.Labels, e.Signals, e.DataClasses, e.CostAmount = map[string]string{k: v, s: id}, map[string]float64{k: float64(n), s: math.Inf(1)}, []string{s, k}, math.NaN()
		fi := &finding.Finding{Time: n}
		fi.ID, fi.Summary, fi.References, fi.Severity, fi.Why = id, s, []string{s, "MITRE-ATLAS 1 " + v, k}, k, map[string]string{k: v}
		for _, rec := range []*sink.Record{{Event: e}, {Finding: fi}} {
			doc := enc.document(nil, rec, testStream, true)
			if bytes.ContainsAny(doc, "\n\r") || !json.Valid(doc) {
				t.Fatalf("%q", doc)
			}
		}
		if did := docID(&sink.Record{Event: e}, nil); len(did) > 512 || did == "" {
			t.Fatalf("%q", did)
		}
	})
}

// Whatever the other side answers is understood as something, and none of its text comes out.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"errors":false,"items":[{"create":{"status":201}}]}`), 200, 1)
	f.Add([]byte(`{"errors":true,"items":[{"create":{"status":400,"error":{"type":"planted-content","reason":"planted-content"}}}]}`), 200, 1)
	f.Add([]byte(`{"error":"planted-content","status":503}`), 503, 2)
	f.Add([]byte(`<html>`), 200, 3)
	f.Add([]byte(`{"errors":false,"items":[{"create":{"status":201,"failure_store":"used"}}]}`), 200, 1)
	f.Fuzz(func(t *testing.T, body []byte, code, n int) {
		n = n&1023 + 1
		r := reply{HTTP: code}
		r.readBulk(body, n)
		v := r.judge(n)
		if v < stored || v > split {
			t.Fatal(v)
		}
		if v == stored && r.allOK != n && len(r.Items) != n {
			t.Fatal("stored without an answer for each document")
		}
		sinktest.Clean(t, r.err().Error()+r.reason(), elastictest.APIKey)
		for i := range r.Items {
			it := &r.Items[i].Create
			if j := it.judge(); j == stored && it.Status/100 != 2 {
				t.Fatal("stored with status", it.Status)
			}
			sinktest.Clean(t, it.reason()+describe(it.Status, it.Error).Error(), elastictest.APIKey)
		}
	})
}
