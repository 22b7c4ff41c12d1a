package class

// Classes that only a name, or the place in a message, gives away.
var (
	EnvValue    = Class{Name: "env_value", Tags: Secret}                                                                      // a value of an environment
	OpaqueState = Class{Name: "request_state", Tags: Secret, Keys: []string{"request_state"}}                                 // state that a server hands to a client, MCP 2026-07-28
	Elicited    = Class{Name: "elicited", Tags: PII}                                                                          // what a person answered to an elicitation
	Blob        = Class{Name: "blob", Tags: PII}                                                                              // image, audio and other binary content
	Encoded     = Class{Name: "encoded", Tags: PII}                                                                           // an encoded region that could not be examined
	QueryValue  = Class{Name: "query_value", Tags: PII}                                                                       // a value in the query of a resource's URI
	SessionID   = Class{Name: "session_id", Tags: Secret, Keys: []string{"mcp_session_id", "session_id", "sessionid", "sid"}} // a transport's or web application's session
)
