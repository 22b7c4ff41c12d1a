package sigma

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mcpsiem/mcpsiem/detectors/rule"
	"github.com/mcpsiem/mcpsiem/detectors/rules"
	"github.com/mcpsiem/mcpsiem/internal/event"
)

func mappingOf(t testing.TB) *Mapping {
	m, err := DefaultMapping()
	if err != nil {
		t.Fatal(err)
	}
	m.Placeholders = map[string][]string{"admins": {"root", "admin*"}}
	return m
}

func imp(t testing.TB, text string) Result {
	return Import([]rule.Document{{Name: "s.yml", Text: []byte(text)}}, mappingOf(t))
}

const sigmaHead = "title: Test\nid: 5f1f0a0e-0000-4000-8000-000000000001\nstatus: test\nlevel: low\nlogsource: {product: mcp}\n"

func ev(set func(*event.Event)) *event.Event {
	e := &event.Event{Name: "mcp.request"}
	set(e)
	return e
}

// What a detection matches.
func TestDetections(t *testing.T) {
	f := func(detection string, want bool, set func(*event.Event)) {
		t.Helper()
		res := imp(t, sigmaHead+"detection:\n"+detection)
		if len(res.Rules) != 1 || len(res.Refused) > 0 {
			t.Errorf("%s: %v", detection, res.Refused)
			return
		}
		got, err := rule.Test(res.Rules[0].When, ev(set))
		if err != nil || got[0] != want {
			t.Errorf("%s = %s: %v, %v", detection, res.Rules[0].When, got, err)
		}
	}
	tool := func(s string) func(*event.Event) { return func(e *event.Event) { e.Tool = s } }
	one := func(item string) string { return "  a: {" + item + "}\n  condition: a\n" }

	f(one("tool_name: Read_File"), true, tool("read_file"))
	f(one("tool_name: read"), false, tool("read_file"))
	f(one("tool_name: 'read*'"), true, tool("READ_file"))
	f(one("tool_name: '*f?le'"), true, tool("read_file"))
	f(one("tool_name: 'a*c*e'"), true, tool("abcde"))
	f(one(`tool_name: 'a\*'`), true, tool("a*"))
	f(one(`tool_name: 'a\*'`), false, tool("ab"))
	f(one(`tool_name: 'a\\*'`), true, tool(`a\b`))
	f(one(`tool_name: 'a\\\*'`), true, tool(`a\*`))
	f(one(`tool_name: 'a\b'`), true, tool(`a\b`))
	f(one(`tool_name: 'a\\b'`), true, tool(`a\b`))
	f(one("tool_name|cased: Read"), false, tool("read"))
	f(one("tool_name|contains: [x, FILE]"), true, tool("read_file_2"))
	f(one("tool_name|contains|all: [read, file]"), true, tool("read_file_2"))
	f(one("tool_name|contains|all: [read, dir]"), false, tool("read_file_2"))
	f(one("tool_name|startswith: read"), true, tool("Read_x"))
	f(one("tool_name|endswith: read"), false, tool("Read_x"))
	f(one("tool_name|re: '^r.*d$'"), true, tool("read"))
	f(one("tool_name|re: '^R.*d$'"), false, tool("read"))
	f(one("tool_name|re|i: '^R.*d$'"), true, tool("read"))
	f(one("tool_name: ''"), true, tool(""))
	f(one("tool_name: null"), true, tool(""))
	f(one("tool_name|exists: true"), false, tool(""))
	f(one("tool_name|exists: false"), true, tool(""))
	f(one("tool_name|neq: read"), true, tool("write"))
	f(one("tool_name: 5"), true, tool("5"))
	f(one("tool_name|expand: '%admins%'"), true, tool("admin*"))
	f(one("tool_name|expand: '%admins%'"), false, tool("admin2"))
	f(one("tool_name|expand: '50\\%'"), true, tool("50%"))
	f(one("tool_name|fieldref: server"), true, func(e *event.Event) { e.Tool, e.Server = "Mail", "mail" })
	f(one("tool_name|fieldref|startswith: server"), true, func(e *event.Event) { e.Tool, e.Server = "mail_send", "mail" })
	f(one("http.response.status_code: 404"), true, func(e *event.Event) { e.HTTPStatus = 404 })
	f(one("http.response.status_code|gte: 500"), false, func(e *event.Event) { e.HTTPStatus = 404 })
	f(one("signals.injection|gt: 0.5"), true, func(e *event.Event) { e.Signals = map[string]float64{"injection": 0.6} })
	f(one("labels.team: Red"), true, func(e *event.Event) { e.Labels = map[string]string{"team": "red"} })
	f(one("data_classes: JWT"), true, func(e *event.Event) { e.DataClasses = []string{"email", "jwt"} })
	f(one("data_classes|contains: key"), true, func(e *event.Event) { e.DataClasses = []string{"private_key"} })
	f(one("principal_verified: true"), true, func(e *event.Event) { e.PrincipalVerified = true })
	f(one("source.ip|cidr: 10.0.0.0/8"), true, func(e *event.Event) { e.ClientAddress = "10.2.3.4:51000" })
	f(one("source.ip|cidr: 'fd00::/8'"), false, func(e *event.Event) { e.ClientAddress = "10.2.3.4" })
	f(one("timestamp|hour: 3"), true, func(e *event.Event) { e.Time = 3 * 3600e9 })
	f(one("timestamp|hour|gte: 4"), false, func(e *event.Event) { e.Time = 3 * 3600e9 })
	f(one("message|windash|contains: ' -enc '"), true, func(e *event.Event) { e.Body = "powershell –enc x" })
	f(one("message|contains|windash: ' -enc '"), true, func(e *event.Event) { e.Body = "powershell /enc x" })
	f(one("message|endswith|windash: '-s'"), true, func(e *event.Event) { e.Body = "svc –s" })
	f(one("message|windash: 'run* -f ?'"), true, func(e *event.Event) { e.Body = "runner —f 1" })
	f(one("message|windash: 'run* -f ?'"), false, func(e *event.Event) { e.Body = "runner f 1" })
	f(one("message|base64: 'rm -rf'"), true, func(e *event.Event) { e.Body = "cm0gLXJm" })
	f(one("message|base64offset|contains: 'rm -rf /'"), true, func(e *event.Event) { e.Body = "run eHJtIC1yZiAveQ== now" }) // "xrm -rf /y"
	f(one("message|wide|base64offset|contains: 'ping'"), true, func(e *event.Event) { e.Body = "cABpAG4AZwA=" })
	f("  words: [passwd, shadow]\n  condition: words\n", true, func(e *event.Event) { e.Body = "cat /etc/SHADOW" })
	f("  words: {'|all': [passwd, shadow]}\n  condition: words\n", false, func(e *event.Event) { e.Body = "cat /etc/SHADOW" })
	f("  a: [{tool_name: x}, {tool_name: y, server: z}]\n  condition: a\n", true, tool("x"))
	f("  a: [{tool_name: x}, {tool_name: y, server: z}]\n  condition: a\n", false, tool("y"))
	two := "  sel_a: {tool_name: a}\n  sel_b: {server: b}\n  _c: {kind: c}\n  condition: "
	f(two+"sel_a or sel_b and _c\n", true, tool("a"))
	f(two+"(sel_a or sel_b) and _c\n", false, tool("a"))
	f(two+"1 of them\n", true, tool("a"))
	f(two+"any of sel_*\n", true, tool("a"))
	f(two+"all of sel_*\n", false, tool("a"))
	f(two+"not 1 of them\n", true, tool("x"))
	f(two+"NOT sel_b AND sel_a\n", true, tool("a"))
	f(two+"[sel_b, sel_a]\n", true, tool("a"))
}

func TestRefusals(t *testing.T) {
	f := func(want, text string) {
		t.Helper()
		res := imp(t, text)
		for _, p := range res.Refused {
			if strings.Contains(p.String(), want) && p.Line > 0 {
				if len(res.Rules) > 0 {
					t.Errorf("refused, and yet a rule: %+v", res.Rules)
				}
				return
			}
		}
		t.Errorf("want %q, have %v", want, res.Refused)
	}
	one := func(item string) string { return sigmaHead + "detection:\n  a: {" + item + "}\n  condition: a\n" }
	f("no modifier fuzzy", one("tool_name|fuzzy: x"))
	f("field CommandLine has no counterpart", one("CommandLine: x"))
	f("not one of RE2", one("tool_name|re: '(?=x)y'"))
	f("at least two", one("tool_name|all: x"))
	f("needs contains", one("message|base64offset: x"))
	f("is no number", one("tool_name|lt: 5"))
	f("cannot be compared with a text", one("http.response.status_code: abc"))
	f("null cannot stand", one("tool_name: [null, x]"))
	f("placeholder", one("tool_name|expand: '%nobody%'"))
	f("belongs after re", one("tool_name|i: x"))
	f("cidr takes", one("source.ip|cidr: 10.0.0.0/99"))
	f("of Sigma 1", sigmaHead+"detection:\n  a: {tool_name: x}\n  condition: a | count() > 5\n")
	f("near", sigmaHead+"detection:\n  a: {tool_name: x}\n  condition: near a\n")
	f("timeframe", sigmaHead+"detection:\n  a: {tool_name: x}\n  timeframe: 5m\n  condition: a\n")
	f("does not have", sigmaHead+"detection:\n  a: {tool_name: x}\n  condition: b\n")
	f("nothing in the detection", sigmaHead+"detection:\n  a: {tool_name: x}\n  condition: all of b*\n")
	f("only 1, any and all", sigmaHead+"detection:\n  a: {tool_name: x}\n  condition: 2 of them\n")
	f("not closed", sigmaHead+"detection:\n  a: {tool_name: x}\n  condition: (a\n")
	f("ends too early", sigmaHead+"detection:\n  a: {tool_name: x}\n  condition: a and\n")
	f("condition is missing", sigmaHead+"detection:\n  a: {tool_name: x}\n")
	f("nested", sigmaHead+"detection:\n  a: {tool_name: x}\n  condition: "+strings.Repeat("not ", 60)+"a\n")
	f("not about MCP", strings.Replace(one("tool_name: x"), "product: mcp", "product: windows", 1))
	f("anchors", "a: &x [1]\nb: [*x, *x]\n")
	f("no detection", "title: x\n")
	f("timespan", sigmaHead+"correlation: {type: event_count, rules: [x], timespan: 1M}\n")
	f("not among the files", sigmaHead+"correlation: {type: event_count, rules: [x], timespan: 1m, condition: {gte: 2}}\n")
}

const pair = `title: A
name: rule_a
level: low
logsource: {product: mcp, service: tool_call}
detection: {s: {tool_name: a}, condition: s}
---
title: B
name: rule_b
level: low
logsource: {product: mcp}
detection: {s: {server: b}, condition: s}
---
title: Both
level: high
`

func TestCorrelations(t *testing.T) {
	f := func(correlation, want string) {
		t.Helper()
		res := imp(t, pair+"correlation: "+correlation+"\n")
		var got []string
		for _, r := range res.Rules {
			text, err := rule.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			var keep []string
			for l := range strings.SplitSeq(string(text), "\n") {
				for _, k := range []string{"kind:", "when:", "group_by:", "window:", "threshold:", "aggregate:", "of:", "gte:", "gt:", "lt:", "percentile:", "steps:", "- id:", "by:", "ordered:"} {
					if strings.HasPrefix(strings.TrimLeft(l, " "), k) {
						keep = append(keep, strings.TrimSpace(l))
					}
				}
			}
			got = append(got, strings.Join(keep, "; "))
		}
		for _, p := range res.Refused {
			got = append(got, "refused: "+p.Text)
		}
		if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("%s:\nhave %q\nwant %q", correlation, got, want)
		}
	}
	f("{type: event_count, rules: [rule_a], group-by: [user], timespan: 5m, condition: {gte: 10}}",
		`kind: threshold; when: (method == "tools/call") and (lower(tool) == "a"); group_by: [principal_id]; window: 5m; threshold:; aggregate: event_count; gte: 10`)
	f("{type: event_count, rules: [rule_a, rule_b], timespan: 5m, condition: {gt: 10, lt: 20}}",
		`when: ((method == "tools/call") and (lower(tool) == "a")) or (lower(server) == "b"); window: 5m; threshold:; aggregate: event_count; gt: 10; lt: 20`)
	f("{type: value_count, rules: [rule_a], timespan: 1h, condition: {field: tool_name, gte: 3}}", "aggregate: value_count; of: [tool]; gte: 3")
	f("{type: value_count, rules: [rule_a], timespan: 1h, condition: {field: [tool_name, server], gte: 3}}", "of: [tool, server]")
	f("{type: value_sum, rules: [rule_a], timespan: 1h, condition: {field: body_size, gt: 1000}}", "aggregate: sum; of: [body_size]; gt: 1000")
	f("{type: value_avg, rules: [rule_a], timespan: 1h, condition: {field: duration_ns, gt: 0.5}}", "aggregate: avg; of: [duration_ns]; gt: 0.5")
	f("{type: value_percentile, rules: [rule_a], timespan: 1h, condition: {field: duration_ns, gt: 1, percentile: 95}}", "aggregate: percentile; of: [duration_ns]; percentile: 95; gt: 1")
	f("{type: value_percentile, rules: [rule_a], timespan: 1h, condition: {field: duration_ns, gt: 1}}", "refused: value_percentile does not say")
	f("{type: temporal, rules: [rule_a, rule_b], group-by: [user], timespan: 10s}", "kind: sequence; group_by: [principal_id]; window: 10s; steps:; - id: rule_a; when: (method")
	f("{type: temporal_ordered, rules: [rule_a, rule_b], aliases: {who: {rule_a: user, rule_b: client.name}}, group-by: [who], timespan: 10s}", "by: [client_name]; ordered: true")
	f("{type: temporal, rules: [rule_a, rule_b], timespan: 10s, condition: {gte: 1}}", "refused: a temporal correlation that wants fewer")
	f("{type: temporal, rules: [rule_a, rule_b], timespan: 10s, condition: rule_a and not rule_b}", "refused: conditions of correlations are maps")
	f("{type: value_median, rules: [rule_a], timespan: 10s, condition: {gte: 1}}", "refused: there is no correlation of type")
	f("{type: event_count, rules: [rule_a], timespan: 10s}", "refused: a event_count correlation needs a condition")

	// Rules that a correlation uses raise nothing themselves, unless they generate.
	c := "correlation: {type: event_count, rules: [rule_a], timespan: 5m, condition: {gte: 10}}\n"
	if n := len(imp(t, pair+c).Rules); n != 2 {
		t.Errorf("%d rules, want the correlation and rule_b", n)
	}
	if n := len(imp(t, strings.Replace(pair, "name: rule_a", "name: rule_a\ngenerate: true", 1)+c).Rules); n != 3 {
		t.Errorf("%d rules with generate", n)
	}
}

func TestFilters(t *testing.T) {
	res := imp(t, sigmaHead+"name: r\ndetection: {s: {tool_name: a}, condition: s}\n---\ntitle: F\nlogsource: {product: mcp}\nfilter: {rules: [r], lab: {server: lab}, condition: not lab}\n")
	if len(res.Rules) != 1 || len(res.Warnings) > 0 {
		t.Fatalf("%+v", res)
	}
	got, err := rule.Test(res.Rules[0].When, ev(func(e *event.Event) { e.Tool, e.Server = "a", "lab" }), ev(func(e *event.Event) { e.Tool, e.Server = "a", "x" }))
	if err != nil || got[0] || !got[1] {
		t.Errorf("%s: %v %v", res.Rules[0].When, got, err)
	}
	res = imp(t, sigmaHead+"name: r\ndetection: {s: {tool_name: a}, condition: s}\n---\ntitle: F\nlogsource: {product: mcp}\nfilter: {rules: [r], lab: {server: lab}, condition: lab}\n")
	if len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0].Text, "no not") {
		t.Errorf("%v", res.Warnings)
	}
}

// randomDetection is a detection in Sigma.
func randomDetection(r *rand.Rand) string {
	of := func(l ...string) string { return l[r.IntN(len(l))] }
	item := func() string {
		switch r.IntN(8) {
		case 0:
			return "data_classes" + of("", "|cased", "|contains") + ": [" + of("jwt", "JWT", "email") + ", card]"
		case 1:
			return "tokens_result|" + of("lt", "lte", "gt", "gte") + ": " + fmt.Sprint(r.IntN(20))
		case 2:
			return "signals.injection|" + of("lt", "gte") + ": 0.5"
		case 3:
			return "principal_verified: " + of("true", "false")
		case 4:
			return "source.ip|cidr: " + of("10.0.0.0/8", "192.168.0.0/16")
		case 5:
			return "tool_name|re: '" + of("^re", "d$", "[a-c]") + "'"
		}
		return "tool_name" + of("", "|cased", "|contains", "|startswith", "|endswith", "|cased|contains", "|neq") + ": '" + of("read", "Read", "a", `b\*c`, `b\\\\c`, `it''s`, "") + of("", "x", "1") + "'"
	}
	var b strings.Builder
	names := []string{"a", "b", "c"}
	for _, n := range names {
		fmt.Fprintf(&b, "  %s: {%s}\n", n, item())
	}
	conds := []string{"a", "a and b", "a or not b", "1 of them", "all of them", "not (a and b) or c", "(a or b) and not c"}
	return b.String() + "  condition: " + conds[r.IntN(len(conds))] + "\n"
}

func randomEvent(r *rand.Rand) *event.Event {
	of := func(l ...string) string { return l[r.IntN(len(l))] }
	return ev(func(e *event.Event) {
		e.Tool = of("read", "Read", "a", "b*c", `b\c`, "readx", "it's", "", "bread1", "axx")
		e.DataClasses = []string{of("jwt", "JWT", "email", "my_email_1")}
		e.TokensResult = int64(r.IntN(20))
		e.PrincipalVerified = r.IntN(2) == 0
		e.ClientAddress = of("10.1.1.1", "192.168.3.3", "", "8.8.8.8")
		if r.IntN(2) == 0 {
			e.Signals = map[string]float64{"injection": float64(r.IntN(10)) / 10}
		}
	})
}

// Sigma that is imported, exported and imported again matches the same events.
func TestRoundTrip(t *testing.T) {
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
		text := sigmaHead + "detection:\n" + randomDetection(r)
		m, err := DefaultMapping()
		if err != nil {
			t.Fatal(err)
		}
		res := Import([]rule.Document{{Name: "a", Text: []byte(text)}}, m)
		if len(res.Rules) != 1 {
			t.Fatalf("%s: %v", text, res.Refused)
		}
		native, err := rule.Marshal(res.Rules[0])
		if err != nil {
			t.Fatal(err)
		}
		s, p := rule.Parse([]rule.Document{{Name: "n", Text: native}})
		if len(p) > 0 {
			t.Fatal(p)
		}
		out, err := Export(s.Rules[0])
		if err != nil {
			return // what has no form in Sigma is refused
		}
		n++
		again := Import([]rule.Document{{Name: "b", Text: out}}, m)
		if len(again.Rules) != 1 {
			t.Fatalf("%s: %v", out, again.Refused)
		}
		var events []*event.Event
		for range 30 {
			events = append(events, randomEvent(r))
		}
		x, err := rule.Test(res.Rules[0].When, events...)
		if err != nil {
			t.Fatal(err)
		}
		y, err := rule.Test(again.Rules[0].When, events...)
		if err != nil || !slices.Equal(x, y) {
			t.Fatalf("%s\n%s\n%s\n%s: %v", text, res.Rules[0].When, out, again.Rules[0].When, err)
		}
	})
	if n < 50 {
		t.Errorf("only %d were exported", n)
	}
}

// A list of values comes in as a chain; it goes out without nesting, and so comes in again.
func TestExportLongList(t *testing.T) {
	text := sigmaHead + "detection:\n  a:\n    message|contains:\n"
	for i := range 200 {
		text += "      - word" + strconv.Itoa(i) + "\n"
	}
	text += "  b: {tool_name: x, server: y}\n  condition: not a and b\n"
	first := Import([]rule.Document{{Name: "f", Text: []byte(text)}}, mappingOf(t))
	if len(first.Rules) != 1 {
		t.Fatal(first.Refused)
	}
	native, err := rule.Marshal(first.Rules[0])
	if err != nil {
		t.Fatal(err)
	}
	set, p := rule.Parse([]rule.Document{{Name: "n", Text: native}})
	if len(p) > 0 {
		t.Fatal(p)
	}
	out, err := Export(set.Rules[0])
	if err != nil {
		t.Fatal(err)
	}
	again := Import([]rule.Document{{Name: "f", Text: out}}, mappingOf(t))
	if len(again.Rules) != 1 {
		t.Fatalf("%v\n%s", again.Refused, out)
	}
	fit, unfit := &event.Event{}, &event.Event{}
	fit.Tool, fit.Server, fit.Body = "x", "y", "word 199"
	unfit.Tool, unfit.Server, unfit.Body = "x", "y", "a word199"
	if got, err := rule.Test(again.Rules[0].When, fit, unfit); err != nil || !slices.Equal(got, []bool{true, false}) {
		t.Errorf("%v: %v", got, err)
	}
}

// Of the rules that come along, those that Sigma can say come back as rules.
func TestExportPack(t *testing.T) {
	s, _, err := rules.Load(true, nil)
	if err != nil {
		t.Fatal(err)
	}
	exported := 0
	for _, r := range s.Rules {
		text, err := Export(r)
		if err != nil {
			continue
		}
		exported++
		res := Import([]rule.Document{{Name: r.ID, Text: text}}, mappingOf(t))
		if len(res.Refused) > 0 || len(res.Rules) != 1 {
			t.Errorf("%s: %v\n%s", r.ID, res.Refused, text)
		}
	}
	if exported < 10 {
		t.Errorf("%d exported", exported)
	}
	t.Logf("%d of %d", exported, len(s.Rules))
}

func FuzzImport(f *testing.F) {
	f.Add([]byte(sigmaHead + "detection:\n  a: {tool_name|contains|all: [x, '*y?']}\n  condition: 1 of them and not (a or a)\n"))
	f.Add([]byte(pair + "correlation: {type: temporal_ordered, rules: [rule_a, rule_b], aliases: {w: {rule_a: user}}, group-by: [w], timespan: 10s}\n"))
	f.Add([]byte(sigmaHead + "filter: {rules: [x], a: {message|base64offset|contains: x}, condition: not a}\n"))
	f.Add([]byte("a: &a [*a]\n---\n- 1\n"))
	f.Add([]byte(sigmaHead + "detection: {a: [[[[x]]]], condition: [a, 1]}\n"))
	m, err := DefaultMapping()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		res := Import([]rule.Document{{Name: "f", Text: text}}, m)
		for _, r := range res.Rules {
			b, err := rule.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			s, p := rule.Parse([]rule.Document{{Name: "n", Text: b}})
			if len(p) > 0 {
				t.Fatalf("an imported rule is no rule: %v\n%s", p, b)
			}
			if len(s.Rules) == 1 {
				_, _ = Export(s.Rules[0])
			}
		}
	})
}
