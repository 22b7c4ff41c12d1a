package tokens

import (
	"context"
	"os"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/processor/processortest"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// BenchmarkProcess is a batch of 100 records through the processor, copies of the batch included.
func BenchmarkProcess(b *testing.B) {
	answer, err := os.ReadFile("../../internal/tokens/testdata/tools_call.json")
	if err != nil {
		b.Fatal(err)
	}
	tool := `{"name":"read_file","description":"Reads a file from the workspace and returns its text.","inputSchema":{"type":"object","properties":{"path":{"type":"string","description":"Path, relative to the workspace"}},"required":["path"]}}`
	bodies := map[string]struct{ method, body string }{
		"answer":     {"tools/call", string(answer)},
		"call":       {"tools/call", `{"jsonrpc":"2.0","id":42,"method":"tools/call","params":{"name":"read_file","arguments":{"path":"/srv/reports/q3.md","head":100}}}`},
		"tools_list": {"tools/list", `{"jsonrpc":"2.0","id":1,"result":{"tools":[` + strings.Repeat(tool+",", 19) + tool + `]}}`},
	}
	for name, in := range bodies {
		b.Run(name, func(b *testing.B) {
			cfg := createDefaultConfig().(*Config)
			cfg.DefaultModel = "gpt-5.4"
			p, err := NewFactory().CreateLogs(context.Background(), processortest.NewNopSettings(Type), cfg, consumertest.NewNop())
			if err != nil {
				b.Fatal(err)
			}
			if err := p.Start(context.Background(), componenttest.NewNopHost()); err != nil {
				b.Fatal(err)
			}
			ld := plog.NewLogs()
			records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
			for range 100 {
				lr := records.AppendEmpty()
				lr.Attributes().PutStr(event.AttrMethod, in.method)
				lr.Body().SetEmptyBytes().FromRaw([]byte(in.body))
			}
			b.SetBytes(int64(100 * len(in.body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := p.ConsumeLogs(context.Background(), ld); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
