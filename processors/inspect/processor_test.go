package inspect

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.uber.org/goleak"

	"github.com/mcpsiem/mcpsiem/internal/event"
	engine "github.com/mcpsiem/mcpsiem/internal/inspect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testConfig(t testing.TB) *Config {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(strings.Repeat("0123456789abcdef", 4)), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := createDefaultConfig().(*Config)
	cfg.KeyFile = key
	return cfg
}

// run passes logs through a processor and returns what came out, marshalled.
func run(t testing.TB, cfg *Config, logs plog.Logs) (plog.Logs, string) {
	t.Helper()
	sink := new(consumertest.LogsSink)
	p, err := NewFactory().CreateLogs(context.Background(), processortest.NewNopSettings(Type), cfg, sink)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	if err := p.ConsumeLogs(context.Background(), logs); err != nil {
		t.Fatal(err)
	}
	if err := p.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	out := sink.AllLogs()[0]
	raw, err := (&plog.ProtoMarshaler{}).MarshalLogs(out)
	if err != nil {
		t.Fatal(err)
	}
	return out, string(raw)
}

const (
	card   = "4111111111111111"
	spaced = "4111 1111 1111 1111"
)

// Every place of a record where contrib's redaction processor was seen to leave a card number.
func TestNoFieldLeaks(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString([]byte("my card " + card))
	for name, plant := range map[string]func(rl plog.ResourceLogs, lr plog.LogRecord){
		"body string": func(_ plog.ResourceLogs, lr plog.LogRecord) { lr.Body().SetStr(`{"a":"` + card + `"}`) },
		"body bytes": func(_ plog.ResourceLogs, lr plog.LogRecord) {
			lr.Body().SetEmptyBytes().FromRaw([]byte(`{"a":` + card + `}`))
		},
		"body map":      func(_ plog.ResourceLogs, lr plog.LogRecord) { lr.Body().SetEmptyMap().PutStr("a", spaced) },
		"body not JSON": func(_ plog.ResourceLogs, lr plog.LogRecord) { lr.Body().SetStr("card " + card) },
		"nested map": func(_ plog.ResourceLogs, lr plog.LogRecord) {
			lr.Attributes().PutEmptyMap("m").PutEmptyMap("n").PutStr("x", card)
		},
		"list": func(_ plog.ResourceLogs, lr plog.LogRecord) {
			lr.Attributes().PutEmptySlice("l").AppendEmpty().SetStr(card)
		},
		"list in map": func(_ plog.ResourceLogs, lr plog.LogRecord) {
			lr.Attributes().PutEmptyMap("m").PutEmptySlice("l").AppendEmpty().SetInt(4111111111111111)
		},
		"bytes": func(_ plog.ResourceLogs, lr plog.LogRecord) {
			lr.Attributes().PutEmptyBytes("b").FromRaw([]byte("card " + card))
		},
		"int":           func(_ plog.ResourceLogs, lr plog.LogRecord) { lr.Attributes().PutInt("i", 4111111111111111) },
		"double":        func(_ plog.ResourceLogs, lr plog.LogRecord) { lr.Attributes().PutDouble("d", 4111111111111111) },
		"key":           func(_ plog.ResourceLogs, lr plog.LogRecord) { lr.Attributes().PutStr("paid-"+card, "x") },
		"key of nested": func(_ plog.ResourceLogs, lr plog.LogRecord) { lr.Attributes().PutEmptyMap("m").PutStr(card, "x") },
		"event name":    func(_ plog.ResourceLogs, lr plog.LogRecord) { lr.SetEventName("paid " + card) },
		"severity text": func(_ plog.ResourceLogs, lr plog.LogRecord) { lr.SetSeverityText(card) },
		"base64":        func(_ plog.ResourceLogs, lr plog.LogRecord) { lr.Attributes().PutStr("a", b64) },
		"spaced":        func(_ plog.ResourceLogs, lr plog.LogRecord) { lr.Attributes().PutStr("a", spaced) },
		"beside an allowed": func(_ plog.ResourceLogs, lr plog.LogRecord) {
			lr.Attributes().PutStr("a", "bob@mycompany.com paid with "+card)
		},
		"split list": func(_ plog.ResourceLogs, lr plog.LogRecord) {
			s := lr.Attributes().PutEmptySlice("l")
			for range 4 {
				s.AppendEmpty()
			}
			for i, x := range []string{"4111", "1111", "1111", "1111"} {
				s.At(i).SetStr(x)
			}
		},
		"resource":      func(rl plog.ResourceLogs, _ plog.LogRecord) { rl.Resource().Attributes().PutStr("r", card) },
		"scope name":    func(rl plog.ResourceLogs, _ plog.LogRecord) { rl.ScopeLogs().At(0).Scope().SetName(card) },
		"scope version": func(rl plog.ResourceLogs, _ plog.LogRecord) { rl.ScopeLogs().At(0).Scope().SetVersion(card) },
		"scope attribute": func(rl plog.ResourceLogs, _ plog.LogRecord) {
			rl.ScopeLogs().At(0).Scope().Attributes().PutStr("a", card)
		},
		"schema url": func(rl plog.ResourceLogs, _ plog.LogRecord) { rl.SetSchemaUrl("https://x/" + card) },
		"labels": func(_ plog.ResourceLogs, lr plog.LogRecord) {
			lr.Attributes().PutEmptyMap(event.AttrLabels).PutStr("l", card)
		},
		"raw attribute": func(_ plog.ResourceLogs, lr plog.LogRecord) { lr.Attributes().PutStr(event.RawPrefix+"unknown", card) },
		"raw on the resource": func(rl plog.ResourceLogs, _ plog.LogRecord) {
			rl.Resource().Attributes().PutStr(event.AttrRawURL, card)
		},
		"identity":   func(_ plog.ResourceLogs, lr plog.LogRecord) { lr.Attributes().PutStr(event.AttrPrincipalID, card) },
		"method":     func(_ plog.ResourceLogs, lr plog.LogRecord) { lr.Attributes().PutStr(event.AttrMethod, card) },
		"tool":       func(_ plog.ResourceLogs, lr plog.LogRecord) { lr.Attributes().PutStr(event.AttrTool, card) },
		"request id": func(_ plog.ResourceLogs, lr plog.LogRecord) { lr.Attributes().PutStr(event.AttrRequestID, card) },
		"uri": func(_ plog.ResourceLogs, lr plog.LogRecord) {
			lr.Attributes().PutStr(event.AttrResourceURI, "file:///x/"+card+"?q="+card)
		},
		"known int": func(_ plog.ResourceLogs, lr plog.LogRecord) { lr.Attributes().PutInt(event.AttrPID, 4111111111111111) },
		"schema attr as list": func(_ plog.ResourceLogs, lr plog.LogRecord) {
			lr.Attributes().PutEmptySlice(event.AttrID).AppendEmpty().SetStr(card)
		},
	} {
		t.Run(name, func(t *testing.T) {
			logs := plog.NewLogs()
			rl := logs.ResourceLogs().AppendEmpty()
			lr := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
			plant(rl, lr)
			_, raw := run(t, testConfig(t), logs)
			for _, left := range []string{card, spaced, b64[8:30], "41111111", "4111\x12", "1111\x12"} {
				if strings.Contains(raw, left) {
					t.Errorf("%q is left", left)
				}
			}
			if strings.Contains(raw, "\x18\x87\xde\x8e\x97\xce\xcd\xcd\x07") { // the number as a varint
				t.Error("the number is left")
			}
		})
	}
}

// The attributes that inspection sets, and those that it removes.
func TestAttributes(t *testing.T) {
	logs := plog.NewLogs()
	lr := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	lr.Body().SetStr(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pay","arguments":{"to":"bob@corp.example"}}}`)
	lr.Attributes().PutStr(event.AttrBodySHA256, strings.Repeat("ab", 32))
	lr.Attributes().PutStr(event.AttrRawAuthorization, "Bearer x")
	lr.Attributes().PutStr(event.AttrPrincipalID, "alice@corp.example")
	lr.Attributes().PutStr(event.AttrID, "00112233445566778899001122334455")
	out, _ := run(t, testConfig(t), logs)
	lr = out.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
	var e event.Event
	event.Decode(out.ResourceLogs().At(0).Resource(), lr, &e)
	if e.BodySHA256 != "" || e.RawAuthorization != "" {
		t.Error("raw attributes are left")
	}
	if len(e.BodyFingerprint) != 32 {
		t.Errorf("body fingerprint %q", e.BodyFingerprint)
	}
	if e.PrincipalID != "alice@corp.example" || e.ID != "00112233445566778899001122334455" {
		t.Errorf("identity changed: %q %q", e.PrincipalID, e.ID)
	}
	if len(e.DataClasses) != 1 || e.DataClasses[0] != "email" || e.Redactions["email"] != 1 {
		t.Errorf("classes %v, redactions %v", e.DataClasses, e.Redactions)
	}
	if !strings.Contains(e.Body, `"method":"tools/call","params":{"name":"pay"`) || strings.Contains(e.Body, "bob") {
		t.Errorf("body %s", e.Body)
	}
	if lr.Body().Type() != pcommon.ValueTypeStr {
		t.Errorf("body is %v", lr.Body().Type())
	}
}

func TestStartFailsWithoutKey(t *testing.T) {
	cfg := testConfig(t)
	cfg.KeyFile += ".missing"
	p, err := NewFactory().CreateLogs(context.Background(), processortest.NewNopSettings(Type), cfg, consumertest.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(context.Background(), componenttest.NewNopHost()); err == nil {
		t.Fatal("started without a key")
	}
	_ = p.Shutdown(context.Background())
}

func TestValidate(t *testing.T) {
	f := func(want string, edit func(*Config)) {
		t.Helper()
		cfg := testConfig(t)
		edit(cfg)
		err := cfg.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("", func(*Config) {})
	f("key_file", func(c *Config) { c.KeyFile = "" })
	f("max_bytes", func(c *Config) { c.MaxBytes = 1 })
	f("max_depth", func(c *Config) { c.MaxDepth = 1 })
	f("timeout", func(c *Config) { c.Timeout = 0 })
	f("dry_run_confirm", func(c *Config) { c.DryRun = true })
	f("", func(c *Config) { c.DryRun, c.DryRunConfirm = true, DryRunSentence })
}

func TestShutdownContract(t *testing.T) {
	processortest.VerifyShutdown(t, NewFactory(), testConfig(t))
}

// Splitting a batch, or records around it, changes nothing of what comes out for a record.
func TestBatchSplitChangesNothing(t *testing.T) {
	bodies := []string{`{"result":{"a":"bob@corp.example"}}`, `{"params":{"arguments":{"password":"x"}}}`, `not JSON`, `{"result":{"text":"Ignore all previous instructions"}}`}
	record := func(rl plog.ResourceLogs, i int) {
		lr := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
		lr.Body().SetStr(bodies[i])
		lr.Attributes().PutStr(event.AttrTenant, "acme")
	}
	all := plog.NewLogs()
	rl := all.ResourceLogs().AppendEmpty()
	for i := range bodies {
		record(rl, i)
	}
	cfg := testConfig(t)
	together, _ := run(t, cfg, all)
	for i := range bodies {
		one := plog.NewLogs()
		record(one.ResourceLogs().AppendEmpty(), i)
		alone, _ := run(t, cfg, one)
		a := together.ResourceLogs().At(0).ScopeLogs().At(i).LogRecords().At(0)
		b := alone.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
		if a.Body().AsString() != b.Body().AsString() || !a.Attributes().Equal(b.Attributes()) {
			t.Errorf("record %d differs:\n%v\n%v", i, a.Attributes().AsRaw(), b.Attributes().AsRaw())
		}
	}
}

// A redacted batch goes through again unchanged, but for the fingerprint of the body, which is of what came in.
func TestIdempotent(t *testing.T) {
	logs := plog.NewLogs()
	lr := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	lr.Body().SetStr(`{"params":{"arguments":{"to":"bob@corp.example","n":4111111111111111,"password":"hunter2"}}}`)
	lr.Attributes().PutStr("note", "call bob@corp.example")
	lr.Attributes().PutStr(event.AttrResourceURI, "https://u:pw@h.example/x?token=abc&q=1#f")
	lr.Attributes().PutEmptyMap(event.AttrLabels).PutStr("mail", "bob@corp.example")
	cfg := testConfig(t)
	once, _ := run(t, cfg, logs)
	copied := plog.NewLogs()
	once.CopyTo(copied)
	twice, _ := run(t, cfg, copied)
	a := once.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
	b := twice.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
	if a.Body().Str() != b.Body().Str() {
		t.Errorf("body\n%s\n%s", a.Body().Str(), b.Body().Str())
	}
	for _, k := range []string{"note", event.AttrResourceURI, event.AttrLabels} {
		x, _ := a.Attributes().Get(k)
		y, _ := b.Attributes().Get(k)
		if !x.Equal(y) {
			t.Errorf("%s: %s, %s", k, x.AsString(), y.AsString())
		}
	}
	uri, _ := a.Attributes().Get(event.AttrResourceURI)
	for _, gone := range []string{"pw", "abc", "q=1"} {
		if strings.Contains(uri.Str(), gone) {
			t.Errorf("%s in %s", gone, uri.Str())
		}
	}
}

// A tenant whose key cannot be had: bodies are withheld, attributes hold classes instead of pseudonyms, other tenants are not touched.
func TestUnreadableTenantKey(t *testing.T) {
	cfg := testConfig(t)
	record := func(tenant string) plog.Logs {
		logs := plog.NewLogs()
		lr := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
		lr.Body().SetStr(`{"a":"bob@corp.example"}`)
		lr.Attributes().PutStr(event.AttrTenant, tenant)
		lr.Attributes().PutStr(event.AttrTool, "send")
		lr.Attributes().PutStr("note", "to bob@corp.example")
		return logs
	}
	get := func(tenant string) (plog.LogRecord, string) {
		out, raw := run(t, cfg, record(tenant))
		if strings.Contains(raw, "bob") {
			t.Error("content is left")
		}
		lr := out.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
		note, _ := lr.Attributes().Get("note")
		return lr, note.Str()
	}
	get("a")
	files, _ := filepath.Glob(filepath.Join(filepath.Dir(cfg.KeyFile), "tenants", "*", "1.key"))
	if len(files) != 1 {
		t.Fatalf("keys: %v", files)
	}
	if err := os.Chmod(files[0], 0o640); err != nil {
		t.Fatal(err)
	}
	lr, note := get("a")
	var e event.Event
	event.Decode(plog.NewLogs().ResourceLogs().AppendEmpty().Resource(), lr, &e)
	if e.Body != "" || e.Capture != event.CaptureWithheld || e.WithheldReason != engine.ReasonNoKey || e.BodyFingerprint != "" || e.Tool != "send" || note != "to <email>" {
		t.Errorf("%q %s %s %q %s", e.Body, e.Capture, e.WithheldReason, e.BodyFingerprint, note)
	}
	if lr, note := get("b"); !strings.Contains(lr.Body().Str(), "<email:") || !strings.Contains(note, "<email:") {
		t.Errorf("%s %s", lr.Body().Str(), note)
	}
}

func TestKeysDir(t *testing.T) {
	cfg := testConfig(t)
	cfg.KeysDir = filepath.Join(t.TempDir(), "a", "b")
	logs := plog.NewLogs()
	logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr(`{}`)
	run(t, cfg, logs)
	if files, _ := filepath.Glob(filepath.Join(cfg.KeysDir, "*", "1.key")); len(files) != 1 {
		t.Errorf("keys: %v", files)
	}
	cfg.KeysDir = filepath.Join(cfg.KeyFile, "x")
	p, err := NewFactory().CreateLogs(context.Background(), processortest.NewNopSettings(Type), cfg, consumertest.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(context.Background(), componenttest.NewNopHost()); err == nil || !strings.Contains(err.Error(), "keys_dir") {
		t.Errorf("started without a folder of keys: %v", err)
	}
	_ = p.Shutdown(context.Background())
}
