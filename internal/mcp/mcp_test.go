package mcp

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseKind(t *testing.T) {
	f := func(in string, kind Kind, id ID, method string, anomalies ...string) {
		t.Helper()
		m := Parse([]byte(in), Limits{})
		if m.Kind != kind || m.ID != id || m.Method != method {
			t.Errorf("got %v %+v %q, want %v %+v %q", m.Kind, m.ID, m.Method, kind, id, method)
		}
		if got := m.Anomalies.AppendNames(nil); !slices.Equal(got, anomalies) {
			t.Errorf("anomalies %v, want %v", got, anomalies)
		}
	}
	num := func(s string) ID { return ID{IDNumber, s} }
	str := func(s string) ID { return ID{IDString, s} }
	f(`{"jsonrpc":"2.0","id":1,"method":"ping"}`, KindRequest, num("1"), "ping")
	f(`{"jsonrpc":"2.0","id":"1","method":"ping"}`, KindRequest, str("1"), "ping")
	f(`{"jsonrpc":"2.0","id":1.0,"method":"ping"}`, KindRequest, num("1.0"), "ping", "non_integer_id")
	f(`{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"ping"}`, KindRequest, num("123456789012345678901234567890"), "ping")
	f(" {\"jsonrpc\":\"2.0\",\n\"method\":\"vendor/x\",\"id\":-7 }\r\n", KindRequest, num("-7"), "vendor/x")
	f(`{"jsonrpc":"2.0","method":"notifications/initialized"}`, KindNotification, ID{}, "notifications/initialized")
	f(`{"jsonrpc":"2.0","id":null,"method":"ping"}`, KindNotification, ID{Type: IDNull}, "ping", "null_id")
	f(`{"jsonrpc":"2.0","id":{},"method":"ping"}`, KindNotification, ID{Type: IDOther}, "ping", "invalid_id")
	f(`{"jsonrpc":"2.0","id":1,"result":{}}`, KindResponse, num("1"), "")
	f(`{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"x"}}`, KindError, num("1"), "")
	f(`{"jsonrpc":"2.0","error":{"code":-32700,"message":"x"}}`, KindError, ID{}, "")
	f(`{"jsonrpc":"2.0","id":1,"error":{"code":1},"result":{}}`, KindError, num("1"), "", "result_and_error")
	f(`{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}`, KindRequest, num("1"), "ping", "mixed_envelope")
	f(`{"id":1,"method":"ping"}`, KindRequest, num("1"), "ping", "jsonrpc_version")
	f(`{"jsonrpc":2.0,"id":1,"method":"ping"}`, KindRequest, num("1"), "ping", "jsonrpc_version")
	f(`{"jsonrpc":"2.0","id":1,"method":7}`, KindInvalid, num("1"), "", "invalid_envelope")
	f(`{"jsonrpc":"2.0","id":1}`, KindInvalid, num("1"), "", "invalid_envelope")
	f(`{}`, KindInvalid, ID{}, "", "invalid_envelope", "jsonrpc_version")
	f(`[]`, KindInvalid, ID{}, "", "not_object")
	f(`"x"`, KindInvalid, ID{}, "", "not_object")
	f(``, KindInvalid, ID{}, "", "parse_error")
	f(`Starting server on port 3000`, KindInvalid, ID{}, "", "parse_error")
	f(`{"jsonrpc":"2.0","id":1,"method":"ping"`, KindInvalid, ID{}, "", "parse_error")
	f("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"pi\nng\"}", KindInvalid, ID{}, "", "parse_error")
	f(`{"jsonrpc":"2.0","id":01,"method":"ping"}`, KindInvalid, ID{}, "", "parse_error")
	f("\xef\xbb\xbf"+`{"jsonrpc":"2.0","id":1,"method":"ping"}`, KindRequest, num("1"), "ping", "bom")
	f(`{"jsonrpc":"2.0","id":1,"method":"ping"} x`, KindRequest, num("1"), "ping", "trailing_garbage")
	f("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{\"x\":\"\xff\"}}", KindRequest, num("1"), "ping", "invalid_utf8")
	f(`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"\ud800"}}`, KindRequest, num("1"), "ping", "lone_surrogate")
	f(`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"\udc00\ud83d\ude00"}}`, KindRequest, num("1"), "ping", "lone_surrogate")
	f(`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"\ud83d\ude00"}}`, KindRequest, num("1"), "ping")
	f(`{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}`, KindRequest, num("1"), "ping", "params_not_object")
	// Duplicates: the last one wins, as in most servers, and is flagged wherever it stands.
	f(`{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}`, KindRequest, num("1"), "tools/call", "duplicate_key")
	f(`{"jsonrpc":"2.0","id":1,"method":"tools/list","\u006dethod":"tools/call"}`, KindRequest, num("1"), "tools/call", "duplicate_key")
	f(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"p":{"x":1,"x":2}}}}`, KindRequest, num("1"), "tools/call", "duplicate_key")
	f(`{"jsonrpc":"2.0","id":1,"result":{"a":[{"x":1,"x":2}]}}`, KindResponse, num("1"), "", "duplicate_key")
	f(`{"jsonrpc":"2.0","id":1,"result":{"h":{"X":1,"x":2}}}`, KindResponse, num("1"), "")
	// Keys in another case, the trap of case-insensitive readers.
	f(`{"jsonrpc":"2.0","id":1,"method":"tools/list","Method":"tools/call"}`, KindRequest, num("1"), "tools/list", "case_variant_key")
	f(`{"jsonrpc":"2.0","ID":1,"method":"ping"}`, KindNotification, ID{}, "ping", "case_variant_key")
	f(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"Name":"x"}}`, KindRequest, num("1"), "tools/call", "case_variant_key")
	f(`{"jsonrpc":"2.0","id":1,"method":"tools/call","paramſ":{"name":"x"}}`, KindRequest, num("1"), "tools/call", "case_variant_key")
	f(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":{"path":"a","Path":"b"}}}`, KindRequest, num("1"), "tools/call", "case_variant_key")
	f(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":{"Kin":"a","`+"\u212a"+`in":"b"}}}`, KindRequest, num("1"), "tools/call", "case_variant_key")
	f(`{"jsonrpc":"2.0","id":1,"result":{"IsError":true}}`, KindResponse, num("1"), "", "case_variant_key")
	// Deep, but still told.
	f(`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":`+strings.Repeat("[", 600)+strings.Repeat("]", 600)+`}}`, KindRequest, num("1"), "ping", "too_deep")
}

func TestParseLargeObjects(t *testing.T) {
	f := func(keys []string, want ...string) {
		t.Helper()
		var b strings.Builder
		b.WriteString(`{"jsonrpc":"2.0","id":1,"method":"x","params":{"arguments":{`)
		for i, k := range keys {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(`"` + k + `":0`)
		}
		b.WriteString(`}}}`)
		if got := Parse([]byte(b.String()), Limits{}).Anomalies.AppendNames(nil); !slices.Equal(got, want) {
			t.Errorf("%d keys: %v, want %v", len(keys), got, want)
		}
	}
	var many, variants []string
	for i := range 5000 {
		many = append(many, "k"+strings.Repeat("x", i%7)+string(rune('a'+i%26))+jsonInt(i))
	}
	for i := range 1 << 14 { // all fold to one key: must be told without comparing all pairs
		k := []byte("abcdefghijklmn")
		for j := range k {
			if i&(1<<j) != 0 {
				k[j] -= 32
			}
		}
		variants = append(variants, string(k))
	}
	f(many)
	f(append(slices.Clone(many), many[17]), "duplicate_key")
	f(append(slices.Clone(many), strings.ToUpper(many[17])), "case_variant_key")
	f(variants, "case_variant_key")
}

func jsonInt(i int) string { b, _ := json.Marshal(i); return string(b) }

func TestAccessors(t *testing.T) {
	m := Parse([]byte(`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"read\u005ffile","arguments":{"path":"/x"},
		"requestState":"s","inputResponses":{"a":{}},"_meta":{"progressToken":"tok","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c","version":"1","icons":[{"name":"no"}]}}}}`), Limits{})
	eq := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	eq("anomalies", m.Anomalies, Anomaly(0))
	eq("tool", m.Tool(), "read_file")
	eq("arguments", string(m.Arguments()), `{"path":"/x"}`)
	eq("state", m.RequestStateHash(), Hash("request_state", "s"))
	eq("responses", m.HasInputResponses(), true)
	eq("token", m.ProgressToken(), ID{IDString, "tok"})
	eq("version", m.MetaProtocolVersion(), Version20260728)
	ci, _ := m.ClientInfo()
	eq("client", ci, Implementation{"c", "1"})
	tc, ok := m.TraceContext()
	eq("trace", ok && tc.TraceID[0] == 0x0a && tc.SpanID[7] == 0x31 && tc.Flags == 1, true)

	m = Parse([]byte(`{"jsonrpc":"2.0","id":3,"params":{"name":"one"},"method":"tools/call","params":{"arguments":{}}}`), Limits{})
	eq("members of the first params", m.Tool(), "")
	m = Parse([]byte(`{"jsonrpc":"2.0","id":3,"result":{"content":[],"isError":true,"resultType":"complete","model":"m"}}`), Limits{})
	eq("isError", m.IsError(), true)
	eq("resultType", m.ResultType(), "complete")
	eq("model", m.Model(), "m")
	m = Parse([]byte(`{"jsonrpc":"2.0","id":3,"error":{"code":-32020,"message":"x"}}`), Limits{})
	eq("code", m.ErrorCode(), "-32020")
	m = Parse([]byte(`{"jsonrpc":"2.0","id":3,"result":{"protocolVersion":"2025-11-25","serverInfo":{"name":"s","version":"2"}}}`), Limits{})
	eq("negotiated", m.ProtocolVersion(), Version20251125)
	si, _ := m.ServerInfo()
	eq("server", si, Implementation{"s", "2"})

	task := func(in string, want Task) {
		t.Helper()
		m := Parse([]byte(in), Limits{})
		got, ok := m.Task()
		if !ok || got.ID != want.ID || got.Status != want.Status || got.Created != want.Created || (got.Result != nil) != (want.Result != nil) {
			t.Errorf("task %+v, want %+v", got, want)
		}
	}
	task(`{"jsonrpc":"2.0","id":3,"result":{"task":{"taskId":"t","status":"working"}}}`, Task{ID: "t", Status: "working", Created: true})
	task(`{"jsonrpc":"2.0","id":3,"result":{"resultType":"task","taskId":"t","status":"working","ttlMs":1}}`, Task{ID: "t", Status: "working", Created: true})
	task(`{"jsonrpc":"2.0","id":3,"result":{"resultType":"complete","taskId":"t","status":"completed","result":{}}}`, Task{ID: "t", Status: "completed", Result: []byte("{}")})
	task(`{"jsonrpc":"2.0","id":3,"method":"tasks/get","params":{"taskId":"t"}}`, Task{ID: "t"})
	task(`{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{"taskId":"t","status":"failed"}}`, Task{ID: "t", Status: "failed"})
	task(`{"jsonrpc":"2.0","id":3,"result":{"content":[],"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}}}}`, Task{ID: "t"})
}

func TestParsePartial(t *testing.T) {
	full := `{"jsonrpc":"2.0","id":12,"method":"tools/call","params":{"name":"write","arguments":{"text":"` + strings.Repeat("y", 100) + `"}}}`
	for cut := 1; cut < len(full); cut++ {
		m := Parse([]byte(full[:cut]), Limits{Partial: true})
		if m.Anomalies.Has(ParseError) || !m.Anomalies.Has(TruncatedMessage) {
			t.Fatalf("cut at %d: %v", cut, m.Anomalies.AppendNames(nil))
		}
		if m.ID.Present() && m.ID.Text != "12" {
			t.Fatalf("cut at %d: id %q", cut, m.ID.Text)
		}
	}
	m := Parse([]byte(full[:len(full)-20]), Limits{Partial: true})
	if m.Kind != KindRequest || m.Tool() != "write" || !strings.HasPrefix(string(m.Arguments()), `{"text":"yyy`) {
		t.Errorf("got %v %q %q", m.Kind, m.Tool(), m.Arguments())
	}
}

func TestSplit(t *testing.T) {
	f := func(in string, lim Limits, wantBatch bool, want ...string) {
		t.Helper()
		var got []string
		batch := Split([]byte(in), lim, func(m *Message) bool {
			got = append(got, strings.Join(m.Anomalies.AppendNames([]string{m.Kind.String() + " " + m.ID.Text + "@" + jsonInt(m.Index)}), ","))
			return true
		})
		if batch != wantBatch || !slices.Equal(got, want) {
			t.Errorf("%v %q, want %v %q", batch, got, wantBatch, want)
		}
	}
	r := func(id string) string { return `{"jsonrpc":"2.0","id":` + id + `,"method":"ping"}` }
	f(r("1"), Limits{}, false, "request 1@0")
	f("["+r("1")+" , "+r("2")+"]", Limits{}, true, "request 1@0", "request 2@1")
	f("\xef\xbb\xbf["+r("1")+"]", Limits{}, true, "request 1@0")
	f("[]", Limits{}, true, "invalid @0,empty_batch")
	f("[ ] x", Limits{}, true, "invalid @0,trailing_garbage,empty_batch")
	f("["+r("1")+",7,[]]", Limits{}, true, "request 1@0", "invalid @1,not_object", "invalid @2,not_object,nested_batch")
	f("["+r("1")+","+r("2")+"", Limits{}, false, "invalid @0,parse_error")
	f("["+r("1")+","+r("2")+","+r("3")+"]", Limits{MaxBatch: 2}, true, "request 1@0", "request 2@1", "invalid @2,batch_too_long")
	f("["+r("1")+",{\"a\"", Limits{Partial: true}, true, "request 1@0", "invalid @1,truncated_message")
	f(r("1")+r("2"), Limits{}, false, "request 1@0,concatenated_values", "request 2@1,concatenated_values")
	f(r("1")+"\n"+r("2")+" junk", Limits{}, false, "request 1@0,concatenated_values", "request 2@1,trailing_garbage,concatenated_values")
	f(r("1")+" junk", Limits{}, false, "request 1@0,trailing_garbage")
	f(strings.Repeat(r("1"), 4), Limits{MaxBatch: 2}, false, "request 1@0,concatenated_values", "request 1@1,concatenated_values", "invalid @2,concatenated_values,batch_too_long")
	f("", Limits{}, false, "invalid @0,parse_error")
}

func TestGet(t *testing.T) {
	raw := []byte(`{"a":{"b":1,"b":[2,"x"]},"c\u0064":"v","e":{}}`)
	f := func(get func([]byte, ...string) ([]byte, bool), want string, path ...string) {
		t.Helper()
		v, ok := get(raw, path...)
		if ok != (want != "") || string(v) != want {
			t.Errorf("%v: %q %v, want %q", path, v, ok, want)
		}
	}
	f(Get, `[2,"x"]`, "a", "b")
	f(GetFirst, `1`, "a", "b")
	f(Get, `"v"`, "cd")
	f(Get, `{}`, "e")
	f(Get, ``, "e", "x")
	f(Get, ``, "c")
	f(Get, ``, "cd", "x")
	n := 0
	if !EachElement([]byte(`[1, "a]", {"b":[]}, []]`), func(i int, v []byte) bool { n++; return true }) || n != 4 {
		t.Error("elements", n)
	}
}

func TestParseTraceparent(t *testing.T) {
	f := func(s string, want bool) {
		t.Helper()
		if _, ok := ParseTraceparent(s); ok != want {
			t.Errorf("%q: %v", s, ok)
		}
	}
	f("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true)
	f("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", true)
	f("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more", false)
	f("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", false)
	f("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false)
	f("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false)
	f("00-00000000000000000000000000000000-b7ad6b7169203331-01", false)
	f("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false)
	f("", false)
}

func TestEra(t *testing.T) {
	f := func(v, era string, forbidden bool) {
		t.Helper()
		if Era(v) != era || BatchForbidden(v) != forbidden {
			t.Errorf("%q: %q %v", v, Era(v), BatchForbidden(v))
		}
	}
	f(Version20241105, EraLegacy, false)
	f(Version20250326, EraLegacy, false)
	f(Version20250618, EraLegacy, true)
	f(Version20251125, EraLegacy, true)
	f(Version20260728, EraModern, true)
	f("2031-01-01", EraModern, true)
	f("latest", "", false)
}

// genJSON draws a JSON text, mostly valid.
func genJSON(t *rapid.T) []byte {
	var val func(depth int) any
	val = func(depth int) any {
		k := rapid.IntRange(0, 7).Draw(t, "kind")
		if depth > 4 && k >= 6 {
			k = 0
		}
		switch k {
		case 0:
			return rapid.String().Draw(t, "s")
		case 1:
			return rapid.Int64().Draw(t, "i")
		case 2:
			return rapid.Float64Range(-1e300, 1e300).Draw(t, "f")
		case 3:
			return rapid.Bool().Draw(t, "b")
		case 4:
			return nil
		case 5:
			return rapid.StringOf(rapid.SampledFrom([]rune("ab\"\\é\x01😀"))).Draw(t, "esc")
		case 6:
			n := rapid.IntRange(0, 4).Draw(t, "n")
			a := make([]any, 0, n)
			for range n {
				a = append(a, val(depth+1))
			}
			return a
		}
		m := map[string]any{}
		for range rapid.IntRange(0, 20).Draw(t, "n") {
			m[rapid.StringN(0, 6, -1).Draw(t, "k")] = val(depth + 1)
		}
		return m
	}
	b, err := json.Marshal(val(0))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestValidAgreesWithEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := genJSON(t)
		if !Valid(b) {
			t.Fatalf("refuses valid JSON %s", b)
		}
		if n := len(b); n > 0 { // one byte changed: both must agree
			b[rapid.IntRange(0, n-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
			if Valid(b) != json.Valid(b) {
				t.Fatalf("differs from encoding/json: %q", b)
			}
		}
	})
}

func TestTextAgreesWithEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, _ := json.Marshal(rapid.String().Draw(t, "s"))
		var want string
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatal(err)
		}
		if got, ok := Text(b); !ok || got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}

func TestWalkersAgreeWithEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := genJSON(t)
		var v any
		json.Unmarshal(b, &v)
		switch v := v.(type) {
		case map[string]any:
			n := 0
			if !EachMember(b, func(k, val []byte) bool { n++; return Valid(val) }) || n != len(v) {
				t.Fatalf("%d members of %d", n, len(v))
			}
			for k := range v {
				if _, ok := Get(b, k); !ok {
					t.Fatalf("no %q", k)
				}
			}
		case []any:
			n := 0
			if !EachElement(b, func(_ int, val []byte) bool { n++; return Valid(val) }) || n != len(v) {
				t.Fatalf("%d elements of %d", n, len(v))
			}
		}
	})
}

var fuzzSeeds = []string{
	`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"a":[1,2.5e-3,"\u00e9\ud83d\ude00"]},"_meta":{"progressToken":1}}}`,
	`{"jsonrpc":"2.0","id":"a","result":{"resultType":"input_required","requestState":"s","inputRequests":{}}}`,
	`[{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","method":"notifications/progress"}]`,
	`{"a":1}{"b":2} x`, "\xef\xbb\xbf[]", `{"method":"a","Method":"b","method":"c"}`, `[[[[`, `{"x":"\ud800"}`, "{\"x\":\"\xff\"}", "", "nul", "-", "1e",
}

func FuzzParse(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, partial bool) {
		n := 0
		Split(b, Limits{MaxDepth: 8, MaxBatch: 4, Partial: partial}, func(m *Message) bool {
			n++
			m.Tool()
			m.Prompt()
			m.ResourceURI()
			m.ErrorCode()
			m.MetaProtocolVersion()
			m.ClientInfo()
			m.ServerInfo()
			m.TraceContext()
			m.ProgressToken()
			m.SubscriptionID()
			m.RequestStateHash()
			m.Task()
			m.Model()
			if m.Kind != KindInvalid && m.Anomalies&(ParseError|TooLarge) != 0 {
				t.Fatal("read what it calls unreadable")
			}
			return true
		})
		if n == 0 || n > 5 {
			t.Fatalf("%d messages", n)
		}
		if Valid(b) != json.Valid(b) && !tooDeepForJSON(b) {
			t.Fatalf("differs from encoding/json")
		}
	})
}

// tooDeepForJSON tells input that encoding/json refuses for its depth alone.
func tooDeepForJSON(b []byte) bool {
	return strings.Count(string(b), "[")+strings.Count(string(b), "{") > 9999
}

func FuzzWalk(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add([]byte(s), "a")
	}
	f.Fuzz(func(t *testing.T, b []byte, k string) {
		Get(b, k, k)
		GetFirst(b, k)
		EachElement(b, func(_ int, v []byte) bool { _, ok := Text(v); return ok })
		AppendText(nil, b)
		ParseID(b)
		ParseTraceparent(k)
	})
}
