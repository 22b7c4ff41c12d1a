// JSON by appending: no reflection over values that are not there, no allocation for values that are.

package splunkhec

import (
	"slices"
	"strconv"

	"github.com/mcpsiem/mcpsiem/internal/sink"
)

// appendKey appends a name from code, which needs no escaping, and its colon; before it a comma, unless the object begins here.
func appendKey(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	return append(append(append(b, '"'), name...), '"', ':')
}

func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = sink.AppendString(b, s)
	}
	return append(b, ']')
}

// appendMap appends a map in key order, so that equal records have equal bytes.
func appendMap[V any](b []byte, m map[string]V, value func([]byte, V) []byte) []byte {
	b = append(b, '{')
	var few [16]string
	keys := few[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(sink.AppendString(b, k), ':')
		b = value(b, m[k])
	}
	return append(b, '}')
}

// appendEpoch appends ns since 1970 as seconds with microseconds.
func appendEpoch(b []byte, ns int64) []byte {
	b = strconv.AppendInt(b, ns/1e9, 10)
	dot := len(b)
	b = strconv.AppendInt(b, 1e6+ns%1e9/1e3, 10) // the leading 1 keeps the zeros and makes room for the dot
	b[dot] = '.'
	return b
}
