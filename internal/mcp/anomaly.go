package mcp

// Anomaly is a set of things about a message that two parsers could read differently or that the protocol forbids. None
// of them stops the reading: what passed on the wire passed, and is recorded.
type Anomaly uint64

const (
	ParseError       Anomaly = 1 << iota // not JSON, from some byte on
	TrailingGarbage                      // bytes after the message that are no JSON value
	Concatenated                         // several values where one message is due
	BOM                                  // a byte order mark in front
	InvalidUTF8                          // a string that is not UTF-8
	LoneSurrogate                        // \ud800 without its other half, or the reverse
	DuplicateKey                         // a key twice in one object: readers differ in which one wins
	CaseVariantKey                       // a protocol key in another case, or two keys of params that differ only in case
	TooDeep                              // nested deeper than Limits.MaxDepth
	TooLarge                             // 2 GiB or more: not read
	NotObject                            // JSON, but no object
	InvalidEnvelope                      // an object that is no JSON-RPC message
	JSONRPCVersion                       // jsonrpc absent or not "2.0"
	NullID                               // id null
	InvalidID                            // id neither string nor number
	NonIntegerID                         // id a number with fraction or exponent
	ResultAndError                       // both result and error
	MixedEnvelope                        // method beside result or error
	ParamsNotObject                      // params neither object nor absent
	EmptyBatch                           // []
	NestedBatch                          // an array within a batch
	BatchTooLong                         // more members than Limits.MaxBatch; the rest is one invalid message
	TruncatedMessage                     // Limits.Partial, and the message ends within the bytes missing
	numAnomalies     = iota
)

var anomalyNames = [numAnomalies]string{
	"parse_error", "trailing_garbage", "concatenated_values", "bom", "invalid_utf8", "lone_surrogate", "duplicate_key",
	"case_variant_key", "too_deep", "too_large", "not_object", "invalid_envelope", "jsonrpc_version", "null_id", "invalid_id",
	"non_integer_id", "result_and_error", "mixed_envelope", "params_not_object", "empty_batch", "nested_batch", "batch_too_long",
	"truncated_message",
}

// Has reports whether all of x are in a.
func (a Anomaly) Has(x Anomaly) bool { return a&x == x }

// AppendNames appends the names of a's members to dst, as they appear in the event's anomalies.
func (a Anomaly) AppendNames(dst []string) []string {
	for i := range anomalyNames {
		if a&(1<<i) != 0 {
			dst = append(dst, anomalyNames[i])
		}
	}
	return dst
}
