package tokens

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/pkoukk/tiktoken-go-loader/assets"
)

// timingTexts are ordinary and hostile inputs; ordinary ones are files of this repository, so they are what people write.
func timingTexts(b *testing.B) map[string]string {
	b.Helper()
	read := func(path string) string {
		data, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		return string(data)
	}
	r := rand.New(rand.NewPCG(1, 1))
	letters := make([]byte, 1_000_000) // one piece, no period
	for i := range letters {
		letters[i] = 'a' + byte(r.IntN(26))
	}
	return map[string]string{
		"hostile/letters": string(letters),
		"json/mcp":        strings.TrimSpace(read("testdata/tools_call.json")),
		"json/schema":     read("../../schemas/event.schema.json"),
		"text/english":    read("../../LICENSE"),
		"text/scripts":    read("testdata/scripts.txt"),
		"text/code":       read("vocab.go"),
		"hostile/a":       strings.Repeat("a", 20_000),
		"hostile/spaces":  strings.Repeat(" ", 1_000_000),
		"hostile/hex":     strings.Repeat("deadbeef0badf00d", 2_000),
		"hostile/bytes":   strings.Repeat("\xff\x80", 10_000),
	}
}

func BenchmarkCount(b *testing.B) {
	for name, text := range timingTexts(b) {
		for _, enc := range []string{"o200k_base", "cl100k_base"} {
			b.Run(enc+"/"+name, func(b *testing.B) {
				e := get(b, enc)
				data := []byte(text)
				e.Count(data)
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				for b.Loop() {
					e.Count(data)
				}
			})
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	for name, bi := range builtins {
		b.Run(name, func(b *testing.B) {
			data, err := assets.Assets.ReadFile(bi.file)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				e, err := Load(name, data, bi.split)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(e.MemoryBytes())/1e6, "table-MB")
			}
		})
	}
}
