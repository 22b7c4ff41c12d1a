package tokens

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processortest"
	"pgregory.net/rapid"

	"github.com/mcpsiem/mcpsiem/internal/event"
	bpe "github.com/mcpsiem/mcpsiem/internal/tokens"
)

// start returns a running processor and where its records go.
func start(t testing.TB, change func(*Config)) (processor.Logs, *consumertest.LogsSink) {
	t.Helper()
	f := NewFactory()
	cfg := f.CreateDefaultConfig().(*Config)
	if change != nil {
		change(cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	sink := new(consumertest.LogsSink)
	p, err := f.CreateLogs(context.Background(), processortest.NewNopSettings(Type), cfg, sink)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p, sink
}

// at is when the test events happen: after every `from` of the built-in price file.
var at = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// enrich sends one record and returns it as the processor leaves it.
func enrich(t testing.TB, p processor.Logs, sink *consumertest.LogsSink, body string, attrs map[string]any) event.Event {
	t.Helper()
	lr, res := send(t, p, sink, body, attrs)
	var e event.Event
	event.Decode(res, lr, &e)
	return e
}

func send(t testing.TB, p processor.Logs, sink *consumertest.LogsSink, body string, attrs map[string]any) (plog.LogRecord, pcommon.Resource) {
	t.Helper()
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	lr := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	lr.SetTimestamp(pcommon.NewTimestampFromTime(at))
	if err := lr.Attributes().FromRaw(attrs); err != nil {
		t.Fatal(err)
	}
	lr.Body().SetEmptyBytes().FromRaw([]byte(body))
	sink.Reset()
	if err := p.ConsumeLogs(context.Background(), ld); err != nil {
		t.Fatal(err)
	}
	out := sink.AllLogs()
	if len(out) != 1 || out[0].LogRecordCount() != 1 {
		t.Fatalf("%d batches came out", len(out))
	}
	return out[0].ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0), out[0].ResourceLogs().At(0).Resource()
}

func tokensOf(t testing.TB, parts ...string) int64 {
	t.Helper()
	e, err := bpe.Get("o200k_base")
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for _, s := range parts {
		n += int64(e.CountString(s))
	}
	return n
}

func request(method, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":7,"method":%q,"params":%s}`, method, params)
}

func TestArgumentsAreCounted(t *testing.T) {
	p, sink := start(t, nil)
	f := func(body string, parts ...string) {
		t.Helper()
		e := enrich(t, p, sink, body, nil)
		want := tokensOf(t, parts...)
		if e.TokensArguments != want || e.TokensResult != 0 || e.TokensDefinitions != 0 {
			t.Errorf("%d, %d, %d tokens, want %d arguments", e.TokensArguments, e.TokensResult, e.TokensDefinitions, want)
		}
		if (e.TokensEncoding == "o200k_base") != (want > 0) {
			t.Errorf("encoding %q with %d tokens", e.TokensEncoding, want)
		}
	}
	f(request("tools/call", `{"name":"read_file","arguments":{"path": "/srv/Zürich.md"},"_meta":{"progressToken":1}}`), `{"path": "/srv/Zürich.md"}`)
	f(request("tools/call", `{"name":"now"}`), `{"name":"now"}`)
	f(request("tools/call", `{"arguments":{"a":1},"arguments":{"b":2}}`), `{"b":2}`) // as Go, Python and JavaScript read it
	f(request("prompts/get", `{"name":"review","arguments":{"code":"x"}}`), `{"code":"x"}`)
	f(request("resources/read", `{"uri":"file:///a","_meta":{"traceparent":"00-1-2-01"}}`), `{"uri":"file:///a"}`)
	f(request("tools/list", `{"_meta":{"x":1}}`))
	f(request("tools/list", `{}`))
	f(`{"jsonrpc":"2.0","id":1,"method":"ping"}`)
	f(request("vendor/thing", `[1,2]`), `[1,2]`)
	f(request("sampling/createMessage", `{"messages":[{"role":"user","content":{"type":"text","text":"a \"b\"\n"}},{"role":"user","content":[{"type":"image","data":"AAAA","mimeType":"image/png"},{"type":"text","text":"c"}]}],"systemPrompt":"be\u0020brief","maxTokens":100}`),
		"a \"b\"\n", "c", "be brief")
	f(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"long text"}}`)
}

func TestResultsAreCounted(t *testing.T) {
	p, sink := start(t, nil)
	f := func(method, result string, parts ...string) {
		t.Helper()
		e := enrich(t, p, sink, `{"jsonrpc":"2.0","id":7,"result":`+result+`}`, map[string]any{event.AttrMethod: method})
		want := tokensOf(t, parts...)
		if e.TokensResult != want || e.TokensArguments != 0 || e.TokensDefinitions != 0 {
			t.Errorf("%d, %d, %d tokens, want %d of the result", e.TokensArguments, e.TokensResult, e.TokensDefinitions, want)
		}
	}
	f("tools/call", `{"content":[{"type":"text","text":"line 1\nline \u00e9"},{"type":"text","text":"more"}],"isError":false}`, "line 1\nline é", "more")
	f("tools/call", `{"content":[{"type":"text","text":"{\"a\":1}"}],"structuredContent":{"a":1}}`, `{"a":1}`)
	f("tools/call", `{"content":[],"structuredContent":{"a": 1}}`, `{"a": 1}`)
	f("tools/call", `{"structuredContent":{"a": 1}}`, `{"a": 1}`)
	f("tools/call", `{"content":[]}`)
	f("tools/call", `{"content":[{"type":"image","data":"aGVsbG8=","mimeType":"image/png"},{"type":"audio","data":"aGVsbG8="}]}`)
	f("tools/call", `{"content":[{"type":"resource","resource":{"uri":"file:///a","text":"inner\ttext"}},{"type":"resource","resource":{"uri":"file:///b","blob":"aGVsbG8="}}]}`, "inner\ttext")
	f("tools/call", `{"content":[{"type":"resource_link","uri":"file:///a","name":"a"}]}`, `{"type":"resource_link","uri":"file:///a","name":"a"}`)
	f("tools/call", `{"toolResult":"old style"}`, `{"toolResult":"old style"}`)
	f("tools/call", `{"content":"no array"}`, "no array")
	f("tools/call", `{"content":null}`, `{"content":null}`)
	f("resources/read", `{"contents":[{"uri":"file:///a","mimeType":"text/plain","text":"hello"},{"uri":"file:///b","blob":"aGVsbG8="}]}`, "hello")
	f("prompts/get", `{"description":"d","messages":[{"role":"user","content":{"type":"text","text":"Review this"}},{"role":"assistant"}]}`, "Review this", `{"role":"assistant"}`)
	f("sampling/createMessage", `{"role":"assistant","content":{"type":"text","text":"Hi"},"model":"m","stopReason":"endTurn"}`, "Hi")
	f("sampling/createMessage", `{"role":"user","content":[{"type":"tool_result","toolUseId":"1","content":[{"type":"text","text":"in"}]},{"type":"tool_use","id":"1","name":"n","input":{}}]}`, "in", `{"type":"tool_use","id":"1","name":"n","input":{}}`)
	f("tasks/get", `{"taskId":"t","status":"completed","result":{"content":[{"type":"text","text":"done"}]}}`, "done")
	f("initialize", `{"protocolVersion":"2025-11-25","_meta":{"a":1},"instructions":"use me"}`, `{"protocolVersion":"2025-11-25","instructions":"use me"}`)
	f("ping", `{}`)
	f("ping", `{"_meta":{}}`)
	f("", `{"content":[{"type":"text","text":"orphan"}]}`, "orphan")
	f("vendor/tools", `{"tools":[{"name":"a"}]}`, `{"tools":[{"name":"a"}]}`)

	e := enrich(t, p, sink, `{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"no such \"file\"","data":{"x":1}}}`, map[string]any{event.AttrMethod: "tools/call"})
	if want := tokensOf(t, `no such "file"`); e.TokensResult != want {
		t.Errorf("%d tokens of an error, want %d", e.TokensResult, want)
	}
}

func TestDefinitionsAreCountedAndHashed(t *testing.T) {
	p, sink := start(t, nil)
	const canonicalA = `{"description":"Reads","inputSchema":{"type":"object"},"name":"read"}`
	body := `{"jsonrpc":"2.0","id":1,"result":{"tools":[
	  {"name":"read", "inputSchema":{"type":"object"}, "description":"Re\u0061ds"},
	  {"name":"twice","name":"twice","description":"x"}],"nextCursor":"2"}}`
	e := enrich(t, p, sink, body, map[string]any{event.AttrMethod: "tools/list"})
	const asItStands = `{"name":"twice","name":"twice","description":"x"}`
	hash := func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
	want := []event.ToolDef{
		{Name: "read", Hash: hash(canonicalA), Tokens: tokensOf(t, canonicalA)},
		{Name: "twice", Hash: hash(asItStands), Tokens: tokensOf(t, asItStands)},
	}
	if !reflect.DeepEqual(e.ToolDefs, want) {
		t.Errorf("got %+v\nwant %+v", e.ToolDefs, want)
	}
	if e.TokensDefinitions != want[0].Tokens+want[1].Tokens || e.TokensResult != 0 {
		t.Errorf("%d tokens of definitions, %d of the result", e.TokensDefinitions, e.TokensResult)
	}

	e = enrich(t, p, sink, `{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}`, map[string]any{event.AttrMethod: "tools/list"})
	if e.TokensDefinitions != 0 || e.TokensResult != 0 || e.ToolDefs != nil {
		t.Errorf("an empty list has %d, %d tokens", e.TokensDefinitions, e.TokensResult)
	}
}

func TestLongListsAreCountedWholeAndListedInPart(t *testing.T) {
	p, sink := start(t, func(c *Config) { c.MaxTools = 2 })
	e := enrich(t, p, sink, `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"},{"name":"b"},{"name":"`+strings.Repeat("c", 300)+`"}]}}`,
		map[string]any{event.AttrMethod: "tools/list", event.AttrAnomalies: []any{"null_id"}})
	if len(e.ToolDefs) != 2 || !slices.Equal(e.Anomalies, []string{"null_id", anomalyTools}) {
		t.Errorf("%d tools listed, anomalies %v", len(e.ToolDefs), e.Anomalies)
	}
	if want := tokensOf(t, `{"name":"a"}`, `{"name":"b"}`, `{"name":"`+strings.Repeat("c", 300)+`"}`); e.TokensDefinitions != want {
		t.Errorf("%d tokens, want %d", e.TokensDefinitions, want)
	}
	p, sink = start(t, nil)
	e = enrich(t, p, sink, `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"`+strings.Repeat("é", 300)+`"},7,{}]}}`, map[string]any{event.AttrMethod: "tools/list"})
	if len(e.ToolDefs) != 3 || len(e.ToolDefs[0].Name) > maxToolName || e.ToolDefs[1].Name != "" {
		t.Errorf("tools %+v", e.ToolDefs)
	}
}

func TestUnreadableBodiesHaveNoCounts(t *testing.T) {
	p, sink := start(t, func(c *Config) { c.DefaultModel = "claude-opus-4-5"; c.MaxBytes = 1000 })
	for _, body := range []string{
		"", " ", "{", `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"cut o`, "\xff\xfe", "null", "[]", "7", `"text"`,
		`{"jsonrpc":"2.0"}`, `not json at all`, `{"jsonrpc":"2.0","id":1,"result":{}}trailing`,
		request("tools/call", `{"arguments":{"x":"`+strings.Repeat("y", 1000)+`"}}`), // above max_bytes
	} {
		e := enrich(t, p, sink, body, map[string]any{event.AttrMethod: "tools/call"})
		if e.TokensArguments != 0 || e.TokensResult != 0 || e.TokensDefinitions != 0 || e.TokensEncoding != "" || e.CostAmount != 0 || e.CostModel != "" {
			t.Errorf("body %.40q has counts: %+v", body, e.Fields)
		}
	}
}

const call = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"n","arguments":{"q":"some words to search for"}}}`
const answer = `{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"some words that were found"}]}}`

func TestCost(t *testing.T) {
	p, sink := start(t, func(c *Config) {
		c.DefaultModel = "claude-opus-4-5-20251101"
		c.Models = []ModelRule{
			{Match: Match{Server: "GIT*"}, Model: "gpt-5.4"},
			{Match: Match{Tenant: "acme", Client: "*cursor*"}, Model: "claude-haiku-4-5"},
			{Match: Match{Tenant: "acme"}, Model: "no-such-model"},
		}
	})
	f := func(body string, attrs map[string]any, model string, want float64, basis string) {
		t.Helper()
		e := enrich(t, p, sink, body, attrs)
		if math.Abs(e.CostAmount-want) > 1e-15 || e.CostModel != model || e.CostBasis != basis {
			t.Errorf("%v for %q, %s; want %v for %q, %s", e.CostAmount, e.CostModel, e.CostBasis, want, model, basis)
		}
		if (e.CostCurrency == "USD") != (basis != "") || strings.HasPrefix(e.CostPriceVersion, "2026-11-22+") != (basis != "") {
			t.Errorf("currency %q, price version %q", e.CostCurrency, e.CostPriceVersion)
		}
	}
	args, text := float64(tokensOf(t, `{"q":"some words to search for"}`)), float64(tokensOf(t, "some words that were found"))
	m := func(kv ...any) map[string]any {
		out := map[string]any{event.AttrMethod: "tools/call"}
		for i := 0; i < len(kv); i += 2 {
			out[kv[i].(string)] = kv[i+1]
		}
		return out
	}
	const opus = "claude-opus-4-5-20251101"
	f(call, m(), opus, args*25/1e6, basisCounted)  // written by the model
	f(answer, m(), opus, text*5/1e6, basisCounted) // read by the model
	f(call, m(event.AttrModel, "Claude-Sonnet-4-5"), "Claude-Sonnet-4-5", args*15/1e6, basisCounted)
	f(call, m(attrRequestModel, "gpt-5.5"), "gpt-5.5", args*30/1e6, basisCounted)
	f(call, m(event.AttrServer, "github"), "gpt-5.4", args*15/1e6, basisCounted)
	f(call, m(event.AttrTenant, "acme", event.AttrClientName, "Cursor-vscode"), "claude-haiku-4-5", args*5/1e6, basisCounted)
	f(call, m(event.AttrTenant, "acme"), "", 0, "") // no price, no amount
	f(`{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"}]}}`, m(event.AttrMethod, "tools/list"), opus, float64(tokensOf(t, `{"name":"a"}`))*5/1e6, basisCounted)
	f(`{"jsonrpc":"2.0","id":1,"result":{"resources":[{"uri":"a"}]}}`, m(event.AttrMethod, "resources/list"), "", 0, "") // no model is charged for it

	const sampled = `{"jsonrpc":"2.0","id":3,"result":{"role":"assistant","content":{"type":"text","text":"Hello there"},"model":"gpt-5.4-mini"}}`
	hello := float64(tokensOf(t, "Hello there"))
	f(sampled, m(event.AttrMethod, "sampling/createMessage"), "gpt-5.4-mini", hello*4.5/1e6, basisCounted)
	f(request("sampling/createMessage", `{"messages":[{"role":"user","content":{"type":"text","text":"Hello there"}}]}`), m(event.AttrMethod, "sampling/createMessage"), opus, hello*5/1e6, basisCounted)
	f(strings.Replace(sampled, "gpt-5.4-mini", "my secret is hunter2", 1), m(event.AttrMethod, "sampling/createMessage"), opus, hello*25/1e6, basisCounted)

	// What the provider reports wins.
	f(answer, m(attrUsageInput, 1000, attrUsageOutput, 10, attrUsageCached, 400), opus, (600*5+400*0.5+10*25)/1e6, basisReported)
	f("", m(attrUsageInput, int64(100)), opus, 100*5/1e6, basisReported)
	f("", m(attrUsageInput, 10, attrUsageCached, 400), opus, 10*0.5/1e6, basisReported)
	f("", m(attrUsageInput, -5), "", 0, "")

	e := enrich(t, p, sink, sampled, m(event.AttrMethod, "sampling/createMessage"))
	if e.Model != "gpt-5.4-mini" {
		t.Errorf("model %q", e.Model)
	}
	if e = enrich(t, p, sink, call, m()); e.Model != "" {
		t.Errorf("an assumed model %q is recorded as the message's", e.Model)
	}
}

func TestEncodingRules(t *testing.T) {
	p, sink := start(t, func(c *Config) {
		c.Encodings = []EncodingRule{
			{Model: "gpt-4-*", Encoding: "cl100k_base"},
			{Match: Match{Server: "old"}, Encoding: "p50k_base"},
		}
	})
	f := func(attrs map[string]any, want string) {
		t.Helper()
		e := enrich(t, p, sink, call, attrs)
		enc, err := bpe.Get(want)
		if err != nil {
			t.Fatal(err)
		}
		if n := int64(enc.CountString(`{"q":"some words to search for"}`)); e.TokensEncoding != want || e.TokensArguments != n {
			t.Errorf("%d tokens of %s, want %d of %s", e.TokensArguments, e.TokensEncoding, n, want)
		}
	}
	f(nil, "o200k_base")
	f(map[string]any{event.AttrModel: "GPT-4-turbo"}, "cl100k_base")
	f(map[string]any{event.AttrServer: "old"}, "p50k_base")
}

func TestBodiesAsStringsCountTheSame(t *testing.T) {
	p, sink := start(t, nil)
	ld := plog.NewLogs()
	lr := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	lr.Body().SetStr(call)
	if err := p.ConsumeLogs(context.Background(), ld); err != nil {
		t.Fatal(err)
	}
	v, ok := sink.AllLogs()[0].ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).Attributes().Get(event.AttrTokensArguments)
	if want := tokensOf(t, `{"q":"some words to search for"}`); !ok || v.Int() != want {
		t.Errorf("%v tokens, want %d", v.AsString(), want)
	}
}

// Twice through the processor is once: a redelivered record is not changed further.
func TestProcessingIsIdempotent(t *testing.T) {
	p, sink := start(t, func(c *Config) { c.DefaultModel = "gpt-5.4"; c.MaxTools = 1 })
	rapid.Check(t, func(rt *rapid.T) {
		body := rapid.SampledFrom([]string{call, answer, `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"},{"name":"b"}]}}`, "{"}).Draw(rt, "body")
		method := rapid.SampledFrom([]string{"tools/call", "tools/list", "", "sampling/createMessage"}).Draw(rt, "method")
		lr, _ := send(t, p, sink, body, map[string]any{event.AttrMethod: method})
		one := lr.Attributes().AsRaw()
		lr, _ = send(t, p, sink, body, one)
		a, _ := json.Marshal(one)
		b, _ := json.Marshal(lr.Attributes().AsRaw())
		if string(a) != string(b) {
			rt.Fatalf("%s becomes %s", a, b)
		}
	})
}

func TestNoContentReachesAttributes(t *testing.T) {
	p, sink := start(t, func(c *Config) { c.DefaultModel = "gpt-5.4" })
	for _, body := range []string{
		request("tools/call", `{"name":"n","arguments":{"hunter2":"hunter2"}}`),
		`{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"hunter2"}],"model":"hunter2 x"}}`,
		`{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"hunter2"}}`,
		`{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","description":"hunter2"}]}}`,
		`{"hunter2`,
	} {
		for _, method := range []string{"", "tools/call", "tools/list", "sampling/createMessage"} {
			lr, _ := send(t, p, sink, body, map[string]any{event.AttrMethod: method})
			if s := fmt.Sprint(lr.Attributes().AsRaw()); strings.Contains(s, "hunter2") {
				t.Errorf("attributes have content: %s", s)
			}
		}
	}
}

func FuzzProcess(f *testing.F) {
	for _, s := range []string{call, answer, `{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","inputSchema":{"a":1e400}}]}}`, request("sampling/createMessage", `{"messages":[{"content":[{"type":"tool_result","content":"x"}]}]}`), "{", "[[["} {
		f.Add([]byte(s), "tools/call")
		f.Add([]byte(s), "tools/list")
		f.Add([]byte(s), "sampling/createMessage")
	}
	p, sink := start(f, func(c *Config) { c.DefaultModel = "gpt-5.4"; c.MaxTools = 8 })
	f.Fuzz(func(t *testing.T, body []byte, method string) {
		e := enrich(t, p, sink, string(body), map[string]any{event.AttrMethod: method})
		if e.TokensArguments < 0 || e.TokensResult < 0 || e.CostAmount < 0 || len(e.ToolDefs) > 8 {
			t.Fatalf("%+v", e.Fields)
		}
		if n := e.TokensArguments + e.TokensResult; n > int64(3*len(body)) { // each ill-formed byte is at most the three of U+FFFD
			t.Fatalf("%d tokens of %d bytes", n, len(body))
		}
	})
}

func TestVerifyShutdown(t *testing.T) {
	f := NewFactory()
	processortest.VerifyShutdown(t, f, f.CreateDefaultConfig())
}
