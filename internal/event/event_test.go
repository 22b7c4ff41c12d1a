package event

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// full returns an event with every field of the schema set, so that a field forgotten in an encoding shows.
func full() *Event {
	e := &Event{Name: NameRequest, Time: 1_700_000_000_000_000_001, Received: 1_700_000_000_000_000_002,
		TraceID: pcommon.TraceID{1}, SpanID: pcommon.SpanID{2}, Body: `{"jsonrpc":"2.0"}`, Extra: map[string]string{"x": "y"}}
	v := reflect.ValueOf(&e.Fields).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Interface().(type) {
		case string:
			f.SetString(v.Type().Field(i).Name)
		case bool:
			f.SetBool(true)
		case int64:
			f.SetInt(int64(i + 1))
		case float64:
			f.SetFloat(float64(i) + 0.5)
		case []string:
			f.Set(reflect.ValueOf([]string{"a", "b"}))
		case []uint64:
			f.Set(reflect.ValueOf([]uint64{1, 1<<64 - 1}))
		case map[string]string:
			f.Set(reflect.ValueOf(map[string]string{"k": "v"}))
		case map[string]float64:
			f.Set(reflect.ValueOf(map[string]float64{"k": 0.25}))
		case []ToolDef:
			f.Set(reflect.ValueOf([]ToolDef{{Name: "t", Hash: "h", Tokens: 3, Signals: map[string]float64{"s": 0.5}, Capabilities: []string{"c"}}}))
		}
	}
	return e
}

func TestEncodeDecode(t *testing.T) {
	want := full()
	lr := plog.NewLogRecord()
	want.Encode(lr)
	var got Event
	Decode(pcommon.NewResource(), lr, &got)
	if !reflect.DeepEqual(*want, got) {
		t.Errorf("decoded\n%+v\nwant\n%+v", got, *want)
	}
}

func TestDecodeKeepsInvalidUTF8Body(t *testing.T) {
	e := Event{Body: "a\xffb"}
	lr := plog.NewLogRecord()
	e.Encode(lr)
	var got Event
	Decode(pcommon.NewResource(), lr, &got)
	if got.Body != e.Body {
		t.Errorf("body %q, want %q", got.Body, e.Body)
	}
}

func TestDropRawRemovesEveryRawField(t *testing.T) {
	lr := plog.NewLogRecord()
	full().Encode(lr)
	lr.Attributes().PutStr(RawPrefix+"from.the.future", "x")
	DropRaw(lr.Attributes())
	for _, f := range Schema {
		if _, there := lr.Attributes().Get(f.Attr); there == f.Raw {
			t.Errorf("%s (raw %v) present: %v", f.Attr, f.Raw, there)
		}
	}
	lr.Attributes().Range(func(k string, _ pcommon.Value) bool {
		if strings.HasPrefix(k, RawPrefix) {
			t.Errorf("%s survived", k)
		}
		return true
	})
}

func TestIDs(t *testing.T) {
	if a, b := TapID("t", 1, 1), TapID("t", 1, 2); a == b || a[:16] != b[:16] || len(a) != 32 {
		t.Errorf("ids of one epoch: %s, %s", a, b)
	}
	if TapID("t", 1, 1) == TapID("t", 2, 1) || TapID("t", 1, 1) == TapID("u", 1, 1) {
		t.Error("ids of different epochs or taps are equal")
	}
	if SourceID("ab", "c") == SourceID("a", "bc") {
		t.Error("SourceID does not keep its parts apart")
	}
}

func TestJSONNames(t *testing.T) {
	b, err := json.Marshal(full())
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	for _, f := range Schema {
		if _, ok := m[f.Attr]; !ok {
			t.Errorf("%s is missing from the JSON form", f.Attr)
		}
	}
	if _, ok := m["message"].(map[string]any); !ok {
		t.Errorf("message is %T, want an object", m["message"])
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("mcpsiem.tap.sequence", "12", []byte("body"))
	f.Fuzz(func(t *testing.T, key, val string, body []byte) {
		lr := plog.NewLogRecord()
		lr.Attributes().PutStr(key, val)
		lr.Attributes().PutEmptySlice(key + "x").AppendEmpty().SetStr(val)
		for _, fd := range Schema {
			lr.Attributes().PutStr(fd.Attr, val)
		}
		lr.Body().SetEmptyBytes().FromRaw(body)
		var e Event
		Decode(pcommon.NewResource(), lr, &e)
		if _, err := json.Marshal(&e); err != nil {
			t.Fatal(err)
		}
	})
}

func TestDecodeOver(t *testing.T) {
	res := pcommon.NewResource()
	for k, v := range map[string]string{AttrTenant: "acme", AttrTool: "resource's", "x": "1", "y": "2"} {
		res.Attributes().PutStr(k, v)
	}
	lrs := plog.NewScopeLogs().LogRecords()
	for i, attrs := range []map[string]string{{AttrTool: "own", "x": "own"}, {}, {AttrID: "e", "z": "3"}} {
		lr := lrs.AppendEmpty()
		lr.SetEventName(NameRequest)
		lr.SetTimestamp(pcommon.Timestamp(i))
		lr.Body().SetStr("b")
		for k, v := range attrs {
			lr.Attributes().PutStr(k, v)
		}
	}
	var base, got, want Event
	Decode(res, plog.NewLogRecord(), &base)
	for _, lr := range lrs.All() {
		DecodeOver(&base, lr, &got)
		Decode(res, lr, &want)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}
