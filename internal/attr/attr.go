// Package attr reads and writes typed values in pdata attribute maps, for the encodings generated from schemas/*.yaml.
package attr

import (
	"encoding/binary"
	"slices"
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Bool and the functions below read a pdata value as a field's type. A source may send a number as text or one value where a list
// is due; a value of no use reads as zero, since a record from elsewhere must never stop the pipeline.

func Bool(v pcommon.Value) bool {
	if v.Type() == pcommon.ValueTypeBool {
		return v.Bool()
	}
	b, _ := strconv.ParseBool(v.AsString())
	return b
}

func Int(v pcommon.Value) int64 {
	switch v.Type() {
	case pcommon.ValueTypeInt:
		return v.Int()
	case pcommon.ValueTypeDouble:
		return int64(v.Double())
	case pcommon.ValueTypeStr:
		n, _ := strconv.ParseInt(v.Str(), 10, 64)
		return n
	}
	return 0
}

func Float(v pcommon.Value) float64 {
	switch v.Type() {
	case pcommon.ValueTypeInt:
		return float64(v.Int())
	case pcommon.ValueTypeDouble:
		return v.Double()
	case pcommon.ValueTypeStr:
		f, _ := strconv.ParseFloat(v.Str(), 64)
		return f
	}
	return 0
}

func Strings(v pcommon.Value) []string {
	if v.Type() != pcommon.ValueTypeSlice {
		if s := v.AsString(); s != "" {
			return []string{s}
		}
		return nil
	}
	s := v.Slice()
	out := make([]string, 0, s.Len())
	for i := range s.Len() {
		out = append(out, s.At(i).AsString())
	}
	return out
}

// Ints reads what PutInts wrote, or a list of numbers.
func Ints(v pcommon.Value) []uint64 {
	switch v.Type() {
	case pcommon.ValueTypeBytes:
		b := v.Bytes().AsRaw()
		out := make([]uint64, 0, len(b)/8)
		for ; len(b) >= 8; b = b[8:] {
			out = append(out, binary.LittleEndian.Uint64(b))
		}
		return out
	case pcommon.ValueTypeSlice:
		s := v.Slice()
		out := make([]uint64, 0, s.Len())
		for i := range s.Len() {
			out = append(out, uint64(Int(s.At(i))))
		}
		return out
	}
	return nil
}

func Labels(v pcommon.Value) map[string]string {
	if v.Type() != pcommon.ValueTypeMap {
		return nil
	}
	out := make(map[string]string, v.Map().Len())
	v.Map().Range(func(k string, v pcommon.Value) bool { out[k] = v.AsString(); return true })
	return out
}

func Scores(v pcommon.Value) map[string]float64 {
	if v.Type() != pcommon.ValueTypeMap {
		return nil
	}
	out := make(map[string]float64, v.Map().Len())
	v.Map().Range(func(k string, v pcommon.Value) bool { out[k] = Float(v); return true })
	return out
}

func PutStrings(m pcommon.Map, k string, s []string) {
	out := m.PutEmptySlice(k)
	out.EnsureCapacity(len(s))
	for _, x := range s {
		out.AppendEmpty().SetStr(x)
	}
}

// PutInts writes numbers as bytes, eight to each, little-endian: a list of values would cost an allocation for each.
func PutInts(m pcommon.Map, k string, s []uint64) {
	b := make([]byte, 0, 8*len(s))
	for _, x := range s {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	m.PutEmptyBytes(k).FromRaw(b)
}

// Maps are written in key order, so that equal events have equal bytes.

func PutLabels(m pcommon.Map, k string, l map[string]string) {
	out := m.PutEmptyMap(k)
	for _, n := range sortedKeys(l) {
		out.PutStr(n, l[n])
	}
}

func PutScores(m pcommon.Map, k string, l map[string]float64) {
	out := m.PutEmptyMap(k)
	for _, n := range sortedKeys(l) {
		out.PutDouble(n, l[n])
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
