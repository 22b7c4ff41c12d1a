// Records as OpenTelemetry's conventions for MCP and GenAI have them.

package otlp

import (
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/mcpsiem/mcpsiem/internal/event"
	"github.com/mcpsiem/mcpsiem/internal/sink"
)

const (
	scopeName = "github.com/mcpsiem/mcpsiem"
	// schemaURL is the last release of the conventions that carries those for MCP and GenAI.
	schemaURL = "https://opentelemetry.io/schemas/1.41.1"

	attrOperation = "gen_ai.operation.name" // execute_tool, on tools/call only
	attrRecordKey = "log.record.uid"        // a record's key: what identifies a repetition
)

// put writes the record. Its attributes have the conventions' names already, and mcpsiem's where the conventions have none.
func put(rec *sink.Record, lr plog.LogRecord, message bool) {
	if f := rec.Finding; f != nil {
		f.Encode(lr)
		lr.Attributes().PutStr(attrRecordKey, rec.Key())
		lr.Body().SetStr(f.Summary)
		return
	}
	e := rec.Event
	e.Encode(lr)
	lr.Attributes().PutStr(attrRecordKey, rec.Key())
	if e.Method == "tools/call" {
		lr.Attributes().PutStr(attrOperation, "execute_tool")
	}
	lr.SetSeverityNumber(plog.SeverityNumberInfo)
	switch e.Outcome {
	case event.OutcomeToolError, event.OutcomeRPCError, event.OutcomeTransportError, event.OutcomeTimeout:
		lr.SetSeverityNumber(plog.SeverityNumberError)
	}
	if e.Body != "" && message {
		lr.Body().SetStr(e.Body) // text from here on, redacted
	} else {
		lr.Body().SetStr("")
	}
}
