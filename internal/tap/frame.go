// Package tap records MCP traffic as a bystander: it takes copies, never bytes in passing, and ships them as events.
package tap

import "time"

// Frame is a copy of one unit that passed the tap: a stdio line, an HTTP request or response body, the data of one SSE
// event. It may hold one JSON-RPC message, a batch, or something else altogether; the Recorder finds out.
type Frame struct {
	Direction string    // event.ClientToServer or event.ServerToClient: of the JSON-RPC message, not of the HTTP request
	Data      []byte    // owned by the Recorder from here on; at most the capture limit
	Size      int64     // true size, bytes
	SHA256    [32]byte  // of the whole unit, also where Data is cut; zero where bytes of it were not seen
	Truncated bool      // Size > len(Data)
	At        time.Time // when its last byte was seen
	FirstByte time.Time // when its first byte was seen; zero where not known

	HTTP *HTTP // what HTTP says about it; nil on stdio

	// Record is the name of the event where this is no message: event.NameMetadata, whose Data is the document, or event.NameHTTPRequest.
	Record string
}

// HTTP is what the carrying HTTP exchange says about a frame.
type HTTP struct {
	Exchange      uint64 // number of the HTTP exchange in this tap
	Verb          string
	URL           string            // with query: raw
	Protocol      string            // 1.1, 2
	Status        int               // of the response; 0 on a request frame
	Authorization string            // raw
	Headers       map[string]string // lower-case names: mcp-*, origin, host, forwarded and proxy identity headers, traceparent; raw
	SessionID     string            // Mcp-Session-Id, or the legacy SSE endpoint URI; raw
	Version       string            // MCP-Protocol-Version header
	SSEEventID    string            // id of the SSE event that carried it, if any
	Resumed       bool              // the stream was opened with Last-Event-ID
	ClientAddr    string
}

// Stream takes the frames of one place where ids are unique: a stdio process, or an HTTP upstream. Its methods copy
// nothing, return at once and never block: when the Recorder's queue is full the frame is counted as lost.
type Stream interface {
	// Frame takes one frame over.
	Frame(Frame)
	// TransportError records an HTTP exchange that ended without a JSON-RPC answer. class is low-cardinality:
	// http_status, connection_refused, reset, tls, timeout, client_closed, body_too_large.
	TransportError(class string, f Frame)
	// ClientGone records that the client closed the response stream of HTTP exchange n before its end: a cancellation in
	// the modern era, nothing in the legacy one.
	ClientGone(n uint64, at time.Time)
	// Lost records n frames, or bytes that could not be framed, that passed without being captured.
	Lost(direction string, frames int)
	// Close ends the stream: open requests are recorded as unanswered, a stdio server's exit with its code.
	Close(exit *Exit)
}

// Exit says how a stdio server ended.
type Exit struct {
	Code       int
	ClientLeft bool // the client had closed the server's stdin before: nobody waits for the answers that did not come
}

// StreamInfo says what a stream taps.
type StreamInfo struct {
	Server    string            // configured name
	Transport string            // event.Transport*
	Labels    map[string]string // operator's labels
	Tenant    string

	// stdio
	Command       string // executable of the server
	Package       string // that its command line runs, as internal/launch names it
	PID           int
	ParentCommand string

	// HTTP
	Upstream string // host:port
}
