package mcp

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func benchMessages() map[string][]byte {
	return map[string][]byte{
		"call-300B": []byte(`{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"read_file","arguments":{"path":"/home/u/project/src/main.go","offset":0,"limit":2000},"_meta":{"progressToken":17,"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}}`),
		"text-10KB": []byte(`{"jsonrpc":"2.0","id":17,"result":{"content":[{"type":"text","text":"` + strings.Repeat(`The quick brown fox, \"jumps\" over the lazy dog.\n`, 200) + `"}]}}`),
		"rows-100KB": []byte(`{"jsonrpc":"2.0","id":17,"result":{"structuredContent":{"rows":[` + strings.TrimSuffix(strings.Repeat(
			`{"id":12345,"name":"some one","mail":"a@example.com","score":0.75,"tags":["a","b"],"ok":true},`, 1000), ",") + `]}}}`),
	}
}

func BenchmarkParse(b *testing.B) {
	for name, in := range benchMessages() {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				m := Parse(in, Limits{})
				if m.Kind == KindInvalid {
					b.Fatal("invalid")
				}
			}
		})
	}
}

func BenchmarkEncodingJSON(b *testing.B) {
	for name, in := range benchMessages() {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				var m struct {
					ID     json.RawMessage
					Method string
					Params json.RawMessage
					Result json.RawMessage
				}
				if err := json.Unmarshal(in, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkParseHostile shows that time stays linear: MB/s must not fall with the size.
func BenchmarkParseHostile(b *testing.B) {
	for _, n := range []int{1 << 10, 1 << 14, 1 << 18} {
		var keys strings.Builder
		for i := range n / 8 {
			fmt.Fprintf(&keys, `"%x":0,`, i)
		}
		for name, in := range map[string]string{
			"deep": strings.Repeat("[", n), "keys": `{"params":{` + keys.String() + `"z":0}}`, "escapes": `{"params":{"` + strings.Repeat(`\u0041`, n/6) + `":1}}`,
		} {
			b.Run(fmt.Sprintf("%s-%d", name, n), func(b *testing.B) {
				b.SetBytes(int64(len(in)))
				b.ReportAllocs()
				for b.Loop() {
					Parse([]byte(in), Limits{})
				}
			})
		}
	}
}
