package rule

import (
	"strings"
	"testing"

	"github.com/mcpsiem/mcpsiem/detectors/detecttest"
	"github.com/mcpsiem/mcpsiem/detectors/engine"
)

// head begins a rule of a test.
const head = "schema: mcpsiem.rule/v1\nid: test_rule\nversion: 1.0.0\ntitle: Test\nseverity: low\n"

func parse(t testing.TB, text string) *Set {
	t.Helper()
	s, p := Parse([]Document{{Name: "test.yaml", Text: []byte(text)}})
	if len(p) > 0 {
		t.Fatal(p)
	}
	return s
}

// check runs a fixture, in all its variants, against a rule.
func check(t *testing.T, rule, fixture string) {
	t.Helper()
	s := parse(t, head+rule)
	f, err := detecttest.Parse("fixture", []byte(fixture))
	if err != nil {
		t.Fatal(err)
	}
	for i := range f.Cases {
		_, problems := f.Check(i, []engine.Definition{s.Rules[0].Definition()})
		for _, p := range problems {
			t.Error(p)
		}
	}
}

func TestKinds(t *testing.T) {
	f := func(name, rule, fixture string) {
		t.Helper()
		t.Run(name, func(t *testing.T) { t.Helper(); check(t, rule, fixture) })
	}
	f("event without group", "kind: event\nwhen: tool == 'x'\nsummary: \"{tool} by {principal_id}\"\n", `
case each event
  0s call x
  expect test_rule low summary="x by user-1"
  1s call x
  expect test_rule
  2s call y
  expect none
`)
	f("event with group and no dedup", "kind: event\nwhen: tool == 'x'\ngroup_by: [server]\nsummary: \"{tool}\"\n", `
case each event
  0s call x
  expect test_rule key=server=server-1
  1s call x
  expect test_rule
  2s call x server=""
  expect none
`)
	f("event with dedup", "kind: event\nwhen: tool == 'x'\ngroup_by: [server]\ndedup: 1h\nsummary: \"{tool}\"\n", `
case once an hour
  0s call x
  expect test_rule
  1s call x
  2s call x server=other
  expect test_rule server=other
  61m call x
  expect test_rule
`)
	f("sum slides", "kind: threshold\nwhen: method == 'tools/call' and kind == 'response'\ngroup_by: [server]\nwindow: 10m\ndedup: 1m\nthreshold: {aggregate: sum, of: [body_size], gte: 100}\nsummary: \"{value} in {count} within {span}\"\n", `
case across the boundary of a window
  9m  result x body_size=60
  11m result x body_size=60
  expect test_rule summary="120 in 2 within 2m" count=2
  30m result x body_size=60
  expect none

case a late one counts where it belongs
  0s  result x body_size=60
  20m result x body_size=60
  expect none
  19m result x body_size=60
  expect test_rule
`)
	f("avg with min_events", "kind: threshold\nwhen: kind == 'response'\nwindow: 10m\nthreshold: {aggregate: avg, of: [\"outcome == 'tool_error' ? 1 : 0\"], gte: 0.5, min_events: 4}\nsummary: \"{value}\"\n", `
case half of four
  0s result x
  1s tool-error x
  2s tool-error x
  expect none
  3s result x
  expect test_rule why.value=0.5 key=tenant
`)
	f("percentile", "kind: threshold\nwhen: kind == 'response'\nwindow: 10m\nthreshold: {aggregate: percentile, percentile: 90, of: [tokens_result], gt: 50, min_events: 5}\nsummary: \"{value}\"\n", `
case nine tenths
  0s result x tokens_result=10
  1s result x tokens_result=20
  2s result x tokens_result=30
  3s result x tokens_result=40
  4s result x tokens_result=50
  expect none
  5s result x tokens_result=60
  expect test_rule why.value=60
`)
	f("fewer than", "kind: threshold\nwhen: tool == 'beat'\ngroup_by: [server]\nwindow: 10m\nthreshold: {aggregate: event_count, lt: 3}\nsummary: \"{count} from {server} seen by {principal_id}\"\n", `
case judged at the end of the window
  0s call beat
  1m call beat
  9m tick
  expect none
  11m tick
  expect test_rule summary="2 from server-1 seen by user-1" count=2 server=server-1 principal_id=user-1

case enough
  0s call beat
  1m call beat
  2m call beat
  30m tick
  expect none
`)
	f("between", "kind: threshold\nwhen: tool == 'x'\nwindow: 10m\nthreshold: {aggregate: event_count, gte: 2, lte: 3}\nsummary: \"{count}\"\n", `
case four are too many
  0s call x
  1s call x
  2s call x
  3s call x
  11m tick
  expect none

case three
  0s call x
  1s call x
  2s call x
  11m tick
  expect test_rule count=3
`)
	f("ordered", "kind: sequence\nwindow: 5m\ngroup_by: [principal_id]\nsteps:\n  - {when: \"tool == 'a'\"}\n  - {when: \"tool == 'b'\"}\n  - {when: \"tool == 'a'\"}\nsummary: \"{span}\"\n", `
case in order
  0s call a
  1m call b
  expect none
  2m call a
  expect test_rule count=3 summary=2m evidence~"step_2 after 1m"
  150s call b
  expect none
  160s call a
  expect none

case not in order, by others, too late
  0s call b
  1s call a
  2s call b principal_id=bob
  3s call a
  expect none
  10m call b
  11m call a
  expect none

case one event is one step
  0s call a
  1s call b
  expect none

case arrives out of order
  2m call a
  1m call b
  expect none
  0s call a
  expect test_rule
`)
	f("unordered", "kind: sequence\nordered: false\nwindow: 5m\ngroup_by: [principal_id]\nsteps:\n  - {id: one, when: \"tool == 'a' or tool == 'b'\"}\n  - {id: two, when: \"tool == 'a'\"}\nsummary: \"{count}\"\n", `
case either order, two events
  0s call a
  expect none
  1s call b
  expect test_rule count=2

case both steps by two of a kind
  0s call a
  1s call a
  expect test_rule

case far apart
  0s call a
  6m call b
  expect none
`)
	f("joined by other fields", "kind: sequence\nwindow: 5m\ngroup_by: [principal_id]\nsteps:\n  - {when: \"tool == 'a'\"}\n  - {when: \"audit_action == 'rules.change'\", by: [audit_target]}\nsummary: x\n", `
case the target is the principal
  0s call a principal_id=alice
  1s tap-start audit_action=rules.change audit_target=bob
  expect none
  2s tap-start audit_action=rules.change audit_target=alice
  expect test_rule key=principal_id=alice
`)
	f("absence", "kind: absence\nwhen: tool == 'a'\nabsent: {when: \"tool == 'b'\"}\ngroup_by: [server]\nwindow: 5m\nsummary: \"{tool} of {server}\"\n", `
case nothing follows
  0s call a
  1s call a server=other
  2m call b server=other
  10m tick
  expect test_rule server=server-1 summary="a of server-1"

case the end comes early, late or twice
  0s call a
  4m59s call b
  5m call b
  10m tick
  expect none

case it comes from before
  1m call b
  0s call a
  10m tick
  expect none

case after the window
  0s call a
  5m1s call b
  10m tick
  expect test_rule
`)
	f("first seen again after it was forgotten", "kind: first_seen\nwhen: tool != ''\ngroup_by: [principal_id]\nfirst_seen: {of: [tool], memory: 2d, learn: 1h}\nsummary: \"{values}\"\n", `
case forgotten and back
  0s call a
  2h call b
  expect test_rule summary=b
  3h call b
  expect none
  60h call b
  expect test_rule summary=b
  61h call b
  expect none
`)
	f("rare halves", "kind: rare\nwhen: tool != ''\nrare: {of: [tool], below: 0.3, min_events: 4, memory: 1d}\nsummary: \"{values} {value}\"\n", `
case one in five
  0s call a
  1s call a
  2s call a
  3s call a
  4s call b
  expect test_rule summary="b 0.2"
`)
	f("baseline", "kind: baseline\nwhen: tool != ''\nwindow: 1m\nbaseline: {aggregate: sum, of: [body_size], ratio: 3, history: 3, min_history: 2, min: 10}\nsummary: \"{value} for {usual}\"\n", `
case three times
  0s call a body_size=10
  1m call a body_size=10
  2m call a body_size=29
  expect none
  130s call a body_size=1
  expect test_rule summary="30 for 10"
  131s call a body_size=100
  expect none

case empty windows count
  0s call a body_size=12
  3m call a body_size=12
  expect test_rule summary="12 for 4"
`)
	f("except", "kind: event\nwhen: tool == 'x'\nexcept: server == 'lab'\nsummary: x\n", `
case but not there
  0s call x server=lab
  expect none
  1s call x server=shop
  expect test_rule
`)
}

func TestSeverityByExpression(t *testing.T) {
	rule := strings.Replace(head, "severity: low", "severity: {expr: \"tokens_result > 100 ? 'high' : tokens_result < 0 ? 'nonsense' : 'low'\", default: medium}", 1) +
		"kind: event\nwhen: tool == 'x'\nsummary: x\n"
	s := parse(t, rule)
	f, err := detecttest.Parse("fixture", []byte("case by size\n  0s call x tokens_result=101\n  expect test_rule high\n  1s call x\n  expect test_rule low\n  2s call x tokens_result=-1\n  expect test_rule medium\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, p := f.Check(0, []engine.Definition{s.Rules[0].Definition()}); len(p) > 0 {
		t.Error(p)
	}
}

func TestProblems(t *testing.T) {
	f := func(line int, want string, text string) {
		t.Helper()
		_, p := Parse([]Document{{Name: "f.yaml", Text: []byte(text)}})
		for _, x := range p {
			if x.Line == line && strings.Contains(x.String(), want) {
				return
			}
		}
		t.Errorf("want %q in line %d, have %v", want, line, p)
	}
	event := head + "kind: event\nsummary: x\n"
	f(8, "did you mean principal_id?", event+"when: principal_ip == 'x'\n")
	f(9, "did you mean tool?", event+"when: |\n  tol == 'x'\n")
	f(10, "mismatched types", event+"when: |\n  tool == 'x' and\n  duration_ns == 'y'\n")
	f(8, "did you mean group_by?", event+"groupby: [tool]\nwhen: tool == 'x'\n")
	f(8, "cannot be used here", event+"group_by: [message]\nwhen: tool == 'x'\n")
	f(8, "raw content", event+"when: raw_url == 'x'\n")
	f(8, "function now is not available", event+"when: now() != nil\n")
	f(8, "operator ..", event+"when: 5 in 1..10\n")
	f(8, "fixed regular expression", event+"when: tool matches server\n")
	f(8, "error parsing regexp", event+"when: tool matches '('\n")
	f(8, "no network", event+"when: cidr(client_address, '10.0.0.0/99')\n")
	f(8, "lists within lists", event+"when: any(tool_defs, any(keys(.signals), any([1], true)))\n")
	f(1, "condition is missing", event)
	f(8, "is no duration", event+"dedup: soon\nwhen: true\n")
	f(7, "names only", head+"kind: event\nsummary: \"{message}\"\nwhen: tool == 'x'\n")
	f(7, "did you mean server?", head+"kind: event\nsummary: \"{sever}\"\nwhen: tool == 'x'\n")
	f(6, "did you mean threshold?", head+"kind: treshold\nsummary: x\nwhen: true\nwindow: 1m\n")
	f(6, "needs the key threshold", head+"kind: threshold\nsummary: x\nwhen: true\nwindow: 1m\n")
	f(9, "OWASP-MCP 2025-beta MCP03:2025 Tool Poisoning", event+"when: tool == 'x'\nreferences: [\"OWASP MCP03:2025\"]\n")
	f(9, "stands twice", event+"when: tool == 'x'\nwhen: tool == 'y'\n")
	f(10, "looks like Sigma", event+"when: tool == 'x'\n---\ntitle: x\nlogsource: {product: mcp}\ndetection: {}\n")
	f(2, "anchors", "schema: mcpsiem.macros/v1\nlists: {a: &a [x], b: *a}\n")
	f(0, "this is no YAML", "\tx")
	f(2, "this is no YAML", "a: 1\nb: [")
	f(3, "name each other", "schema: mcpsiem.macros/v1\nmacros:\n  aa: bb\n  bb: aa\n")
	f(3, "name of a field", "schema: mcpsiem.macros/v1\nmacros:\n  tool: server == ''\n")
	f(3, "did you mean test_rule?", "schema: mcpsiem.macros/v1\noverrides:\n  test_rul: {enabled: false}\n---\n"+event+"when: tool == 'x'\n")
	f(0, "more than 256 KiB", strings.Repeat("#", 300<<10))
	if _, p := Parse([]Document{{Name: "f.yaml", Text: []byte(event + "when: tool == 'x'\n")}, {Name: "g.yaml", Text: []byte(event + "when: tool == 'x'\n")}}); len(p) != 1 || !strings.Contains(p[0].Text, "taken by f.yaml") {
		t.Error(p)
	}
}

func TestMacrosListsAndOverrides(t *testing.T) {
	s := parse(t, `schema: mcpsiem.macros/v1
macros: {is_call: kind == "request" and method in calls, inner: is_call and tool != "quiet"}
lists: {calls: [tools/call], empty: []}
overrides: {test_rule: {severity: high, except: "server == 'lab'", dedup: 1h}}
---
`+head+`kind: event
when: inner and not (server in empty)
except: server == 'test'
group_by: [server]
summary: x
`)
	r := s.Rules[0]
	if r.Severity.Fixed != "high" || r.IndexText() != "method (1)" || r.dedup().Hours() != 1 {
		t.Errorf("%+v, index by %s", r.Severity, r.IndexText())
	}
	f, err := detecttest.Parse("fixture", []byte("case c\n  0s call x\n  expect test_rule high\n  1s call x server=lab\n  2s call x server=test\n  3s call quiet server=other\n  expect none\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, p := f.Check(0, []engine.Definition{r.Definition()}); len(p) > 0 {
		t.Error(p)
	}
}

// What a rule remembers stays with a rule that means the same.
func TestDigest(t *testing.T) {
	base := head + "kind: event\nwhen: tool in names\nsummary: x\n"
	macros := "---\nschema: mcpsiem.macros/v1\nlists: {names: [a], others: [b]}\n"
	hash := func(text string) uint64 { return parse(t, text).Rules[0].hash }
	h := hash(base + macros)
	f := func(same bool, old, new string) {
		t.Helper()
		if got := hash(strings.Replace(base+macros, old, new, 1)); (got == h) != same {
			t.Errorf("%s -> %s: same is %v", old, new, got == h)
		}
	}
	f(true, "title: Test", "title: Other")
	f(true, "severity: low", "severity: high")
	f(true, "summary: x", "summary: y")
	f(true, "version: 1.0.0", "version: 1.0.1")
	f(true, "others: [b]", "others: [c]")
	f(false, "names: [a]", "names: [b]")
	f(false, "tool in names", "tool in others")
	f(false, "kind: event", "kind: event\ndedup: 1h")
}

func TestDuration(t *testing.T) {
	f := func(s, want string) {
		t.Helper()
		d, err := parseDuration(s)
		got := d.String()
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", s, got, want)
		}
	}
	f("90s", "1m30s")
	f("10m", "10m")
	f("2h", "2h")
	f("24h", "24h")
	f("30d", "30d")
	f("-1s", "error")
	f("x", "error")
	f("99999d", "error")
}

func TestSuggest(t *testing.T) {
	f := func(got, want string) {
		t.Helper()
		if h := suggest(got, []string{"principal_id", "principal_team", "tool", "tokens_result"}); h != want {
			t.Errorf("%s: %q", got, h)
		}
	}
	f("principal", "did you mean principal_id?")
	f("tol", "did you mean tool?")
	f("tokens", "did you mean tokens_result?")
	f("zzz", "")
	f(strings.Repeat("a", 1<<20), "")
}
