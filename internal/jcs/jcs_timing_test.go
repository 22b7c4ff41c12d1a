package jcs

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkAppend(b *testing.B) {
	var wide strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&wide, `,"k%d":%d`, (i*7919)%20_000, i)
	}
	texts := map[string]string{
		"tool":         `{"name":"read_file","title":"Read file","description":"Reads a file from the workspace and returns its text.","inputSchema":{"type":"object","properties":{"path":{"type":"string","description":"Path, relative to the workspace"},"head":{"type":"integer","minimum":1},"tail":{"type":"integer","minimum":1}},"required":["path"]},"annotations":{"readOnlyHint":true}}`,
		"hostile/wide": "{" + wide.String()[1:] + "}",
		"hostile/deep": strings.Repeat(`{"b":`, 400) + `"` + strings.Repeat("x", 1_000_000) + `"` + strings.Repeat(`,"a":1}`, 400),
	}
	for name, text := range texts {
		b.Run(name, func(b *testing.B) {
			raw := []byte(text)
			var out []byte
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if out, err = Append(out[:0], raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
