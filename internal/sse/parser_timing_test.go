package sse

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkParser(b *testing.B) {
	for _, size := range []int{100, 1000, 100_000} {
		b.Run(fmt.Sprintf("data=%d", size), func(b *testing.B) {
			in := []byte("event: message\nid: 12\ndata: " + strings.Repeat("x", size) + "\n\n")
			p := Parser{Limit: 1 << 20}
			n := 0
			emit := func(Event) { n++ }
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				p.Feed(in, emit)
			}
			if n == 0 {
				b.Fatal("no events")
			}
		})
	}
}
