package inspect

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// planted are values of many classes; none may be seen in what comes out, in any spelling.
var planted = []string{
	"4111111111111111", "5500005555555559", "378282246310005", "bob.smith@corp.example", "DE89370400440532013000", "123-45-6789", "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
	"AKIAIOSFODNN7EXAMPLQ", "xoxb-123456789012-1234567890123-abcdefghijklmnopqrstuvwx", "sk-ant-api03-Zx9kQm2Lw8Rt5Yv1Bn4Cd7Ef0Gh3Ij6Kl9Mn2Op5Qr8St1Uv4", "12345678Z", "S1234567D", "RSSMRA85T10A562S", "529.982.247-25",
	"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U", "glpat-tFrjFXD7soVU2fqxuDMh", "sk_live_dhhfUUyfrAace5dBAZ10JrAD", "+1 212-555-0187",
}

// wrappers hide a value; each gives a string.
var wrappers = map[string]func(string) string{
	"plain":     func(s string) string { return s },
	"prose":     func(s string) string { return "Please note that it is " + s + " as agreed." },
	"base64":    func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64url": func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("value: " + s)) },
	"hex":       func(s string) string { return hex.EncodeToString([]byte(s)) },
	"HEX":       func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
	"percent":   func(s string) string { return "q=" + url.QueryEscape(s) },
	"percents": func(s string) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			fmt.Fprintf(&b, "%%%02x", c)
		}
		return b.String()
	},
	"entities": func(s string) string {
		var b strings.Builder
		for _, c := range s {
			fmt.Fprintf(&b, "&#%d;", c)
		}
		return b.String()
	},
	"hex entities": func(s string) string {
		var b strings.Builder
		for _, c := range s {
			fmt.Fprintf(&b, "&#x%x;", c)
		}
		return b.String()
	},
	"unicode escapes": func(s string) string {
		var b strings.Builder
		for _, c := range utf16.Encode([]rune(s)) {
			fmt.Fprintf(&b, "\\u%04x", c)
		}
		return b.String()
	},
	"quoted-printable": func(s string) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			fmt.Fprintf(&b, "=%02X", c)
		}
		return b.String()
	},
	"JSON string": func(s string) string { b, _ := json.Marshal(s); return string(b) },
	"JSON object": func(s string) string { b, _ := json.Marshal(map[string]any{"note": s}); return string(b) },
	"JSON array":  func(s string) string { b, _ := json.Marshal([]any{"x", s}); return string(b) },
	"JSON key":    func(s string) string { b, _ := json.Marshal(map[string]any{s: 1}); return string(b) },
	"gzip": func(s string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write([]byte("here it is: " + s + "\n"))
		z.Close()
		return base64.StdEncoding.EncodeToString(b.Bytes())
	},
	"fullwidth": func(s string) string {
		return strings.Map(func(r rune) rune {
			if r > ' ' && r < 0x7f {
				return r + 0xFEE0
			}
			return r
		}, s)
	},
	"zero width": func(s string) string { return strings.Join(strings.Split(s, ""), "\u200b") },
	"tags": func(s string) string {
		return strings.Map(func(r rune) rune {
			if r >= ' ' && r < 0x7f {
				return r + 0xE0000
			}
			return r
		}, s)
	},
	"path": func(s string) string { return "/api/v1/" + base64.RawStdEncoding.EncodeToString([]byte("token is "+s)) },
}

var wrapperNames = func() (out []string) {
	for n := range wrappers {
		out = append(out, n)
	}
	return out
}()

// Whatever a planted value is wrapped in, twice, and wherever in a message it stands, neither the value nor its wrapping survives; what
// comes out is JSON and stays as it is when inspected again.
func TestPlantedValuesDoNotSurvive(t *testing.T) {
	e := saltedEngine(t)
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.SampledFrom(planted).Draw(t, "value")
		wrapped := value
		n := rapid.IntRange(1, 2).Draw(t, "n")
		var names []string
		for range n {
			name := rapid.SampledFrom(wrapperNames).Draw(t, "wrapper")
			names = append(names, name)
			wrapped = wrappers[name](wrapped)
		}
		body := putSomewhere(t, wrapped)
		out := e.Inspect(&Input{Tenant: "default", Method: "tools/call", Body: body})
		if out.Withheld != "" {
			t.Fatalf("withheld: %s", out.Withheld)
		}
		if !json.Valid(out.Body) {
			t.Fatalf("not JSON: %s", out.Body)
		}
		text := flat(out.Body)
		for _, left := range []string{value, wrapped} {
			if strings.Contains(text, left) {
				t.Fatalf("%v: %q is left in %s", names, left, out.Body)
			}
		}
		again := e.Inspect(&Input{Tenant: "default", Method: "tools/call", Body: out.Body})
		if string(again.Body) != string(out.Body) {
			t.Fatalf("%v: not idempotent:\n%s\n%s", names, out.Body, again.Body)
		}
		twin := e.Inspect(&Input{Tenant: "default", Method: "tools/call", Body: body})
		if string(twin.Body) != string(out.Body) || fmt.Sprint(twin.Fingerprints, twin.Signals, twin.Redactions) != fmt.Sprint(out.Fingerprints, out.Signals, out.Redactions) {
			t.Fatal("not deterministic")
		}
	})
}

// putSomewhere puts s somewhere into a message.
func putSomewhere(t *rapid.T, s string) []byte {
	var v any = s
	for range rapid.IntRange(0, 4).Draw(t, "depth") {
		switch rapid.IntRange(0, 3).Draw(t, "shape") {
		case 0:
			v = map[string]any{"items": v, "count": 3}
		case 1:
			v = []any{"first", v, 3.5, nil}
		case 2:
			v = map[string]any{"type": "text", "text": v}
		case 3:
			v = map[string]any{s: v}
		}
	}
	var msg any
	switch rapid.IntRange(0, 3).Draw(t, "message") {
	case 0:
		msg = map[string]any{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": map[string]any{"name": "f", "arguments": map[string]any{"a": v}}}
	case 1:
		msg = map[string]any{"jsonrpc": "2.0", "id": 1, "result": map[string]any{"content": []any{map[string]any{"type": "text", "text": v}}, "structuredContent": v}}
	case 2:
		msg = map[string]any{"jsonrpc": "2.0", "id": 1, "error": map[string]any{"code": -32000, "message": "failed", "data": v}}
	case 3:
		msg = map[string]any{"jsonrpc": "2.0", "method": "notifications/message", "params": map[string]any{"level": "info", "data": v}}
	}
	b, err := json.Marshal(msg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// flat is all text of a JSON value, so that escapes do not hide anything from the test.
func flat(b []byte) string {
	var v any
	_ = json.Unmarshal(b, &v)
	var out strings.Builder
	out.Write(b)
	var walk func(v any)
	walk = func(v any) {
		switch x := v.(type) {
		case string:
			out.WriteString("\n" + x)
		case []any:
			for _, y := range x {
				walk(y)
			}
		case map[string]any:
			for k, y := range x {
				out.WriteString("\n" + k)
				walk(y)
			}
		}
	}
	walk(v)
	return out.String()
}

// A value cut into the strings of an array does not survive.
func TestSplitValuesDoNotSurvive(t *testing.T) {
	e := saltedEngine(t)
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.SampledFrom([]string{"4111111111111111", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "sk_live_dhhfUUyfrAace5dBAZ10JrAD", "DE89370400440532013000"}).Draw(t, "value")
		at := rapid.IntRange(3, len(value)-3).Draw(t, "at")
		blocks := rapid.Bool().Draw(t, "blocks")
		parts := []any{value[:at], value[at:]}
		if blocks {
			parts = []any{map[string]any{"type": "text", "text": value[:at]}, map[string]any{"type": "text", "text": value[at:]}}
		}
		body, _ := json.Marshal(map[string]any{"result": map[string]any{"content": parts}})
		out := e.Inspect(&Input{Tenant: "default", Body: body})
		if s := flat(out.Body); strings.Contains(s, value[:at]) && strings.Contains(s, value[at:]) {
			t.Fatalf("left in %s", out.Body)
		}
	})
}

// One value has one pseudonym in a tenant, in all spellings, and others elsewhere.
func TestPseudonymsCorrelateWithinTenant(t *testing.T) {
	e := saltedEngine(t)
	other := testEngine(t, func(c *Config) { c.Epoch, c.Tenants = "2", e.cfg.Tenants })
	get := func(e *Engine, tenant, s string) string {
		b, _ := json.Marshal(s)
		out := e.Inspect(&Input{Tenant: tenant, Body: b})
		return string(out.Body)
	}
	a := get(e, "a", "4111111111111111")
	if b := get(e, "a", "4111 1111 1111 1111"); a != b {
		t.Errorf("spellings differ: %s %s", a, b)
	}
	if b := get(e, "b", "4111111111111111"); a == b {
		t.Error("same pseudonym in two tenants")
	}
	if b := get(other, "a", "4111111111111111"); a == b {
		t.Error("same pseudonym in two epochs")
	}
	if x, y := get(e, "a", "Bob@Corp.example"), get(e, "a", "bob@corp.example"); x != y {
		t.Error("case changes the pseudonym of an address")
	}
}

// A look-alike of a placeholder does not carry a value past inspection.
func TestForgedPlaceholder(t *testing.T) {
	e := saltedEngine(t)
	for _, s := range []string{"<card:4111111111111111>", "<email:4111111111111111:1>", "<secret:123456789012abcd:4111111111111111>", "<password>hunter2hunter2</password> 4111111111111111"} {
		b, _ := json.Marshal(s)
		if out := e.Inspect(&Input{Tenant: "default", Body: b}); strings.Contains(string(out.Body), "4111111111111111") {
			t.Errorf("left: %s", out.Body)
		}
	}
}

// Fuzz: any bytes give a withheld body or valid JSON that is stable, never a panic.
func FuzzInspect(f *testing.F) {
	e := testEngine(f)
	f.Add([]byte(`{"a":"bob@corp.example","b":["4111","1111","1111","1111"],"c":4.111111111111111e15}`))
	f.Add([]byte(`{"a":"{\"x\":\"\\u0062ob@corp.example\"}"}`))
	f.Add([]byte(`["<email:0000000000000000>","%34%31","=34=31","&#52;"]`))
	f.Add([]byte(`{"inputSchema":{"properties":{"password":{"type":"string","default":"hunter2hunter2"}}}}`))
	f.Add([]byte("\"-----BEGIN PRIVATE KEY-----\\nMIIE\""))
	f.Add([]byte(`{"env":{"A":"b"},"data":"iVBORw0KGgo=","type":"image"}`))
	for _, w := range wrappers {
		b, _ := json.Marshal(w(planted[0]))
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		out := e.Inspect(&Input{Tenant: "default", Method: "tools/call", Body: body})
		if out.Withheld == ReasonFailed {
			t.Fatal("inspection failed")
		}
		if out.Withheld != "" {
			if out.Body != nil {
				t.Fatal("withheld and there")
			}
			if json.Valid(body) && utf8.Valid(body) && out.Withheld == ReasonUnparseable {
				t.Fatalf("valid JSON withheld as %s", out.Withheld)
			}
			return
		}
		if len(body) == 0 {
			return
		}
		if !json.Valid(body) {
			t.Fatal("bad JSON passed")
		}
		if !json.Valid(out.Body) {
			t.Fatalf("not JSON: %q", out.Body)
		}
		again := e.Inspect(&Input{Tenant: "default", Method: "tools/call", Body: out.Body})
		if string(again.Body) != string(out.Body) {
			t.Fatalf("not idempotent: %q, %q", out.Body, again.Body)
		}
	})
}
