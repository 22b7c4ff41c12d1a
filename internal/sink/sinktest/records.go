package sinktest

import (
	"fmt"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
)

// Content is in every event of Events. It must be in no error, log or metric.
const Content = "planted-content"

// ID is the id of event i.
func ID(i int) string { return fmt.Sprintf("%032x", i) }

// Events makes n requests with ids from first on, as one message of a stream.
func Events(first, n int, edit ...func(int, *event.Event)) plog.Logs {
	ld := plog.NewLogs()
	lrs := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range n {
		e := event.Event{Name: event.NameRequest, Time: 1_800_000_000_123_456_789, Received: 1_800_000_001_000_000_000}
		e.ID, e.ExchangeID, e.Tenant, e.Kind, e.Method, e.Tool, e.Server = ID(first+i), ID(first+i), "acme", event.KindRequest, "tools/call", "read_file", "files"
		e.PrincipalID, e.HostName = "ann", "laptop-7"
		e.Body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_file","arguments":{"path":"` + Content + `"}}}`
		for _, f := range edit {
			f(i, &e)
		}
		e.Encode(lrs.AppendEmpty())
	}
	return ld
}
