// Package content names the signals and data classes that inspection puts on events, as far as detectors judge them.
package content

import "github.com/mcpsiem/mcpsiem/internal/event"

// Places where content is found in a message.
const (
	InResult      = "result"
	InArguments   = "arguments"
	InURL         = "url"
	InHeader      = "header"
	InDefinitions = "definitions"
)

// IsToolList reports whether the event is a list of tool definitions.
func IsToolList(e *event.Event) bool {
	return e.Kind == event.KindResponse && (e.Method == "tools/list" || len(e.ToolDefs) > 0)
}
