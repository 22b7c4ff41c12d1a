package sink

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/pdata/plog"
	"pgregory.net/rapid"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/finding"
)

func compile(t testing.TB, yaml map[string]any) *Filter {
	t.Helper()
	var r Route
	if err := confmap.NewFromStringMap(yaml).Unmarshal(&r); err != nil {
		t.Fatal(err)
	}
	f, err := r.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func strs(s ...any) []any { return s }

func TestFilter(t *testing.T) {
	request := func(edit func(*event.Event)) *event.Event {
		e := &event.Event{Name: event.NameRequest}
		e.ID, e.ExchangeID, e.Tenant, e.Server, e.Kind, e.Method, e.Capture = "01", "01", "acme", "files", event.KindRequest, "tools/call", event.CaptureComplete
		e.DataClasses = []string{"pii.email"}
		if edit != nil {
			edit(e)
		}
		return e
	}
	fi := func(edit func(*finding.Finding)) *finding.Finding {
		f := &finding.Finding{}
		f.ID, f.Tenant, f.Server, f.Severity = "f1", "acme", "files", "medium"
		if edit != nil {
			edit(f)
		}
		return f
	}
	f := func(name string, route map[string]any, rec any, want Reason) {
		t.Helper()
		c := compile(t, route)
		var got Reason
		switch x := rec.(type) {
		case *event.Event:
			got = c.Event(x)
		case *finding.Finding:
			got = c.Finding(x)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	m := func(kv ...any) map[string]any {
		out := map[string]any{}
		for i := 0; i < len(kv); i += 2 {
			out[kv[i].(string)] = kv[i+1]
		}
		return out
	}
	audit := request(func(e *event.Event) { e.Name, e.Kind, e.Method, e.Server = event.NameAudit, event.KindRecord, "", "" })
	f("all", m(), request(nil), "")
	f("all findings", m(), fi(nil), "")
	f("no events", m("records", strs("finding")), request(nil), ByRecord)
	f("no findings", m("records", strs("event")), fi(nil), ByRecord)
	f("no audit", m("records", strs("event")), audit, ByRecord)
	f("audit only", m("records", strs("audit")), audit, "")
	f("tenant in", m("tenants", m("include", strs("ac*"))), request(nil), "")
	f("tenant out", m("tenants", m("include", strs("eu-*", "acm"))), request(nil), ByTenant)
	f("tenant excluded wins", m("tenants", m("include", strs("acme"), "exclude", strs("acme"))), fi(nil), ByTenant)
	f("no tenant is default", m("tenants", m("include", strs("default"))), request(func(e *event.Event) { e.Tenant = "" }), "")
	f("no tenant is default, finding", m("tenants", m("exclude", strs("default"))), fi(func(f *finding.Finding) { f.Tenant = "" }), ByTenant)
	f("server", m("servers", m("exclude", strs("files"))), request(nil), ByServer)
	f("server, finding", m("servers", m("exclude", strs("files"))), fi(nil), ByServer)
	f("audit records have no server", m("servers", m("include", strs("files"))), audit, "")
	f("kind", m("kinds", m("include", strs("response"))), request(nil), ByKind)
	f("kind, finding", m("kinds", m("include", strs("response"))), fi(nil), "")
	f("kind, audit", m("kinds", m("include", strs("response"))), audit, "")
	f("method", m("methods", m("include", strs("tools/*"))), request(nil), "")
	f("method out", m("methods", m("include", strs("resources/*"))), request(nil), ByMethod)
	f("class", m("data_classes", m("include", strs("pii.*"))), request(nil), "")
	f("class out", m("data_classes", m("include", strs("secret.*"))), request(nil), ByDataClass)
	f("class excluded", m("data_classes", m("exclude", strs("pii.email"))), request(nil), ByDataClass)
	f("no class", m("data_classes", m("include", strs("pii.*"))), request(func(e *event.Event) { e.DataClasses = nil }), ByDataClass)
	f("capture", m("capture", m("exclude", strs("complete"))), request(nil), ByCapture)
	f("severity", m("min_severity", "high"), fi(nil), BySeverity)
	f("severity met", m("min_severity", "medium"), fi(nil), "")
	f("unknown severity is not held back", m("min_severity", "critical"), fi(func(f *finding.Finding) { f.Severity = "apocalyptic" }), "")
	f("severity holds back no event", m("min_severity", "critical"), request(nil), "")
	eu := m("residency", m("regions", strs("eu"), "tenants", m("acme", "eu", "globex", "us"), "label", "stay"))
	us := m("residency", m("regions", strs("us"), "tenants", m("acme", "eu"), "label", "stay"))
	f("resident", eu, request(nil), "")
	f("not resident", us, request(nil), ByResidency)
	f("not resident, finding", us, fi(nil), ByResidency)
	f("not resident, audit", us, audit, ByResidency)
	f("label wins", eu, request(func(e *event.Event) { e.Labels = map[string]string{"stay": "us"} }), ByResidency)
	f("unknown region", eu, request(func(e *event.Event) { e.Labels = map[string]string{"stay": "mars"} }), ByResidency)
	f("unbound", eu, request(func(e *event.Event) { e.Tenant = "other" }), "")
	f("unbound refused", m("residency", m("regions", strs("eu"), "label", "stay", "unbound", false)), fi(nil), ByResidency)
}

func TestSampleKeepsExchangesWhole(t *testing.T) {
	kept := 0
	c := compile(t, map[string]any{"sample": 0.25})
	const n = 20_000
	for i := range n {
		id := fmt.Sprintf("%032x", i)
		req, resp := &event.Event{Name: event.NameRequest}, &event.Event{Name: event.NameResponse}
		req.ID, req.ExchangeID, req.Kind = id, id, event.KindRequest
		resp.ID, resp.ExchangeID, resp.Kind = id+"r", id, event.KindResponse
		if c.Event(req) != c.Event(resp) {
			t.Fatalf("exchange %s is torn", id)
		}
		if c.Event(req) == "" {
			kept++
		}
		loss := &event.Event{Name: event.NameTapLoss}
		loss.ID, loss.Kind = id, event.KindRecord
		if c.Event(loss) != "" {
			t.Fatal("a tap's own record was sampled away")
		}
		f := &finding.Finding{}
		f.ID = id
		if c.Finding(f) != "" {
			t.Fatal("a finding was sampled away")
		}
	}
	if share := float64(kept) / n; share < .23 || share > .27 {
		t.Errorf("kept %.3f of the exchanges, want about 0.25", share)
	}
	// What was sampled by one version must be what the next one samples.
	if got := hash("0198c0de0198c0de0198c0de0198c0de"); got != 0xebbeea36803540cf {
		t.Errorf("hash changed: %#x", got)
	}
}

func TestMask(t *testing.T) {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	lrs := rl.ScopeLogs().AppendEmpty().LogRecords()
	e := event.Event{Name: event.NameRequest, Time: 1, Received: 2, Body: "{}", TraceID: [16]byte{1}, SpanID: [8]byte{2}, Extra: map[string]string{"x": "y"}}
	e.ID, e.Tenant, e.Tool, e.HostName, e.BodySHA256 = "e1", "acme", "t", "h", "raw"
	e.Encode(lrs.AppendEmpty())
	fi := finding.Finding{Time: 3}
	fi.ID, fi.Tenant, fi.Summary, fi.Tool, fi.Revision = "f1", "acme", "s", "t", 7
	fi.Encode(lrs.AppendEmpty())

	read := func(fields map[string]any) (event.Event, finding.Finding) {
		r := NewReader(compile(t, map[string]any{"fields": fields}), nil)
		var ev event.Event
		var f finding.Finding
		for rec := range r.Read(context.Background(), ld) {
			if rec.Finding != nil {
				f = *rec.Finding
			} else {
				ev = *rec.Event
			}
		}
		return ev, f
	}
	ev, f := read(map[string]any{"keep": strs("tool")})
	if ev.ID != "e1" || ev.Tenant != "acme" || ev.Tool != "t" || ev.HostName != "" || ev.Body != "" || ev.Extra != nil || ev.Received != 0 || !ev.TraceID.IsEmpty() || !ev.SpanID.IsEmpty() || ev.Time != 1 {
		t.Errorf("keep: %+v", ev)
	}
	if f.ID != "f1" || f.Revision != 7 || f.Tenant != "acme" || f.Tool != "t" || f.Summary != "" {
		t.Errorf("keep: %+v", f)
	}
	ev, f = read(map[string]any{"drop": strs("message", "host_name", "summary")})
	if ev.Body != "" || ev.HostName != "" || ev.Tool != "t" || ev.Extra["x"] != "y" || f.Summary != "" || f.Tool != "t" {
		t.Errorf("drop: %+v %+v", ev, f)
	}
	if ev, _ = read(nil); ev.Body != "{}" || ev.BodySHA256 != "" {
		t.Errorf("nothing dropped but what is raw: %+v", ev)
	}
}

func TestRouteValidate(t *testing.T) {
	f := func(route map[string]any, want string) {
		t.Helper()
		var r Route
		err := confmap.NewFromStringMap(route).Unmarshal(&r)
		if err == nil {
			err = r.Validate()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", route, err, want)
		}
	}
	in := func(p ...any) map[string]any { return map[string]any{"include": p} }
	f(map[string]any{"records": strs("events")}, `"events" is none of`)
	f(map[string]any{"tenants": in("a*b")}, "no pattern")
	f(map[string]any{"tenants": in("")}, "no pattern")
	f(map[string]any{"kinds": in("reply")}, `"reply" is none of`)
	f(map[string]any{"capture": in("whole")}, "none of complete")
	f(map[string]any{"min_severity": "severe"}, "min_severity")
	f(map[string]any{"sample": 1.5}, "sample")
	f(map[string]any{"sample": -1}, "sample")
	f(map[string]any{"residency": map[string]any{"regions": strs("eu")}}, "residency needs")
	f(map[string]any{"fields": map[string]any{"keep": strs("tool"), "drop": strs("server")}}, "not both")
	f(map[string]any{"fields": map[string]any{"keep": strs("tol")}}, `no field "tol"`)
	f(map[string]any{"fields": map[string]any{"drop": strs("event_id")}}, "cannot be dropped")
	f(map[string]any{"tenant": in("x")}, "tenant")
}

func TestFilterIsPure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Route{
			Tenants: Choice{Include: rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b*", "*"}), 0, 2).Draw(t, "tenants")},
			Methods: Choice{Exclude: rapid.SliceOfN(rapid.SampledFrom([]string{"tools/*", "ping"}), 0, 2).Draw(t, "methods")},
			Sample:  rapid.Float64Range(0, 1).Draw(t, "sample"),
		}
		one, err := r.Compile()
		if err != nil {
			t.Fatal(err)
		}
		two, _ := r.Compile()
		e := &event.Event{Name: event.NameRequest}
		e.Tenant = rapid.SampledFrom([]string{"a", "bc", "c", ""}).Draw(t, "tenant")
		e.Method = rapid.SampledFrom([]string{"tools/call", "ping", ""}).Draw(t, "method")
		e.ExchangeID = rapid.StringMatching(`[0-9a-f]{32}`).Draw(t, "exchange")
		if a, b, c := one.Event(e), one.Event(e), two.Event(e); a != b || a != c {
			t.Fatalf("%q %q %q", a, b, c)
		}
	})
}
