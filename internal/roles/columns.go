package roles

import "github.com/mcpsiem/mcpsiem/internal/event"

// EventColumns are the columns of table events.
func EventColumns() []string {
	out := []string{"event_name", "ts", "received", "trace", "span", "trace_id", "span_id"}
	for _, s := range event.Schema {
		if s.ClickHouse != "-" {
			out = append(out, s.Column)
		}
	}
	return append(out, "body", "extra", "listed_tools", "list_goes_on")
}
