package inspect

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/mcpsiem/mcpsiem/internal/inspect/pseudonym"
)

func testEngine(t testing.TB, edit ...func(*Config)) *Engine {
	t.Helper()
	m, err := pseudonym.NewMaster([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Master: m}
	for _, f := range edit {
		f(&cfg)
	}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func redact(t testing.TB, e *Engine, body string) Output {
	t.Helper()
	return e.Inspect(&Input{Tenant: "default", Method: "tools/call", Body: []byte(body)})
}

// A value that was in the text is gone, its class is reported, and what remains is JSON.
func TestFinds(t *testing.T) {
	e := testEngine(t)
	f := func(class, value, body string) {
		t.Helper()
		out := redact(t, e, body)
		if out.Withheld != "" {
			t.Errorf("withheld: %s", out.Withheld)
			return
		}
		if !json.Valid(out.Body) {
			t.Errorf("not JSON: %s", out.Body)
		}
		if value != "" && strings.Contains(string(out.Body), value) {
			t.Errorf("%s left in %s", value, out.Body)
		}
		if _, ok := out.Redactions[class]; !ok {
			t.Errorf("no %s in %v: %s", class, out.Redactions, out.Body)
		}
		again := redact(t, e, string(out.Body))
		if string(again.Body) != string(out.Body) {
			t.Errorf("redacting again changes\n%s to\n%s", out.Body, again.Body)
		}
	}
	f("email", "bob@corp.example", `{"a":"mail bob@corp.example now"}`)
	f("card", "4111111111111111", `{"a":"card 4111111111111111 x"}`)
	f("card", "4111111111111111", `{"a":4111111111111111}`)
	f("card", "4111111111111111", `{"a":4111111111111111.0}`)
	f("card", "4.111111111111111e15", `{"a":4.111111111111111e15}`)
	f("card", "4111-1111-1111-1111", `{"a":"4111-1111-1111-1111"}`)
	f("card", "4111 1111", `{"a":"pay with 4111 1111 1111 1111 please"}`)
	f("card", "1111", `{"a":["4111","1111","1111","1111"]}`)
	f("card", "3782 822463 10005", `{"a":"3782 822463 10005"}`)
	f("us_ssn", "123-45-6789", `{"a":"ssn 123-45-6789"}`)
	f("us_ssn", "123456789", `{"ssn":123456789}`)
	f("iban", "DE89370400440532013000", `{"a":"DE89370400440532013000"}`)
	f("iban", "3704 0044", `{"a":"to DE89 3704 0044 0532 0130 00 today"}`)
	f("email", "Ym9i", `{"a":"`+base64.StdEncoding.EncodeToString([]byte("bob@corp.example"))+`"}`)
	f("email", "626f62", `{"a":"`+hex.EncodeToString([]byte("bob@corp.example"))+`"}`)
	f("email", "bob", `{"a":"bob%40corp.example"}`)
	f("email", "bob", `{"a":"bob&#64;corp.example"}`)
	f("email", "bob", `{"a":"bob\\u0040corp.example"}`)
	f("email", "bob", `{"a":"{\"x\":\"bob@corp.example\"}"}`)
	f("email", "corp", `{"a":"bob＠corp.example"}`)
	f("card", "４", `{"a":"４１１１１１１１１１１１１１１１"}`)
	f("card", "1111", "{\"a\":\"4111\u200b1111\u200b1111\u200b1111\"}")
	f("email", "bob", `{"bob@corp.example":1}`)
	f("github_token", "ghp_", `{"a":"ghp_16C7e42F292c6912E7710c838347Ae178B4a"}`)
	f("jwt", "eyJ", `{"a":"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"}`)
	f("secret", "hunter2", `{"password":"hunter2"}`)
	f("secret", "hunter2", `{"password":{"value":"hunter2"}}`)
	f("secret", "hunter2", `{"name":"DB_PASSWORD","value":"hunter2"}`)
	f("env_value", "hunter2", `{"env":{"X":"hunter2"}}`)
	f("env_value", "hunter2", `{"env":["X=hunter2"]}`)
	f("authorization", "abcdef", `{"a":"Authorization: Bearer abcdef0123456789"}`)
	f("url_credentials", "hunter2", `{"a":"postgres://bob:hunter2@db/x"}`)
	f("blob", "iVBOR", `{"type":"image","data":"iVBORw0KGgoAAAANSUhEUg","mimeType":"image/png"}`)
	f("private_key", "MIIE", `{"a":"-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\n-----END RSA PRIVATE KEY-----"}`)
}

// What cannot be examined is withheld, with the reason.
func TestWithholds(t *testing.T) {
	e := testEngine(t, func(c *Config) { c.MaxBytes = 1000 })
	f := func(reason, body string) {
		t.Helper()
		out := redact(t, e, body)
		if out.Withheld != reason || out.Body != nil {
			t.Errorf("got %q and %d bytes, want %q", out.Withheld, len(out.Body), reason)
		}
		if out.BodyFingerprint == "" {
			t.Error("no fingerprint")
		}
	}
	f(ReasonUnparseable, `{"a":`)
	f(ReasonUnparseable, `{"a":1}x`)
	f(ReasonUnparseable, `bob@corp.example`)
	f(ReasonUnparseable, `{"a":"\x"}`)
	f(ReasonUnparseable, `{"a":01}`)
	f(ReasonUTF8, "{\"a\":\"\xff\"}")
	f(ReasonTooDeep, strings.Repeat("[", 200)+strings.Repeat("]", 200))
	f(ReasonTooLarge, `"`+strings.Repeat("x", 1000)+`"`)
	if out := e.Inspect(&Input{Body: []byte(`{}`), Truncated: true}); out.Withheld != ReasonTruncated {
		t.Errorf("got %q", out.Withheld)
	}
}
