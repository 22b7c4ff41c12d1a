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

	InInstructions = "instructions" // what a server says of itself, its prompts and its resources
)

// IsToolList reports whether the event is a list of tool definitions.
func IsToolList(e *event.Event) bool {
	return e.Kind == event.KindResponse && (e.Method == "tools/list" || len(e.ToolDefs) > 0)
}

// Instructs reports whether the event is what a server says of itself or of its prompts and resources, which clients hand to the model
// like tool definitions.
func Instructs(e *event.Event) bool {
	if e.Kind != event.KindResponse {
		return false
	}
	switch e.Method {
	case "initialize", "server/discover", "prompts/list", "resources/list", "resources/templates/list":
		return true
	}
	return false
}
