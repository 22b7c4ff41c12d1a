package event

import (
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/mcpsiem/mcpsiem/internal/attr"
)

func toolDefsOf(v pcommon.Value) []ToolDef {
	if v.Type() != pcommon.ValueTypeSlice {
		return nil
	}
	var out []ToolDef
	for i := range v.Slice().Len() {
		it := v.Slice().At(i)
		if it.Type() != pcommon.ValueTypeMap {
			continue
		}
		var d ToolDef
		it.Map().Range(func(k string, v pcommon.Value) bool {
			switch k {
			case "name":
				d.Name = v.AsString()
			case "hash":
				d.Hash = v.AsString()
			case "tokens":
				d.Tokens = attr.Int(v)
			case "signals":
				d.Signals = attr.Scores(v)
			case "capabilities":
				d.Capabilities = attr.Strings(v)
			}
			return true
		})
		out = append(out, d)
	}
	return out
}

func putToolDefs(m pcommon.Map, k string, defs []ToolDef) {
	out := m.PutEmptySlice(k)
	for _, d := range defs {
		it := out.AppendEmpty().SetEmptyMap()
		it.PutStr("name", d.Name)
		it.PutStr("hash", d.Hash)
		it.PutInt("tokens", d.Tokens)
		if len(d.Signals) > 0 {
			attr.PutScores(it, "signals", d.Signals)
		}
		if len(d.Capabilities) > 0 {
			attr.PutStrings(it, "capabilities", d.Capabilities)
		}
	}
}

// PutToolDefs writes the tool definitions of a record: AttrToolDefs for those that do not encode a whole Event.
func PutToolDefs(m pcommon.Map, defs []ToolDef) { putToolDefs(m, AttrToolDefs, defs) }
